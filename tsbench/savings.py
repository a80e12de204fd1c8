"""What a policy saves against the best uniform budget: held out, with intervals over problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tsbench.matches import UNIT
from tsbench.policies import Family, Rule, Seen, hull, prices

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

FOLDS = 5
LEVELS = 16
"""Spends, besides those of the arms, at which the uniform budget is known."""
ROUNDS = 2000
"""Resamples of the problems that an interval is read from."""
LEVEL = 0.95
ENOUGH = 1000
"""Problems below which an interval is too narrow; see docs/routing.md."""

Kind = Literal["accuracy", "spend", "price"]


@dataclass(frozen=True)
class Target:
    """What a policy is fitted for.

    "accuracy": at least `accuracy` for the least spend; "spend": the most accuracy for no more
    than `spend`; "price": the most accuracy less `price` times spend, for no more than `spend`.
    """

    kind: Kind
    accuracy: float = float("nan")
    spend: float = float("inf")
    price: float = 0.0

    def pick(self, accuracy: Array, spend: Array, price: Array) -> int:
        """Return the index of the policy that meets the target on the problems it was fitted on.

        Of those that meet it the one with the largest price; where none does, the closest.
        """
        if self.kind == "accuracy":
            meets = accuracy >= self.accuracy - 1e-12
            return int(np.flatnonzero(meets)[-1]) if meets.any() else int(accuracy.argmax())
        meets = spend <= self.spend * (1.0 + 1e-12)
        if self.kind == "price":
            meets &= price >= self.price * (1.0 - 1e-12)
        if not meets.any():
            return int(spend.argmin())
        allowed = np.flatnonzero(meets)
        return int(allowed[0] if self.kind == "price" else allowed[accuracy[allowed].argmax()])


Scored = Callable[[Flags], Array]
"""Scores of all visits (visits,) by an estimate fitted on some of them."""


@dataclass(frozen=True)
class Bench:
    """What policies are compared on: every arm on every visit.

    `problem` (visits,) numbers problems, `clusters` (problems,) what is resampled and held out
    together. `Z` and `C` (visits, arms) are accuracy and spend without any estimate's cost;
    `fixed` are the arms that are a uniform budget and nothing else.
    """

    problem: Counts
    clusters: Counts
    Z: Array
    C: Array
    fixed: Counts

    def folds(self, seed: int, count: int = FOLDS) -> Counts:
        """Return each problem's fold, clusters kept together."""
        groups = int(self.clusters.max()) + 1
        order = np.random.default_rng(seed).permutation(groups)
        found: Counts = (order % min(count, groups))[self.clusters].astype(np.int64)
        return found

    def mean(self, values: Array) -> Array:
        """Return the mean over each problem's visits, (problems, ...)."""
        size = np.bincount(self.problem)
        flat = values.reshape(values.shape[0], -1).T
        sums = [np.bincount(self.problem, row) / size for row in flat]
        found: Array = np.array(sums).T.reshape(size.size, *values.shape[1:])
        return found


@dataclass(frozen=True)
class Held:
    """A policy on problems that it was not fitted on: accuracy and spend (problems,).

    `rule`, at `price`, is the same policy fitted on all problems, and `inside` what it comes to on
    these: accuracy and spend (problems,). `refits` (folds, 2) are the mean accuracy and spend,
    over all problems, of the rules that were fitted without each fold. `arm` (visits,) is
    each visit's arm, held out, and `charge` (problems,) what the estimate added to the spend.
    """

    accuracy: Array
    spend: Array
    inside: tuple[Array, Array]
    refits: Array
    rule: Rule
    price: float
    arm: Counts
    charge: Array

    def shares(self, arms: int) -> Array:
        """Return how often each of `arms` was chosen, held out."""
        share: Array = np.bincount(self.arm, minlength=arms) / self.arm.size
        return share


