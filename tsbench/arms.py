"""Arms: every strategy and budget that a problem can be sent to, with what it does and spends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtr

from tsbench import prefixes
from tsbench.arm import ADAPTIVE, GRADE, SINGLE, VERIFIED, Arm
from tsbench.cells import ALL, HELD, Cells
from tsbench.estimates import BEST, MAJORITY, ORACLE, deployable
from tsbench.grid import thin

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
"""How sure of its leader a vote is when it stops."""
CAPS = (8, 32)
"""The most draws of a rule that stops early, besides those asked for and all that there are."""
ACCEPTED = (0.5, 0.75, 0.9, 0.97)
"""Quantiles of a verifier's scores at which it accepts a draw."""
BUDGETS = 6
"""The most budgets of a strategy that is not made of a pool's draws."""
VISITS = 8000
"""About so many visits are made, all problems together;"""
ORDERS = (4, 64)
"""and so many orders of a problem's draws at least, and at most."""


@dataclass(frozen=True)
class Pool:
    """The plain draws of one class and model; arrays are (problems, draws).

    `problems` has a row per problem, by name. `right` is each draw's correctness, `worth` its
    answer's; `answer` numbers the answers of a problem from 0, -1 is none; None where no draw has
    one. `spend` is on the axis, `seconds` None where unknown. `traits` are what is known of a draw
    once it is made. By verifier, `scores` (NaN: none), what they cost, `judging`, and how long
    they took, `checking`.
    """

    problems: pd.DataFrame
    right: Array
    worth: Array
    answer: Counts | None
    spend: Array
    seconds: Array | None
    traits: Mapping[str, Array]
    scores: Mapping[str, Array]
    judging: Mapping[str, Array]
    checking: Mapping[str, Array]

    @property
    def n(self) -> int:
        """Draws of a problem."""
        return int(self.right.shape[1])

    def reach(self, verifier: str) -> int:
        """Return up to which draw the verifier judged: all that it has, if it scored any."""
        scored = np.flatnonzero((~np.isnan(self.scores[verifier])).any(axis=0))
        return int(scored.max()) + 1 if scored.size else self.n

    def at(self, rows: Counts) -> Pool:
        """Return the pool of these problems."""

        def of(tables: Mapping[str, Array]) -> dict[str, Array]:
            return {name: table[rows] for name, table in tables.items()}

        return Pool(
            self.problems.iloc[rows],
            self.right[rows],
            self.worth[rows],
            None if self.answer is None else self.answer[rows],
            self.spend[rows],
            None if self.seconds is None else self.seconds[rows],
            of(self.traits),
            of(self.scores),
            of(self.judging),
            of(self.checking),
        )


