"""Sends a request again where that may help, and counts what it cost."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from tsbench.models.base import NOTHING
from tsbench.models.faults import Fault, fault
from tsbench.models.gate import Gate
from tsbench.types import Usage

PAID = 3
"""Attempts at most of which each may have generated tokens for nothing."""
OWN = 8
"""Attempts at most that fail while others are answered: it is the request that is at fault."""
QUIET = 5.0
"""Seconds without an answer after which a line says so."""
JITTER = 1.0
"""Seconds at most that are added to what Retry-After asks for, so that not all come at once."""
FIRST, LONGEST = 0.5, 30.0
"""Seconds at most before the second attempt, and before any."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Tried(Generic[T]):
    """What became of a request: its answer or its last fault, and what all attempts took.

    `seconds` is how long the answer took, of the last attempt alone. `paid` and `own` count
    faults after which tokens may have been generated, and those that are not of the load; the
    first was at `since`.
    """

    answer: T | None = None
    fault: Fault | None = None
    attempts: int = 0
    seconds: float = 0.0
    wasted: Usage = NOTHING
    paid: int = 0
    own: int = 0
    since: float = 0.0


class Retry:
    """The attempts at one endpoint.

    A fault that may pass is met by another attempt, after what Retry-After asks for or else after
    a random time in an interval that doubles (0.5 s to 30 s). It goes on until the endpoint gave
    nobody an answer, or this request, for `patience` seconds, or Retry-After asks for more than
    are left; at most `PAID` times where tokens may have been paid for; at most `OWN` times while
    others are answered; and not once the gate is closed. The gate is told when the endpoint is
    asked too much, and when all is well. `hide` takes secrets out of what is said.
    """

    def __init__(self, gate: Gate, patience: float, hide: Callable[[str], str] = str) -> None:
        self.gate, self.patience, self.hide = gate, patience, hide
        self.answered = 0.0
        self.down_since: float | None = None
        self._said = False

    async def __call__(self, send: Callable[[], Awaitable[T]]) -> Tried[T]:
        """Send until there is an answer, or a fault that is the last."""
        tried = Tried[T]()
        while True:
            try:
                tried.answer = await self._once(send, tried)
            except Fault as met:
                pause = wait(met, tried.attempts)
                if not met.again or self._enough(tried, pause):
                    tried.fault = met
                    return tried
                await self._sleep(pause)
            else:
                return tried

    async def _once(self, send: Callable[[], Awaitable[T]], tried: Tried[T]) -> T:
        tried.attempts += 1
        began = time.monotonic()
        try:
            answer = await send()
        except Exception as error:
            met = fault(error)
            met.reason = self.hide(met.reason)
            self._met(met, tried)
            raise met from error
        self.answered = time.monotonic()
        tried.seconds = self.answered - began
        self.down_since, self._said = None, False
        self.gate.fine()
        return answer

    def _met(self, met: Fault, tried: Tried[T]) -> None:
        """Take in a fault: of the request, and of the endpoint."""
        now = time.monotonic()
        tried.since = tried.since or now
        tried.wasted += met.wasted
        tried.paid += met.paid
        tried.own += not met.pressed
        self.down_since = self.down_since or now if met.again else None
        if met.pressed:
            long = met.after is not None and met.after > self.patience
            self.gate.slow(None if long else met.after)
        if self.down_since and now - self.down_since > QUIET and not self._said:
            self._said = True
            log.warning(
                "the endpoint has given no answer for %.0f s (%s); it is asked for %.0f s in all",
                now - self.down_since,
                met.reason,
                self.patience,
            )

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the gate is closed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gate.closing.wait(), seconds)

    def _enough(self, tried: Tried[T], pause: float) -> bool:
        since = min(tried.since, self.down_since or tried.since)
        late = time.monotonic() - since + pause > self.patience
        alone = tried.own >= OWN and self.answered > tried.since
        return late or alone or tried.paid >= PAID or self.gate.closing.is_set()


def wait(met: Fault, attempts: int) -> float:
    """Return the seconds before the next attempt.

    Those that Retry-After asks for, else a random time up to a bound that doubles: "full jitter",
    Brooker 2015, "Exponential backoff and jitter".
    """
    if met.after is not None:
        return met.after + random.uniform(0.0, JITTER)
    return random.uniform(0.0, min(LONGEST, FIRST * 2.0 ** (attempts - 1)))
