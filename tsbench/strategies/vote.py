"""Majority vote (self-consistency; Wang et al. 2023, arXiv 2203.11171)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.strategies.checks import positive
from tsbench.types import Draw, Problem, Reply, Steps


def vote(replies: Sequence[Reply]) -> Reply | None:
    """Return the first reply with the most common answer; None if no reply has an answer.

    Among answers with equal counts the one seen first wins, which is a fair tie-break
    because draws are exchangeable. Replies without an answer do not vote.
    """
    answers = [reply.answer for reply in replies if reply.answer is not None]
    if not answers:
        return None
    winner = Counter(answers).most_common(1)[0][0]
    return next(reply for reply in replies if reply.answer == winner)


@dataclass(frozen=True)
class Single:
    """One pass: the first draw, whatever it is."""

    name: ClassVar[str] = "single"
    budget: ClassVar[int] = 1

    def run(self, problem: Problem) -> Steps:
        """Yield one draw and return its reply."""
        (reply,) = yield [Draw()]
        return reply


@dataclass(frozen=True)
class Majority:
    """Draw `k` replies and return one with the most common answer."""

    k: int
    name: ClassVar[str] = "maj@k"

    def __post_init__(self) -> None:
        positive("k", self.k)

    @property
    def budget(self) -> int:
        """The number of draws."""
        return self.k

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once."""
        return vote((yield [Draw()] * self.k))


@dataclass(frozen=True)
class Coverage:
    """Draw `k` replies so that pass@k can be estimated; an oracle would pick, so this picks none.

    Chen et al. 2021, arXiv 2107.03374.
    """

    k: int
    name: ClassVar[str] = "pass@k"

    def __post_init__(self) -> None:
        positive("k", self.k)

    @property
    def budget(self) -> int:
        """The number of draws."""
        return self.k

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once and return None: only an oracle knows which is right."""
        yield [Draw()] * self.k
        return None
