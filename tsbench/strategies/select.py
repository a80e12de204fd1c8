"""Selection among independent draws: best-of-N by a verifier, and minimum Bayes risk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.strategies.checks import positive
from tsbench.strategies.similarity import mbr_scores
from tsbench.types import Draw, Judge, Problem, Reply, Steps


def best(replies: Sequence[Reply], scores: Sequence[float | None]) -> Reply | None:
    """Return the first reply with the highest score; one without a score ranks below all."""
    ranked = [-math.inf if score is None else score for score in scores]
    return replies[ranked.index(max(ranked))] if replies else None


@dataclass(frozen=True)
class BestOf:
    """Draw `k` replies, score each with `verifier`, return the best (best-of-N)."""

    k: int
    verifier: str

    def __post_init__(self) -> None:
        positive("k", self.k)

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"best-of-n:{self.verifier}"

    @property
    def budget(self) -> int:
        """The number of draws."""
        return self.k

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then a judge for each reply that gave an answer."""
        replies = [r for r in (yield [Draw()] * self.k) if r.answer is not None]
        if not replies:
            return None
        marks = yield [Judge(reply, self.verifier) for reply in replies]
        return best(replies, [mark.score for mark in marks])


@dataclass(frozen=True)
class MinimumBayesRisk:
    """Draw `k` replies and return the one most like the others; it costs no further call."""

    k: int
    name: ClassVar[str] = "mbr"

    def __post_init__(self) -> None:
        positive("k", self.k)

    @property
    def budget(self) -> int:
        """The number of draws."""
        return self.k

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once."""
        replies = yield [Draw()] * self.k
        return best(replies, mbr_scores([reply.answer for reply in replies]))