def path(seen: Seen, family: Family, price: Array) -> tuple[list[Rule], Array]:
    """Return the rule of `family` at each price, and what it comes to on the problems seen.

    The second is (prices, 2): mean accuracy and spend.
    """
    rules = family(seen, price)
    rows = np.arange(seen.problem.size)
    met: dict[Rule, tuple[float, float]] = {}
    for rule in rules:
        if rule not in met:
            arm = rule.choose(seen.score)
            met[rule] = float(seen.Z[rows, arm].mean()), float(seen.C[rows, arm].mean())
    return rules, np.array([met[rule] for rule in rules])


def held_out(
    bench: Bench,
    family: Family,
    targets: Sequence[Callable[[Flags], Target]],
    scored: Scored,
    extra: Array,
    fold: Counts,
) -> list[Held]:
    """Return a policy for each target, cross-fitted: fitted without each fold, valued on it.

    Targets and `scored` are given the visits that may be learnt from; `extra` (visits, arms) is
    what the estimate adds to each arm's spend.
    """
    C = bench.C + extra
    rows = np.arange(bench.problem.size)
    every = np.ones(rows.size, dtype=bool)
    fixed = [target(every) for target in targets]
    wanted = [target.price for target in fixed if target.kind == "price"]
    price = np.unique(np.concatenate([prices(C), wanted]))
    arm = np.zeros((len(targets), rows.size), dtype=np.int64)
    refits: list[list[tuple[float, float]]] = [[] for _ in targets]
    for held in range(int(fold.max()) + 1):
        inside = fold[bench.problem] == held
        learnt = ~inside if fold.max() else inside
        score = scored(learnt)
        rules, met = path(Seen(bench.problem, score, bench.Z, C).at(learnt), family, price)
        for t, target in enumerate(targets):
            chosen = rules[target(learnt).pick(met[:, 0], met[:, 1], price)].choose(score)
            arm[t, inside] = chosen[inside]
            refits[t].append((bench.Z[rows, chosen].mean(), C[rows, chosen].mean()))
    score = scored(every)
    rules, met = path(Seen(bench.problem, score, bench.Z, C), family, price)
    found = []
    for t, goal in enumerate(fixed):
        place = goal.pick(met[:, 0], met[:, 1], price)
        own = rules[place].choose(score)
        found.append(
            Held(
                bench.mean(bench.Z[rows, arm[t]]),
                bench.mean(C[rows, arm[t]]),
                (bench.mean(bench.Z[rows, own]), bench.mean(C[rows, own])),
                np.array(refits[t]),
                rules[place],
                float(price[place]),
                arm[t],
                bench.mean(extra[rows, arm[t]]),
            )
        )
    return found


@dataclass(frozen=True)
class Uniform:
    """The best uniform budget at each of many spends: accuracy and spend (problems, spends).

    Between the spends of two arms it tosses a coin for each problem, so it can be deployed.
    """

    Z: Array
    C: Array

    @classmethod
    def of(cls, bench: Bench, fold: Counts) -> Uniform:
        """Return it cross-fitted: the arms are chosen without the problems they are valued on."""
        Z, C = (bench.mean(table[:, bench.fixed]) for table in (bench.Z, bench.C))
        mean = C.mean(axis=0)
        spend = np.unique([*mean, *np.geomspace(mean.min(), mean.max(), LEVELS)])
        found = cls(np.empty((fold.size, spend.size)), np.empty((fold.size, spend.size)))
        for held in range(int(fold.max()) + 1):
            inside = fold == held
            learnt = ~inside if fold.max() else inside
            mix = _mix(Z[learnt].mean(axis=0), C[learnt].mean(axis=0), spend)
            found.Z[inside], found.C[inside] = Z[inside] @ mix, C[inside] @ mix
        return found


