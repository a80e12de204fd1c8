"""A reward model or a process reward model behind an endpoint of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tsbench.models.base import Model
from tsbench.types import Judge, Message, Problem, VerifierCall, VerifierReply

REDUCE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "mean": lambda scores: sum(scores) / len(scores),
    "product": math.prod,
}


@dataclass(frozen=True)
class RewardModel:
    """The score that `model` gives to the problem's messages followed by the reply.

    Of several scores, one for a step, `reduce` makes one: last (Snell et al. 2024, arXiv
    2408.03314), min or product (Lightman et al. 2023, arXiv 2305.20050), or mean.
    """

    model: Model = field(repr=False)
    reduce: str = "last"
    name: str = "reward"

    def __post_init__(self) -> None:
        if self.reduce not in REDUCE:
            raise ValueError(f"reduce must be one of {', '.join(REDUCE)}, found {self.reduce!r}")

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show the conversation with the reply as its last turn."""
        return (VerifierCall((*problem.messages, Message("assistant", ask.reply.text))),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the reduced score."""
        scores = verdicts[0].scores if verdicts else ()
        return REDUCE[self.reduce](scores) if scores else None
