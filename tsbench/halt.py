"""Ends a sweep before its end, cleanly: by a signal or at a limit."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIMIT = 3
"""The exit code of a call that a limit ended."""
ENDS = (signal.SIGINT, signal.SIGTERM)


class Halted(Exception):  # noqa: N818
    """The sweep was ended before its end; the sentence says why and how to go on."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class Halt:
    """Remembers why to end, and has `stop` called for it. A signal outranks a limit."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.code = 0
        self._stop: Callable[[], None] = lambda: None

    def stops(self, stop: Callable[[], None]) -> None:
        """Have `stop` called at the end; now, if that has come."""
        self._stop = stop
        if self:
            stop()

    def __bool__(self) -> bool:
        return self.reason is not None

    @property
    def at_limit(self) -> bool:
        """Whether a limit was the reason."""
        return self.code == LIMIT

    @property
    def by_signal(self) -> bool:
        """Whether a signal was the reason."""
        return self.code > LIMIT

    def now(self, reason: str, code: int) -> None:
        """End for a reason, unless there is one already that it does not outrank."""
        if self.reason is None or self.at_limit:
            self.reason, self.code = reason, code
            self._stop()


@contextmanager
def signals(halt: Halt) -> Iterator[None]:
    """End by the first Ctrl-C or SIGTERM, and cancel the current task by the second.

    The exit code is 128 plus the signal's number, as shells have it. Only a program's main thread
    gets signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end(which: signal.Signals) -> None:
        if halt.by_signal:
            task.cancel()
            return
        name = "Ctrl-C" if which is signal.SIGINT else which.name
        print(
            f"\n{name}: no new asks; those in flight are awaited and saved ({name} again ends at "
            "once)",
            file=sys.stderr,
        )
        halt.now(f"ended by {name}", 128 + which)

    for each in ENDS:
        loop.add_signal_handler(each, end, each)
    try:
        yield
    finally:
        for each in ENDS:
            loop.remove_signal_handler(each)
