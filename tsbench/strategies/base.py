"""What several strategies share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.strategies.checks import positive
from tsbench.types import Judge, Reply, Scores, Strategy


@dataclass(frozen=True)
class Draws:
    """A strategy over at most `k` replies; that number is its budget."""

    k: int

    def __post_init__(self) -> None:
        positive("k", self.k)

    @property
    def budget(self) -> int:
        """The number of replies."""
        return self.k


def rounds(strategy: Strategy) -> int:
    """Return the most lists of asks that a strategy yields; 1 where it does not say."""
    return int(getattr(strategy, "rounds", 1))


def answered(replies: Sequence[Reply]) -> list[Reply]:
    """Return the replies that gave an answer."""
    return [reply for reply in replies if reply.answer is not None]


def judged(replies: Sequence[Reply], verifier: str) -> Scores:
    """Yield a judge for each reply and return their scores, None where there was none."""
    marks = (yield [Judge(reply, verifier) for reply in replies]) if replies else []
    return [mark.score for mark in marks]


def best(replies: Sequence[Reply], scores: Sequence[float | None]) -> Reply | None:
    """Return the first reply with the highest score; one without a score ranks below all."""
    ranked = [-math.inf if score is None else score for score in scores]
    return replies[ranked.index(max(ranked))] if replies else None
