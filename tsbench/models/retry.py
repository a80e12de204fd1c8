"""Sends a request again where that may help, and counts what it cost."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from tsbench.models.base import NOTHING
from tsbench.models.faults import Fault, fault
from tsbench.models.gate import Gate
from tsbench.types import Usage

PAID = 3
"""Attempts at most of which each may have generated tokens for nothing."""
BACK_OFF = wait_random_exponential(multiplier=0.5, max=30.0)

T = TypeVar("T")


@dataclass
class Tried(Generic[T]):
    """What became of a request: its answer or its last fault, and what all attempts took.

    `seconds` is how long the answer took, of the last attempt alone.
    """

    answer: T | None = None
    fault: Fault | None = None
    attempts: int = 0
    seconds: float = 0.0
    wasted: Usage = NOTHING
    paid: int = 0
    since: float | None = None


class Retry:
    """The attempts at one endpoint.

    A fault that may pass is met by another attempt, after what Retry-After asks for or else after
    a random time in an interval that doubles (0.5 s to 30 s). It goes on until the endpoint gave
    nobody an answer, or this request, for `patience` seconds, or Retry-After asks for more than
    are left; and at most `PAID` times where tokens may have been paid for. The gate is told when
    the endpoint is asked too much, and when all is well.
    """

    def __init__(self, gate: Gate, patience: float) -> None:
        self.gate, self.patience = gate, patience
        self.down_since: float | None = None

    async def __call__(self, send: Callable[[], Awaitable[T]]) -> Tried[T]:
        """Send until there is an answer, or a fault that is the last."""
        tried = Tried[T]()
        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Fault) and error.again),
            wait=pause,
            stop=lambda state: self._enough(tried, state),
            reraise=True,
        )
        try:
            tried.answer = await attempts(self._once, send, tried)
        except Fault as last:
            tried.fault = last
        return tried

    async def _once(self, send: Callable[[], Awaitable[T]], tried: Tried[T]) -> T:
        tried.attempts += 1
        began = time.monotonic()
        try:
            answer = await send()
        except Exception as error:
            met = fault(error)
            tried.wasted += met.wasted
            tried.paid += met.paid
            now = time.monotonic()
            tried.since = tried.since or now
            self.down_since = self.down_since or now if met.again else None
            if met.pressed:
                long = met.after is not None and met.after > self.patience
                self.gate.slow(None if long else met.after)
            raise met from error
        tried.seconds = time.monotonic() - began
        self.down_since = None
        self.gate.fine()
        return answer

    def _enough(self, tried: Tried[T], state: RetryCallState) -> bool:
        starts = [start for start in (tried.since, self.down_since) if start is not None]
        lasted = time.monotonic() - min(starts) + state.upcoming_sleep
        return tried.paid >= PAID or lasted > self.patience


def pause(state: RetryCallState) -> float:
    """Return the seconds before the next attempt."""
    met = state.outcome.exception() if state.outcome else None
    if isinstance(met, Fault) and met.after is not None:
        return met.after + random.uniform(0.0, 1.0)
    return BACK_OFF(state)
