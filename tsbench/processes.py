"""Processes that are forked from a small server which has the graders loaded.

A new one starts in milliseconds, so that one which was killed costs little, and it shares neither
this process's threads nor its main module.
"""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import ClassVar

from tsbench.keys import no_keys

LOADED = ["tsbench.tasks.benchmark", "tsbench.grading"]
"""What the server imports before it forks."""


class Alone(ForkServerProcess):
    """A process that does not import the main module of its parent anew."""

    def start(self) -> None:
        """Start; a script needs no guard around what it does, and no key is handed on."""
        with no_main(), no_keys(), no_interrupt():
            super().start()


class Apart(ForkServerContext):
    """The context of such processes."""

    Process: ClassVar[type[Alone]] = Alone

    def __init__(self) -> None:
        super().__init__()
        self.set_forkserver_preload(LOADED)


def begin() -> None:
    """Start the server now, so that the graders are loaded by the time that they are wanted."""
    Apart()
    with no_main(), no_keys(), no_interrupt():
        forkserver.ensure_running()


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Let what is started now not hear Ctrl-C, which is for this process to answer."""
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def no_main() -> Iterator[None]:
    """Hide the main module for a moment."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
