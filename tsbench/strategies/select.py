"""Selection among replies: best-of-N by a verifier, a tournament, and minimum Bayes risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.similarity import mbr_scores
from tsbench.strategies.base import Draws, answered, best, judged
from tsbench.strategies.vote import vote
from tsbench.types import Draw, Judge, Problem, Reply, Steps


def selected(replies: Sequence[Reply], select: str) -> Steps:
    """Return the last reply, the vote's, or the best by the verifier that `select` names."""
    if select == "last":
        return replies[-1]
    if select == "vote":
        return vote(replies)
    given = answered(replies)
    return best(given, (yield from judged(given, select)))


@dataclass(frozen=True)
class BestOf(Draws):
    """Draw `k` replies, score each with `verifier`, return the best (best-of-N)."""

    verifier: str
    rounds: ClassVar[int] = 2

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


@dataclass(frozen=True)
class Tournament(Draws):
    """Draw `k` replies and knock them out in pairs that `verifier` compares; return the last one.

    Chen et al. 2024, arXiv 2411.19477. Replies with the same answer enter as one, the first of
    them. A pair without a score goes to its first reply.
    """

    verifier: str
    pairs: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"tournament:{self.verifier}"

    @property
    def rounds(self) -> int:
        """The draws, then a round for each halving of those that are left."""
        return 1 + (self.k - 1).bit_length()

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then a judge for each pair of a round."""
        replies = answered((yield [Draw()] * self.k))
        left = list({reply.answer: reply for reply in reversed(replies)}.values())[::-1]
        while len(left) > 1:
            pairs = list(zip(left[::2], left[1::2], strict=False))
            marks = yield [Judge(one, self.verifier, against=two) for one, two in pairs]
            lost = [mark.score is not None and mark.score < 0.5 for mark in marks]
            won = [pair[beaten] for pair, beaten in zip(pairs, lost, strict=True)]
            left = [*won, *left[2 * len(pairs) :]]
        return left[0] if left else None
