"""What a sweep consists of, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsbench.ledger import POOLED
from tsbench.runner import Job
from tsbench.strategies import Composed, WeightedVote
from tsbench.strategies.base import rounds
from tsbench.types import Item, Message, Problem, Strategy, Task

Plan = Sequence[tuple[Task, list[Item], list[Strategy]]]
"""Each task with its problems and its strategies."""


def queue(plan: Plan, replicates: int) -> Iterator[Job]:
    """Yield the jobs, those with the longest way to go first, so that none is late at the end.

    Among equals a task's headers stay together, and so do the strategies of a problem. A job's
    label is the place of its task, of its strategy and of its problem.
    """
    ahead = [[rounds_ahead(s, strategies) for s in strategies] for _, _, strategies in plan]
    for most in sorted({each for several in ahead for each in several}, reverse=True):
        for t, (task, items, strategies) in enumerate(plan):
            chosen = [s for s, each in enumerate(ahead[t]) if each == most]
            for p, problem in enumerate(in_header_order([item.problem for item in items])):
                for s in chosen:
                    unit, repeats = repeated(strategies[s], replicates)
                    yield Job(task, problem, unit, repeats, (t, s, p))


def rounds_ahead(strategy: Strategy, others: Sequence[Strategy]) -> int:
    """Return the rounds of a strategy; 0 of an early stop whose draws another makes at once."""
    if type(strategy) in POOLED and rounds(strategy) > 2:
        pools = [other for other in others if type(other) in POOLED and rounds(other) <= 2]
        if any(pool.budget >= strategy.budget for pool in pools):
            return 0
    return rounds(repeated(strategy, 1)[0])


def repeated(strategy: Strategy, replicates: int) -> tuple[Strategy, int]:
    """Return what is run for a strategy and how often: once where a pool stands in for it."""
    if isinstance(strategy, Composed):
        return strategy.unit, strategy.k
    return strategy, 1 if type(strategy) in POOLED else replicates


def by_run(strategy: Strategy) -> bool:
    """Say whether outcomes are made of each run of a strategy, and not of its pool alone."""
    return type(strategy) not in POOLED or isinstance(strategy, WeightedVote)


def in_header_order(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with equal worked examples side by side, so that a server's prefix
    cache holds them; otherwise in their order.
    """
    first: dict[tuple[Message, ...], int] = {}
    for i, problem in enumerate(problems):
        first.setdefault(problem.messages[:-1], i)
    return sorted(problems, key=lambda problem: first[problem.messages[:-1]])
