"""Selection among independent draws: best-of-N by a verifier, and minimum Bayes risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tsbench.strategies.base import Draws, answered, best, judged
from tsbench.strategies.similarity import mbr_scores
from tsbench.types import Draw, Problem, Steps


@dataclass(frozen=True)
class BestOf(Draws):
    """Draw `k` replies, score each with `verifier`, return the best (best-of-N)."""

    verifier: str

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"best-of-n:{self.verifier}"

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then a judge for each reply that gave an answer."""
        replies = answered((yield [Draw()] * self.k))
        return best(replies, (yield from judged(replies, self.verifier)))


@dataclass(frozen=True)
class MinimumBayesRisk(Draws):
    """Draw `k` replies and return the one most like the others; it costs no further call."""

    name: ClassVar[str] = "mbr"

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once."""
        replies = yield [Draw()] * self.k
        return best(replies, mbr_scores([reply.answer for reply in replies]))
