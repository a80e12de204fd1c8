"""Votes: majority, weighted by a verifier, and those that stop early."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.strategies.base import Draws, answered, judged
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


def weighted_vote(replies: Sequence[Reply], scores: Sequence[float | None]) -> Reply | None:
    """Return the first reply with the answer whose scores have the largest sum; None of none.

    A missing score adds nothing. Raises ValueError for a negative score, with which more votes
    would count for less.
    """
    weight: dict[str, float] = {}
    for reply, score in zip(replies, scores, strict=True):
        if score is not None and score < 0:
            raise ValueError(f"a weighted vote needs scores of 0 and more, found {score:g}")
        if reply.answer is not None:
            weight[reply.answer] = weight.get(reply.answer, 0.0) + (score or 0.0)
    if not weight:
        return None
    winner = max(weight, key=lambda answer: weight[answer])
    return next(reply for reply in replies if reply.answer == winner)


def certainty(replies: Sequence[Reply]) -> float:
    """Return the posterior chance that the leading answer stays ahead of the runner-up, 0.5 to 1.

    With v1 and v2 votes it is P(p > 1/2) for p ~ Beta(v1 + 1, v2 + 1) (Aggarwal et al. 2023,
    arXiv 2305.11860), which is P(X <= v1) for X ~ Binomial(v1 + v2 + 1, 1/2).
    """
    votes = Counter(reply.answer for reply in answered(replies)).most_common(2)
    lead, second = ([count for _, count in votes] + [0, 0])[:2]
    n = lead + second + 1
    return math.ldexp(sum(math.comb(n, i) for i in range(lead + 1)), -n)


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
class Majority(Draws):
    """Draw `k` replies and return one with the most common answer.

    Self-consistency; Wang et al. 2023, arXiv 2203.11171.
    """

    name: ClassVar[str] = "maj@k"

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once."""
        return vote((yield [Draw()] * self.k))


@dataclass(frozen=True)
class Coverage(Draws):
    """Draw `k` replies so that pass@k can be estimated; an oracle would pick, so this picks none.

    Chen et al. 2021, arXiv 2107.03374.
    """

    name: ClassVar[str] = "pass@k"

    def run(self, problem: Problem) -> Steps:
        """Yield k draws at once and return None: only an oracle knows which is right."""
        yield [Draw()] * self.k
        return None


@dataclass(frozen=True)
class WeightedVote(Draws):
    """Draw `k` replies and return one whose answer has the largest sum of `verifier`'s scores.

    Li et al. 2023, arXiv 2206.02336; "best-of-N weighted" in Snell et al. 2024, arXiv 2408.03314.
    """

    verifier: str
    rounds: ClassVar[int] = 2

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"weighted-best-of-n:{self.verifier}"

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then a judge for each reply that gave an answer."""
        replies = answered((yield [Draw()] * self.k))
        return weighted_vote(replies, (yield from judged(replies, self.verifier)))


@dataclass(frozen=True)
class AdaptiveVote(Draws):
    """Draw `batch` replies at a time until the leader is ahead with `confidence`; at most `k`.

    Adaptive-Consistency; Aggarwal et al. 2023, arXiv 2305.11860.
    """

    batch: int = 1
    confidence: float = 0.95
    name: ClassVar[str] = "adaptive-vote"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("batch", self.batch)
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be in [0.5, 1), found {self.confidence!r}")

    @property
    def rounds(self) -> int:
        """The most batches."""
        return math.ceil(self.k / self.batch)

    def run(self, problem: Problem) -> Steps:
        """Yield a batch of draws at a time."""
        replies: list[Reply] = []
        while len(replies) < self.k and certainty(replies) <= self.confidence:
            replies += yield [Draw()] * min(self.batch, self.k - len(replies))
        return vote(replies)


@dataclass(frozen=True)
class WindowVote(Draws):
    """Draw `window` replies at a time until all of one window agree; at most `k`.

    Early-stopping self-consistency; Li et al. 2024, arXiv 2401.10480. The vote is over all
    replies. A window with a reply that gave no answer does not agree.
    """

    window: int = 4
    name: ClassVar[str] = "window-vote"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("window", self.window)

    @property
    def rounds(self) -> int:
        """The most windows."""
        return math.ceil(self.k / self.window)

    def run(self, problem: Problem) -> Steps:
        """Yield a window of draws at a time."""
        replies: list[Reply] = []
        agreed = False
        while len(replies) < self.k and not agreed:
            window = yield [Draw()] * min(self.window, self.k - len(replies))
            replies += window
            agreed = window[0].answer is not None and len({r.answer for r in window}) == 1
        return vote(replies)
