"""An arm: a strategy at a budget, that a problem can be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SINGLE = "single"
ADAPTIVE = "adaptive-vote"
VERIFIED = "verified-stop"
GRADE = "grade"
"""The verifier that is the grade itself, where a draw's grade is known when it is made."""


@dataclass(frozen=True)
class Arm:
    """A strategy at a budget. `params` are settings of one that stops early.

    `pooled` arms use the draws of the plain pool, so a pilot's are theirs; `verifier` scores each
    of their draws. `fixed` arms are a uniform budget; the others stop when they have seen enough.
    """

    strategy: str
    budget: float
    params: Mapping[str, float] = field(default_factory=dict)
    verifier: str | None = None
    pooled: bool = True
    fixed: bool = True

    @property
    def name(self) -> str:
        """The strategy, its settings and its budget: "adaptive-vote (confidence 0.95) @ 32"."""
        said = ", ".join(f"{key} {value:.3g}" for key, value in self.params.items())
        return f"{self.strategy}{f' ({said})' if said else ''} @ {self.budget:g}"