def _mix(Z: Array, C: Array, spend: Array) -> Array:
    """Return the shares (arms, spends) of the mix of two arms on the hull that spends so much."""
    line = hull(Z, C)
    place = np.interp(spend, C[line], np.arange(line.size))
    low = np.minimum(place.astype(np.int64), max(line.size - 2, 0))
    high = np.minimum(low + 1, line.size - 1)
    mix = np.zeros((Z.size, spend.size))
    columns = np.arange(spend.size)
    np.add.at(mix, (line[low], columns), 1.0 - (place - low))
    np.add.at(mix, (line[high], columns), place - low)
    return mix


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN ends say that there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Savings:
    """A policy beside the best uniform budget, and beside one of them, the target.

    `saving` is 1 - spend / spend of the cheapest uniform budget of the policy's own accuracy;
    `gain` is accuracy less that of the best uniform budget of the policy's own spend. `beyond` is
    the share of resamples in which no uniform budget reaches the accuracy: `saving` is then against
    the most accurate one, so it is at least that. `change` is accuracy less the target's, `spared`
    1 - spend / the target's; NaN without a target.
    """

    accuracy: Interval
    spend: Interval
    saving: Interval
    gain: Interval
    change: Interval
    spared: Interval
    beyond: float


FIGURES = ("accuracy", "spend", "saving", "gain", "change", "spared")


def savings(
    accuracy: Array,
    spend: Array,
    against: Uniform,
    clusters: Counts,
    refits: Array | None = None,
    target: tuple[Array, Array] | None = None,
    *,
    seed: int = 0,
) -> Savings:
    """Return what a policy saves and gains, with 95 % intervals.

    `accuracy` and `spend` (problems,) are held out; so is `against`. `target` has the accuracy and
    spend (problems,) of a uniform budget that the policy is to replace. Clusters of problems are
    resampled, and with them both sides of the comparison. Three things are added up as variances:
    the resampling; how far the policies fitted without each fold differ, by `refits` (folds, 2),
    their mean accuracy and spend over all problems, since the policy that is used is one more of
    these; and one problem's doubt, scaled by how far problems differ, so that unanimity is not
    certainty (docs/adr/0009-matches.md). The interval is for the policy fitted on all of the
    problems and used on new ones (docs/adr/0017-router.md).
    """
    both = (np.full_like(accuracy, np.nan), np.full_like(spend, np.nan))
    table = np.column_stack([accuracy, spend, *(target or both), against.Z, against.C])
    groups = int(clusters.max()) + 1
    mean = table.mean(axis=0)
    whole, beyond = _compared(mean[None, :])
    if groups < 2:
        alone = [Interval(float(v), np.nan, np.nan) for v in whole[0]]
        return _figures(alone, float(beyond[0]))
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, clusters, table)
    size = np.bincount(clusters, minlength=groups).astype(float)
    rng = np.random.default_rng(seed)
    weight = rng.multinomial(groups, np.full(groups, 1.0 / groups), ROUNDS).astype(float)
    drawn, beyond = _compared(weight @ sums / (weight @ size)[:, None])
    spread = np.zeros(len(FIGURES))
    if refits is not None and len(refits) > 1:
        rows = np.column_stack([refits, np.tile(mean[2:], (len(refits), 1))])
        spread = _compared(rows)[0].std(axis=0, ddof=1)
    doubt = _doubts(table, clusters, whole[0])
    extra = float(stats.t.ppf((1 + LEVEL) / 2, groups - 1)) * np.hypot(spread, doubt)
    widen = np.sqrt(groups / (groups - 1.0))
    found = [
        _interval(float(value), draws, float(more), widen)
        for value, draws, more in zip(whole[0], drawn.T, extra, strict=True)
    ]
    return _figures(found, float(beyond.mean()))


def _figures(found: list[Interval], beyond: float) -> Savings:
    """Return the figures, their ends within what is possible."""
    ends = ((0.0, 1.0), (0.0, np.inf), (-np.inf, 1.0), (-1.0, 1.0), (-1.0, 1.0), (-np.inf, 1.0))
    accuracy, spend, saving, gain, change, spared = (
        Interval(v.value, max(v.low, low), min(v.high, high)) if np.isfinite(v.low) else v
        for v, (low, high) in zip(found, ends, strict=True)
    )
    return Savings(accuracy, spend, saving, gain, change, spared, beyond)


