"""The strategies that each task class is swept with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.strategies.checks import positive
from tsbench.types import Strategy


@dataclass(frozen=True)
class Suite:
    """Lists of strategies, one for each task class; `k` is the pool that they share."""

    k: int
    math: Sequence[Strategy] = ()
    code: Sequence[Strategy] = ()
    open_ended: Sequence[Strategy] = ()

    def __post_init__(self) -> None:
        positive("strategy.k", self.k)

    def of(self, task_class: str) -> Sequence[Strategy]:
        """Return the class's strategies; ValueError where the suite has no such class."""
        known = {"math": self.math, "code": self.code, "open_ended": self.open_ended}
        if task_class not in known:
            raise ValueError(
                f"task.task_class {task_class!r} has no strategies in strategy=suite; use one of "
                f"{', '.join(known)}, or name a strategy"
            )
        return known[task_class]
