"""A policy of `tsbench route` as a strategy, and the controller that runs its arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tsbench.arm import ADAPTIVE, GRADE, SINGLE, VERIFIED, Arm
from tsbench.calibration import agreement_features, prompt_features
from tsbench.policy import Choice, Part, Policy
from tsbench.strategies.base import answered, best, rounds
from tsbench.strategies.budget import Forced, Prompted, Truncated
from tsbench.strategies.select import BestOf, MinimumBayesRisk
from tsbench.strategies.vote import Majority, WeightedVote, certainty, vote
from tsbench.types import Ask, Draw, Judge, Problem, Reply, Steps, Strategy

BEST = "best-of-n"
NAMED: Mapping[str, Callable[[int], Strategy]] = {
    "forced": Forced,
    "truncated": Truncated,
    "prompted": Prompted,
    "mbr": MinimumBayesRisk,
}
"""Strategies whose name and budget make them whole."""

Marks = dict[str, Reply]
"""The verdicts on replies that were judged, by the key of the reply."""


@dataclass(frozen=True)
class Routed:
    """Do on each problem what a `policy` of `tsbench route` says.

    The pilot that the problem's class needs is drawn, its features are made, the policy chooses an
    arm, and the arm goes on from the pilot. `others` are the strategies, as they were measured,
    that the policy's file cannot make by name and budget alone (a beam search).
    """

    policy: str
    others: tuple[Strategy, ...] = ()
    loaded: Policy = field(init=False, repr=False, compare=False)
    name: ClassVar[str] = "routed"

    def __post_init__(self) -> None:
        object.__setattr__(self, "others", tuple(self.others))
        object.__setattr__(self, "loaded", Policy.load(self.policy))
        for arm in self.arms:
            if not arm.pooled:
                whole(arm, self.others)
            if arm.verifier == GRADE:
                raise ValueError(
                    f"policy {self.policy} has the arm {arm.name}, which needs the grade of a draw "
                    "when it is made; a live policy needs a verifier."
                )

    @property
    def arms(self) -> list[Arm]:
        """Every arm that the policy may choose."""
        parts = self.loaded.parts
        found = [arm for part in parts for arm in (*part.arms, part.fallback)]
        return [*found, self.loaded.fallback]

    @property
    def budget(self) -> int:
        """The most replies, or tokens of thought, of any arm, or the pilot where it is larger."""
        pilot = max((part.pilot for part in self.loaded.parts), default=0)
        return pilot + max(math.ceil(arm.budget) for arm in self.arms)

    @property
    def verifiers(self) -> tuple[str, ...]:
        """The verifiers that the policy may ask."""
        asked = [part.verifier for part in self.loaded.parts] + [arm.verifier for arm in self.arms]
        return tuple(dict.fromkeys(name for name in asked if name))

    @property
    def verifier(self) -> str | None:
        """The first of them."""
        return next(iter(self.verifiers), None)

    @property
    def rounds(self) -> int:
        """The most lists of asks of any arm, with the pilot's and its judge's."""
        return 2 + max(turns(arm, self.others) for arm in self.arms)

    @property
    def continues(self) -> bool:
        """Whether an arm continues a prefix."""
        made = [whole(arm, self.others) for arm in self.arms if not arm.pooled]
        return any(getattr(strategy, "continues", False) for strategy in made)

    def run(self, problem: Problem) -> Steps:
        """Yield the pilot, a judge of its first draw where one is needed, then the arm's asks."""
        return (yield from self.told(problem, lambda choice: None))

    def told(self, problem: Problem, tell: Callable[[Choice], None]) -> Steps:
        """Run, and `tell` which arm was chosen, as soon as it is."""
        part = self.loaded.part(problem.task_class)
        pilot, marks = ([], {}) if part is None else (yield from looked(part))
        if part is None:
            choice = self.loaded.choose({"task_class": problem.task_class})
        else:
            choice = part.choose(features(part, problem, pilot, marks))
        tell(choice)
        return (yield from carried_on(choice.arm, pilot, marks, problem, self.others))


def looked(part: Part) -> Generator[Sequence[Ask], list[Reply], tuple[list[Reply], Marks]]:
    """Yield what a class's estimate needs; return its draws and their verdicts."""
    if not part.pilot:
        return [], {}
    pilot = yield [Draw()] * part.pilot
    marks: Marks = {}
    if part.verifier is not None and pilot[0].answer is not None:
        marks = yield from marked(pilot[:1], part.verifier, {})
    return pilot, marks