@dataclass(frozen=True)
class Visits:
    """A pool's draws in random orders: each problem is visited once with each of its orders.

    `problem` (visits,) and `order` (visits, n). An order's first m draws are the pilot, and an arm
    of k draws uses the first k: the pilot is part of it and is not drawn again.
    """

    pool: Pool
    problem: Counts
    order: Counts

    @classmethod
    def of(cls, pool: Pool, seed: int) -> Visits:
        """Return about VISITS visits, as many to each problem.

        Where a verifier judged the first draws of a pool alone, one of these comes first.
        """
        Q, n = pool.right.shape
        R = 1 if n == 1 else int(np.clip(VISITS // Q, *ORDERS))
        problem = np.repeat(np.arange(Q), R)
        rng = np.random.default_rng(seed)
        order = rng.permuted(np.tile(np.arange(n), (Q * R, 1)), axis=1)
        reach = min((pool.reach(verifier) for verifier in pool.scores), default=n)
        if reach < n:
            rows = np.arange(Q * R)
            place = (order == rng.integers(0, reach, Q * R)[:, None]).argmax(axis=1)
            order[rows, place], order[:, 0] = order[:, 0].copy(), order[rows, place]
        return cls(pool, problem, order)

    def seen(self, values: Array | Counts) -> Array:
        """Return a pool's table (problems, n) in the visits' orders, (visits, n)."""
        return np.asarray(values[self.problem[:, None], self.order], dtype=np.float64)


@dataclass(frozen=True)
class Menu:
    """Arms, and what each does on every visit; all arrays are (visits, arms).

    `Z` accuracy, `C` spend, `draws` the pool's draws that were used (0: none of the pool's), and
    `seconds` along the critical path, NaN where unknown.
    """

    arms: tuple[Arm, ...]
    Z: Array
    C: Array
    draws: Counts
    seconds: Array

    def at(self, kept: Counts) -> Menu:
        """Return the menu of these arms."""
        return Menu(
            tuple(self.arms[i] for i in kept),
            self.Z[:, kept],
            self.C[:, kept],
            self.draws[:, kept],
            self.seconds[:, kept],
        )

    def where(self, **wanted: object) -> Counts:
        """Return the indices of the arms with these attributes."""
        return np.array(
            [
                i
                for i, arm in enumerate(self.arms)
                if all(getattr(arm, name) == value for name, value in wanted.items())
            ],
            dtype=np.int64,
        )


def budgets(n: int, asked: tuple[int, ...] = ()) -> list[int]:
    """Return numbers of draws up to n, two to a doubling: 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    steps = {b for i in range(n.bit_length()) for b in (2**i, 3 * 2**i) if b <= n}
    return sorted({*steps, n, *(k for k in asked if k <= n)})


def pooled(visits: Visits, asked: tuple[int, ...] = ()) -> Menu:
    """Return the arms over a pool's draws: one pass, votes, best-of-n, and rules that stop early.

    A vote is made where draws have answers, best-of-n by each verifier that judged the whole pool.
    Votes stop when sure of their leader (Adaptive-Consistency, Aggarwal et al. 2023, arXiv
    2305.11860); "verified-stop" takes the first draw that its verifier accepts, else the best.
    """
    pool, n = visits.pool, visits.pool.n
    right = visits.seen(pool.right)
    spent = np.cumsum(visits.seen(pool.spend), axis=1)
    wait = np.full(right.shape, np.nan) if pool.seconds is None else visits.seen(pool.seconds)
    longest, summed = np.maximum.accumulate(wait, axis=1), np.cumsum(wait, axis=1)
    ks = budgets(n, asked)
    found = [_column(Arm(SINGLE, 1), right, spent, longest, 1)]
    caps = sorted({min(cap, n) for cap in (*CAPS, *asked, n)} - {1})
    if pool.answer is not None:
        won, lead, second = _votes(visits)
        found += [_column(Arm(MAJORITY, k), won, spent, longest, k) for k in ks[1:]]
        sure = bdtr(lead, lead + second + 1, 0.5)
        for cap in caps:
            for confidence in CONFIDENCES:
                arm = Arm(ADAPTIVE, cap, {"confidence": confidence}, fixed=False)
                stop = _first(sure[:, :cap] > confidence)
                found.append(_column(arm, won, spent, summed, stop))
    for verifier, scores in pool.scores.items():
        if pool.reach(verifier) < n:
            continue
        score = visits.seen(scores)
        chosen = np.empty(right.shape)
        prefixes.bests(score, right, chosen)
        total = spent + np.cumsum(visits.seen(pool.judging[verifier]), axis=1)
        check = visits.seen(pool.checking[verifier])
        last, every = np.maximum.accumulate(wait + check, axis=1), np.cumsum(wait + check, axis=1)
        name = ORACLE if verifier == GRADE else f"{BEST}:{verifier}"
        found += [_column(Arm(name, k, verifier=verifier), chosen, total, last, k) for k in ks[1:]]
        for level in accepting(scores):
            for cap in caps:
                arm = Arm(
                    f"{VERIFIED}:{verifier}", cap, {"score": float(level)}, verifier, fixed=False
                )
                stop = _first(score[:, :cap] >= level)
                found.append(_column(arm, chosen, total, every, stop))
    return _menu(found)


def accepting(scores: Array) -> Array:
    """Return scores from which on a verifier may accept a draw: some quantiles, above the lowest.

    And the highest, where several draws have it: a verdict, not a matter of degree.
    """
    known = scores[~np.isnan(scores)]
    if not known.size:
        return known
    levels = np.quantile(known, ACCEPTED, method="higher")
    if (known == known.max()).sum() > 1:
        levels = np.append(levels, known.max())
    found: Array = np.unique(levels[levels > known.min()])
    return found


def _votes(visits: Visits) -> tuple[Array, Counts, Counts]:
    """Return the majority's correctness after each draw, and its two largest counts of votes."""
    assert visits.pool.answer is not None
    answer = np.ascontiguousarray(visits.seen(visits.pool.answer).astype(np.int64))
    won = np.empty(answer.shape)
    lead, second = np.empty_like(answer), np.empty_like(answer)
    prefixes.votes(answer, np.ascontiguousarray(visits.seen(visits.pool.worth)), won, lead, second)
    return won, lead, second


def others(
    cells: Cells, axis: str, task_class: str, model: str, problems: pd.Index
) -> Iterator[tuple[Arm, Array, Array, Array]]:
    """Yield the strategies that are not made of a pool's draws: arm, accuracy, spend, seconds.

    Each (problems,), NaN where a problem lacks it. An oracle is no arm, nor are thinking budgets
    that made no difference, nor what nine problems in ten have not.
    """
    for names, cell in cells.items():
        strategy = names[3]
        mine = names[:3] == (task_class, ALL, model) and deployable(strategy)
        if not mine or cell.thought.ignored or axis not in cell.spent:
            continue
        rows = cell.problems.get_indexer(problems)
        if (rows >= 0).mean() < HELD:
            continue
        wait = cell.spent.get("seconds", np.full(cell.Z.shape, np.nan))
        for place in thin(cell.budgets, most=BUDGETS):
            columns = (cell.Z[:, place], cell.spent[axis][:, place], wait[:, place])
            Z, C, S = (np.where(rows >= 0, column[rows], np.nan) for column in columns)
            arm = Arm(strategy, float(cell.budgets[place]), pooled=False)
            yield arm, Z, np.where(np.isnan(C), np.nanmean(C), C), S


def joined(menu: Menu | None, problem: Counts, rest: list[tuple[Arm, Array, Array, Array]]) -> Menu:
    """Return the menu with arms of which one value a problem is known."""
    found = [
        (arm, Z[problem], C[problem], np.zeros(problem.size, dtype=np.int64), S[problem])
        for arm, Z, C, S in rest
    ]
    if menu is None:
        return _menu(found)
    columns = zip(menu.arms, menu.Z.T, menu.C.T, menu.draws.T, menu.seconds.T, strict=True)
    return _menu([*columns, *found])


Column = tuple[Arm, Array, Array, Counts, Array]


def _first(stops: NDArray[np.bool_]) -> Counts:
    """Return how many draws are made until the first stop, all where there is none."""
    never = ~stops.any(axis=1)
    found: Counts = np.where(never, stops.shape[1], stops.argmax(axis=1) + 1).astype(np.int64)
    return found


def _column(arm: Arm, Z: Array, C: Array, S: Array, draws: int | Counts) -> Column:
    """Return an arm's column of a menu from tables (visits, n) that hold each number of draws."""
    count = np.broadcast_to(np.asarray(draws, dtype=np.int64), Z.shape[:1])
    rows = np.arange(Z.shape[0])
    return arm, Z[rows, count - 1], C[rows, count - 1], count, S[rows, count - 1]


def _menu(columns: list[Column]) -> Menu:
    arms, Z, C, draws, seconds = zip(*columns, strict=True)
    return Menu(arms, *(np.column_stack(part) for part in (Z, C, draws, seconds)))


def charged(menu: Menu, visits: Visits | None, pilot: int, verifier: str | None) -> Array:
    """Return what a pilot of so many draws adds to each arm's spend, (visits, arms).

    An arm over the pool reuses the pilot: it pays for those draws alone that it would not have
    made. `verifier` scores the first draw; an arm that has it scored anyway pays nothing more.
    """
    extra = np.zeros(menu.C.shape)
    if visits is None or not pilot:
        return extra
    spent = np.cumsum(visits.seen(visits.pool.spend), axis=1)
    before = np.column_stack([np.zeros(len(spent)), spent])
    rows = np.arange(len(spent))[:, None]
    used = np.minimum(menu.draws, pilot)
    extra = spent[:, pilot - 1][:, None] - before[rows, used]
    if verifier is not None:
        judged = visits.seen(visits.pool.judging[verifier])[:, :1]
        own = np.array([arm.verifier == verifier for arm in menu.arms])
        extra = extra + np.where(own[None, :], 0.0, judged)
    return extra


def waited(menu: Menu, visits: Visits | None, pilot: int) -> Array:
    """Return each arm's seconds after a pilot, (visits, arms).

    A pilot's draws are made at once and waited for; an arm that draws more then takes as long as
    it would without the pilot, so a little is counted twice.
    """
    if visits is None or not pilot or visits.pool.seconds is None:
        return menu.seconds
    first = visits.seen(visits.pool.seconds)[:, :pilot].max(axis=1)[:, None]
    found: Array = np.where(
        menu.draws > pilot, first + menu.seconds, np.maximum(first, menu.seconds)
    )
    return found
