"""What a person sees while a sweep runs: how far it is, rate, spend, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from tsbench.store import Row

DRAWN = 0.5
"""Seconds between two drawings of the line on a terminal."""
PRINTED = 60.0
"""Seconds between two plain lines where the output is no terminal."""
FEW = 20
"""Replies before a rate says how long the rest takes."""
FAILED = ("error", "timeout", "sandbox_error")


class Progress:
    """One line for all that is asked; plain lines where the output is no terminal.

    `dollars` says what was spent, None where that is unknown.
    """

    def __init__(self, name: str, dollars: Callable[[], float | None] = lambda: None) -> None:
        self.console = Console(stderr=True)
        self.replies = self.tokens = self.failed = self.left = 0
        self._name, self._dollars = name, dollars
        self._most: dict[Hashable, int] = {}
        self._began = self._said = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[said]}"),
            console=self.console,
            refresh_per_second=1 / DRAWN,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None, said="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def expect(self, most: Mapping[Hashable, int], jobs: Mapping[Hashable, int]) -> None:
        """Begin: so many jobs of each group come, and each asks so much at most."""
        self._most |= most
        self.left += sum(most[group] * count for group, count in jobs.items())
        self._say()

    def count(self, row: Row) -> None:
        """Count a reply that is on disk."""
        self.replies += 1
        self.tokens += row["completion_tokens"] or 0
        self.failed += row["status"] in FAILED
        now = time.monotonic()
        if now - self._said >= (DRAWN if self.console.is_terminal else PRINTED):
            self._said = now
            self._say()

    def solved(self, group: Hashable) -> None:
        """Count a job that is done: it asks no more."""
        self.left -= self._most[group]

    def _say(self) -> None:
        said = f"{self.spend()}{self.ahead()}"
        if self.console.is_terminal:
            total = self.replies + self.left
            self._bar.update(self._task, completed=self.replies, total=total, said=said)
        else:
            self.console.print(f"{self._name}: {said}")

    def spend(self) -> str:
        """Return replies, tokens, rate and dollars so far."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        dollars = self._dollars()
        failed = f", {self.failed:,} failed" if self.failed else ""
        paid = "" if dollars is None else f", {dollars:,.2f} dollars"
        return (
            f"{self.replies:,} replies, {self.tokens:,} tokens, "
            f"{self.tokens / seconds:.0f} tok/s{failed}{paid}"
        )

    def ahead(self) -> str:
        """Return how much comes at most and, where a rate is known, how long that takes."""
        if not self.left:
            return ""
        more = f"; at most {self.left:,} more"
        if self.replies < FEW:
            return more
        seconds = self.left * (time.monotonic() - self._began) / self.replies
        return f"{more}, {clock(seconds)}"

    def summary(self) -> None:
        """Print what the sweep asked in all."""
        self.console.print(f"Asked now: {self.spend()}")


def clock(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