def saved(accuracy: float, spend: float, Z: Array, C: Array) -> tuple[float, float]:
    """Return what a mean accuracy and spend save and gain against uniform means (spends,)."""
    row = np.concatenate([[accuracy, spend, np.nan, np.nan], Z, C])
    found = _compared(row[None, :])[0][0]
    return float(found[2]), float(found[3])


def _interval(value: float, drawn: Array, extra: float, widen: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    below, above = widen * max(value - low, 0.0), widen * max(high - value, 0.0)
    return Interval(
        value, value - float(np.hypot(below, extra)), value + float(np.hypot(above, extra))
    )


def _doubts(table: Array, clusters: Counts, whole: Array) -> Array:
    """Return one problem's doubt in each figure, a standard deviation.

    Of accuracy and spend the floor of the curves; of a difference a problem that differs as much
    as those that do: with differences d, root of (0.3 + sum |d|^3) / (0.3 + sum |d|) over G.
    """
    levels = (table.shape[1] - 4) // 2
    mean = table.mean(axis=0)
    A, C = table[:, 0], table[:, 1]
    place = int(np.abs(mean[4 + levels :] - mean[1]).argmin())
    level = int(np.abs(mean[4 : 4 + levels] - mean[0]).argmin())
    dear = max(float(mean[4 + levels + level]), 1e-12)
    pulls = (
        A - table[:, 4 + place] - (mean[0] - mean[4 + place]),
        (C - table[:, 4 + levels + level]) / dear,
        A - table[:, 2],
        (C - table[:, 3]) / mean[3],
    )
    groups = int(clusters.max()) + 1
    gain, saving, change, spared = (_one_more(pull, clusters, groups) for pull in pulls)
    floor = np.sqrt(0.2) / groups
    return np.array([floor, floor * whole[1], saving, gain, change, spared])


def _one_more(pulls: Array, clusters: Counts, groups: int) -> float:
    moves = np.abs(np.bincount(clusters, pulls, minlength=groups)) * groups / pulls.size
    m = (UNIT + (moves**3).sum()) / (UNIT + moves.sum())
    return float(np.sqrt(m)) / groups


def _compared(means: Array) -> tuple[Array, Array]:
    """Return the FIGURES (rows, 6), and where no uniform budget reaches the accuracy (rows,).

    `means` (rows, 4 + 2 spends) are accuracy, spend, the target's, and the uniform's accuracies
    and spends.
    """
    levels = (means.shape[1] - 4) // 2
    A, C, goal, paid = means[:, :4].T
    UA, UC = means[:, 4 : 4 + levels], means[:, 4 + levels :]
    best = np.maximum.accumulate(UA, axis=1)
    rows = np.arange(A.size)
    after = (best < A[:, None]).sum(axis=1)
    beyond = after == levels
    peak = UA.argmax(axis=1)
    high = np.where(beyond, peak, after)
    low = np.maximum(high - 1, 0)
    rise = best[rows, high] - best[rows, low]
    share = np.where(rise > 0, (A - best[rows, low]) / np.where(rise > 0, rise, 1.0), 1.0)
    share = np.where(beyond | (high == 0), 1.0, np.clip(share, 0.0, 1.0))
    cost = UC[rows, low] + share * (UC[rows, high] - UC[rows, low])
    step = np.clip((C[:, None] > UC).sum(axis=1), 1, levels - 1) if levels > 1 else rows * 0
    left = np.maximum(step - 1, 0)
    gap = UC[rows, step] - UC[rows, left]
    part = np.clip((C - UC[rows, left]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    level = UA[rows, left] + part * (UA[rows, step] - UA[rows, left])
    found = [A, C, 1.0 - C / cost, A - level, A - goal, 1.0 - C / paid]
    return np.column_stack(found), beyond
