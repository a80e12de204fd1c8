"""Who may ask an endpoint next: the most urgent first, and fewer at a time while it is pressed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONGEST = 60.0
"""The most seconds that the gate stays shut of its own accord."""


class Closed(Exception):  # noqa: N818
    """Nobody is let in any more."""


class Gate:
    """At most `slots` asks of one endpoint at a time; those that wait are let in by priority.

    The number that is open falls by half when the endpoint says that it is asked too much, and
    rises by one for each full window of successes: additive increase, multiplicative decrease
    (Chiu and Jain 1989, "Analysis of the increase and decrease algorithms for congestion avoidance
    in computer networks"). `closing` is set once nobody is let in any more. Raises ValueError for
    slots below 1.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"a gate's slots must be at least 1, found {slots}")
        self.slots = self.open = slots
        self.held = 0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._successes = 0
        self._refusals = 0
        self._old = 0
        self._shut_until = 0.0
        self._opening: asyncio.TimerHandle | None = None
        self.closing = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Asks that are not let in yet."""
        return sum(not turn.done() for _, _, turn in self._waiting)

    @asynccontextmanager
    async def enter(self, priority: float) -> AsyncIterator[None]:
        """Hold one slot; of those that wait the smallest priority is first, then who came first.

        Raises Closed once the gate is.
        """
        if self.closing.is_set():
            raise Closed
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def close(self) -> None:
        """Let nobody in any more; those that wait raise Closed, those that are in stay in."""
        self.closing.set()
        for _, _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(Closed())
        self._waiting.clear()

    def slow(self, seconds: float | None = None) -> None:
        """Let nobody in for `seconds`, and half as many from then on, at least one.

        None waits a second or so, twice as long for each refusal in a row, with jitter. Answers
        to what was asked before the last halving halve nothing again: they say the same.
        """
        loop = asyncio.get_running_loop()
        self._successes = 0
        if self._old:
            self._old -= 1
        else:
            self.open = max(1, self.open // 2)
            self._old = max(0, self.held - 1)
            self._refusals += 1
        if seconds is None:
            seconds = random.uniform(0.5, 1.0) * min(LONGEST, 2.0 ** (self._refusals - 1))
        self._shut_until = max(self._shut_until, loop.time() + seconds)

    def fine(self) -> None:
        """Count a success; a window of them opens one slot more, up to `slots`."""
        self._refusals = 0
        self._old = max(0, self._old - 1)
        if self.open == self.slots:
            return
        self._successes += 1
        if self._successes >= self.open:
            self._successes = 0
            self.open += 1
            self._admit()

    def _leave(self) -> None:
        self.held -= 1
        self._old = min(self._old, self.held)
        self._admit()

    def _admit(self) -> None:
        """Let in as many as may be, now or when the gate is no longer shut."""
        while self._waiting and self.held < self.open:
            loop = asyncio.get_running_loop()
            if (left := self._shut_until - loop.time()) > 0:
                if self._opening is None:
                    self._opening = loop.call_later(left, self._reopen)
                return
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self.held += 1
                turn.set_result(None)

    def _reopen(self) -> None:
        self._opening = None
        self._admit()