def features(
    part: Part, problem: Problem, pilot: Sequence[Reply], marks: Marks
) -> dict[str, float | str]:
    """Return all features of a problem and its pilot; what is not known is left out."""
    found: dict[str, Any] = dict(prompt_features(problem.messages[-1].content))
    if problem.stratum is not None:
        found["level"] = problem.stratum
    if pilot:
        first, made = pilot[0], pilot[0].usage.completion_tokens
        found |= agreement_features([reply.answer for reply in pilot])
        found |= {
            "first_log_tokens": None if made is None else math.log2(1 + made),
            "first_logprob": first.logprob_mean,
            "first_confidence": first.confidence,
            "first_answered": float(first.answer is not None and first.status == "ok"),
            "prompt_tokens": first.usage.prompt_tokens,
        }
        if part.verifier is not None and first.key in marks:
            found[f"score:{part.verifier}"] = marks[first.key].score
    return {name: value for name, value in found.items() if value is not None}


def carried_on(
    arm: Arm, pilot: Sequence[Reply], marks: Marks, problem: Problem, others: Sequence[Strategy]
) -> Steps:
    """Yield what an arm asks after a pilot; return the reply that it picks.

    An arm of draws begins with the pilot's, in their order, and asks for the others. The marks of
    replies that its verifier has judged are not asked for again.
    """
    if not arm.pooled:
        return (yield from whole(arm, others).run(problem))
    kind, k = arm.strategy.partition(":")[0], int(arm.budget)
    if kind == ADAPTIVE:
        return (yield from until_sure(pilot, k, arm.params["confidence"]))
    if kind == VERIFIED:
        assert arm.verifier is not None
        return (yield from until_accepted(pilot, marks, k, arm.verifier, arm.params["score"]))
    replies = yield from drawn(pilot, k)
    if kind == SINGLE:
        return replies[0]
    if kind == Majority.name:
        return vote(replies)
    assert arm.verifier is not None
    given = answered(replies)
    marks = yield from marked(given, arm.verifier, marks)
    return best(given, [marks[reply.key].score for reply in given])


def drawn(pilot: Sequence[Reply], k: int) -> Generator[Sequence[Ask], list[Reply], list[Reply]]:
    """Yield the draws that are lacking to k; return k replies, the pilot's first."""
    if k <= len(pilot):
        return list(pilot[:k])
    return [*pilot, *(yield [Draw()] * (k - len(pilot)))]


def marked(
    replies: Sequence[Reply], verifier: str, marks: Marks
) -> Generator[Sequence[Ask], list[Reply], Marks]:
    """Yield a judge for each reply that has no mark; return the marks of all."""
    new = [reply for reply in replies if reply.key not in marks]
    given = (yield [Judge(reply, verifier) for reply in new]) if new else []
    return marks | {reply.key: mark for reply, mark in zip(new, given, strict=True)}


def until_sure(pilot: Sequence[Reply], k: int, confidence: float) -> Steps:
    """Yield a draw at a time until the leader is ahead with `confidence`; return the vote's.

    The pilot's draws are looked at one by one first, as if they came so.
    """
    replies: list[Reply] = []
    for place in range(k):
        if certainty(replies) > confidence:
            break
        replies += [pilot[place]] if place < len(pilot) else (yield [Draw()])
    return vote(replies)


def until_accepted(
    pilot: Sequence[Reply], marks: Marks, k: int, verifier: str, score: float
) -> Steps:
    """Yield a draw and its judge until one scores `score`; return it, else the best of all."""
    replies: list[Reply] = []
    for place in range(k):
        replies += [pilot[place]] if place < len(pilot) else (yield [Draw()])
        if replies[-1].answer is not None:
            marks = yield from marked(replies[-1:], verifier, marks)
            found = marks[replies[-1].key].score
            if found is not None and found >= score:
                return replies[-1]
    given = answered(replies)
    return best(given, [marks[reply.key].score for reply in given])


def whole(arm: Arm, others: Sequence[Strategy]) -> Strategy:
    """Return the strategy of an arm that no pilot is part of; ValueError where it is not known."""
    for strategy in others:
        if strategy.name == arm.strategy and strategy.budget == arm.budget:
            return strategy
    kind, _, verifier = arm.strategy.partition(":")
    if arm.strategy in NAMED:
        return NAMED[arm.strategy](int(arm.budget))
    if kind == "weighted-best-of-n":
        return WeightedVote(int(arm.budget), verifier)
    if kind == BEST:
        return BestOf(int(arm.budget), verifier)
    known = ", ".join(f"{s.name} @ {s.budget}" for s in others) or "none"
    raise ValueError(
        f"policy has the arm {arm.name}, which its name does not make; give it in others, where "
        f"there is: {known}."
    )


def turns(arm: Arm, others: Sequence[Strategy]) -> int:
    """Return the most lists of asks that an arm yields."""
    if not arm.pooled:
        return rounds(whole(arm, others))
    kind = arm.strategy.partition(":")[0]
    each = {ADAPTIVE: int(arm.budget), VERIFIED: 2 * int(arm.budget), BEST: 2}
    return each.get(kind, 1)
