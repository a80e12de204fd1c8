"""What a person sees while a sweep runs: rate, spend, time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tsbench.store import Row


class Progress:
    """One line a task and strategy; plain lines where the output is no terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.replies = self.tokens = self.failed = 0
        self._began = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description:<34}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("problems {task.fields[spend]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name = ""

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

    def start(self, name: str, problems: int) -> None:
        """Begin a line."""
        self._name = name
        self._task = self._bar.add_task(name, total=problems, spend=self.spend())
        if not self.console.is_terminal:
            self.console.print(f"{name}: {problems} problems; so far {self.spend()}")

    def count(self, row: Row) -> None:
        """Count a reply that is on disk."""
        self.replies += 1
        self.tokens += row["completion_tokens"] or 0
        self.failed += row["status"] in ("error", "timeout", "sandbox_error")
        if self._task is not None:
            self._bar.update(self._task, spend=self.spend())

    def solved(self) -> None:
        """Count a problem that is done."""
        if self._task is not None:
            self._bar.advance(self._task)

    def spend(self) -> str:
        """Return replies, tokens and rate so far."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        failed = f", {self.failed} failed" if self.failed else ""
        return (
            f"{self.replies:,} replies, {self.tokens:,} tokens, "
            f"{self.tokens / seconds:.0f} tok/s{failed}"
        )

    def summary(self) -> None:
        """Print what the sweep asked in all."""
        self.console.print(f"Asked now: {self.spend()}")
