"""Policies that choose a strategy and a budget by how hard a problem looks; fitted at any price.

Every policy is the same thing: bins of a score, and an arm for each bin. An arm is a strategy at a
budget, or a rule that stops draws early. What differs is how the bins and arms are found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 8
"""The most bins of a score,"""
FILLED = 40
"""and the fewest problems that a bin is made for."""
CUTS = 16
"""Places, at equal shares of problems, where a tier may begin."""
GRID = 32
"""Places, at equal shares of problems, where a posterior is formed."""
WIDTH = 0.32
"""The posterior's kernel: its standard deviation, in shares of problems, times problems^(1/5)."""
INNER = 4
"""Parts of the problems, each held out in turn, by which a tier is judged."""


@dataclass(frozen=True)
class Seen:
    """Visits to problems: what each arm would do, and the score that a policy may look at.

    A visit is one order of a problem's draws. `problem` (visits,) numbers the problems from 0;
    `score` (visits,) rises with ease and is NaN where unknown; `Z` and `C` (visits, arms) are each
    arm's accuracy and all that it spends, the score's own cost included. Every problem has the
    same number of visits.
    """

    problem: Counts
    score: Array
    Z: Array
    C: Array

    def at(self, kept: Flags) -> Seen:
        """Return these visits, the problems numbered anew."""
        problem = np.unique(self.problem[kept], return_inverse=True)[1].astype(np.int64)
        return Seen(problem, self.score[kept], self.Z[kept], self.C[kept])

    @property
    def problems(self) -> int:
        """The number of problems."""
        return int(self.problem.max()) + 1 if self.problem.size else 0


@dataclass(frozen=True)
class Rule:
    """An arm for each bin of the score: bin b is from `edges[b - 1]` to below `edges[b]`.

    `arms` (bins + 1,) are indices; the last is taken where the score is unknown.
    """

    edges: tuple[float, ...]
    arms: tuple[int, ...]

    def bins(self, score: Array) -> Counts:
        """Return each score's bin; the number of bins where it is unknown."""
        found = np.searchsorted(np.array(self.edges), score, side="right")
        return np.where(np.isnan(score), len(self.edges) + 1, found).astype(np.int64)

    def choose(self, score: Array) -> Counts:
        """Return the arm of each score."""
        return np.array(self.arms, dtype=np.int64)[self.bins(score)]

    def merged(self) -> Rule:
        """Return the same rule without edges between bins of equal arms."""
        kept = [
            i for i, (a, b) in enumerate(zip(self.arms, self.arms[1:-1], strict=False)) if a != b
        ]
        arms = [self.arms[0], *(self.arms[i + 1] for i in kept), self.arms[-1]]
        return Rule(tuple(self.edges[i] for i in kept), tuple(arms))


Mask = tuple[bool, bool, bool]
"""Which of the tiers, easy, middle and hard, may be used."""
MASKS: list[Mask] = [
    (easy, middle, hard)
    for easy in (True, False)
    for middle in (True, False)
    for hard in (True, False)
]
Family = Callable[[Seen, Array], list[Rule]]
"""A way of fitting: a rule for each price of a unit of spend, in accuracy."""


def prices(C: Array, count: int = 40) -> Array:
    """Return prices, rising, between which every policy over arms of spend `C` changes.

    From one at which the dearest arm costs a tenth of a point more than the cheapest, to one at
    which the smallest spend outweighs a right answer; and 0.
    """
    mean = C.mean(axis=0)
    top = 1.0 / max(float(mean.min()), 1e-12)
    return np.concatenate([[0.0], np.geomspace(1e-3 / float(mean.max()), top, count)])


def uniform(arms: Counts) -> Family:
    """Return the family that gives every problem the same one of `arms`."""

    def fit(seen: Seen, price: Array) -> list[Rule]:
        Z, C = seen.Z[:, arms].mean(axis=0), seen.C[:, arms].mean(axis=0)
        best = arms[(Z - price[:, None] * C).argmax(axis=1)]
        return [Rule((), (int(arm), int(arm))) for arm in best]

    return fit


def binned(arms: Counts) -> Family:
    """Return the family with bins of equal numbers of problems and each bin's best of `arms`.

    In bin b it is the argmax of U_b(arm) - price * C_b(arm), the Lagrangian of spending a budget
    over all problems (Chen et al. 2023, arXiv 2305.05176, learn such thresholds for a cascade).
    """

    def fit(seen: Seen, price: Array) -> list[Rule]:
        count = min(BINS, max(1, seen.problems // FILLED))
        edges = quantiles(seen.score, count)
        means = _means(seen, arms, edges)
        best = arms[(means[0] - price[:, None, None] * means[1]).argmax(axis=2)]
        return [Rule(tuple(edges), tuple(map(int, row))).merged() for row in best]

    return fit


def posterior(arms: Counts) -> Family:
    """Return the family that buys the next gain as long as it is worth its price.

    At GRID places of the score the posterior is over the problems seen, weighted by a Gaussian
    kernel in ranks of the score; from the cheapest arm on it steps along the upper hull of the
    posterior means while a step gains more than it costs: the greedy allocation by marginal gain
    (Damani et al. 2024, arXiv 2410.04707), optimal on a hull, whose gains fall.
    """

    def fit(seen: Seen, price: Array) -> list[Rule]:
        known = ~np.isnan(seen.score)
        if not known.any():
            return uniform(arms)(seen, price)
        edges = quantiles(seen.score, GRID)
        centre = (np.arange(len(edges) + 1) + 0.5) / (len(edges) + 1)
        ranks = seen.score[known].argsort().argsort() / max(int(known.sum()) - 1, 1)
        width = WIDTH / max(seen.problems, 1) ** 0.2
        weight = np.exp(-0.5 * ((centre[:, None] - ranks[None, :]) / width) ** 2)
        weight /= weight.sum(axis=1, keepdims=True)
        Z, C = (weight @ table[known][:, arms] for table in (seen.Z, seen.C))
        silent = [rule.arms[0] for rule in uniform(arms)(seen, price)]
        chosen = np.array([greedy(z, c, price) for z, c in zip(Z, C, strict=True)]).T
        return [
            Rule(tuple(edges), (*map(int, arms[row]), last)).merged()
            for row, last in zip(chosen, silent, strict=True)
        ]

    return fit


@dataclass(frozen=True)
class Tiers:
    """The essay's router: one pass where easy, best-of-n where middling, search where hard.

    The three sets of arms are the tiers'; an empty one is a tier that no strategy was run for.
    `only` are the tiers that may be used; by default those that earn their place.
    """

    easy: Counts
    middle: Counts
    hard: Counts
    only: Mask | None = None

    def __call__(self, seen: Seen, price: Array) -> list[Rule]:
        """Return the best two thresholds and the tiers' arms at each price.

        A tier is kept where leaving it out loses more of the value (accuracy less price times
        spend) than one standard error, on problems that were held out: the one-standard-error
        rule of Breiman et al. 1984. The rules with the fewest tiers win among equals.
        """
        if self.only is not None:
            return self._fitted(seen, price, self.only)
        earned = self.earned(seen, price)
        found = {mask: self._fitted(seen, price, mask) for mask in set(earned)}
        return [found[mask][i] for i, mask in enumerate(earned)]

    def earned(self, seen: Seen, price: Array) -> list[Mask]:
        """Return the tiers that earn their place at each price."""
        masks = [mask for mask in MASKS if self._usable(mask)]
        part = np.random.default_rng(seen.problems).permutation(seen.problems) % INNER
        worth = np.zeros((len(masks), price.size, seen.problems))
        for held in range(INNER):
            inside = part[seen.problem] == held
            if inside.all() or not inside.any():
                continue
            test, train = seen.at(inside), seen.at(~inside)
            for m, mask in enumerate(masks):
                rules = self._fitted(train, price, mask)
                worth[m][:, part == held] = values(test, rules, price)
        best = worth.mean(axis=2).argmax(axis=0)
        chosen = []
        for i, top in enumerate(best):
            lost = worth[top, i] - worth[:, i]
            error = lost.std(axis=1) / np.sqrt(max(seen.problems - 1, 1))
            fits = [m for m in range(len(masks)) if lost[m].mean() <= error[m]]
            chosen.append(masks[min(fits, key=lambda m: (sum(masks[m]), lost[m].mean()))])
        return chosen

    def _usable(self, mask: Mask) -> bool:
        sets = (self.easy, self.middle, self.hard)
        return any(mask) and all(arms.size for arms, used in zip(sets, mask, strict=True) if used)

    def _fitted(self, seen: Seen, price: Array, mask: Mask) -> list[Rule]:
        """Return the best rules of the tiers in `mask`, over every pair of cuts at once."""
        edges = quantiles(seen.score, CUTS)
        T, tiers = len(edges) + 1, []
        for arms, used in zip((self.hard, self.middle, self.easy), mask[::-1], strict=True):
            tiers.append(_spans(seen, arms if used else arms[:0], edges, price))
        (hard, _), (middle, _), (easy, _) = tiers
        total = hard[:, 0, :, None] + middle + easy[:, None, :, T]
        place = total.reshape(price.size, -1).argmax(axis=1)
        sets = zip((self.easy, self.middle, self.hard), mask, strict=True)
        every = np.concatenate([arms for arms, used in sets if used])
        silent = [rule.arms[0] for rule in uniform(every)(seen, price)]
        rules = []
        for p, at in enumerate(place):
            ends = (0, *map(int, divmod(int(at), T + 1)), T)
            kept = [
                (low, int(best[p, low, high]))
                for (_, best), low, high in zip(tiers, ends, ends[1:], strict=False)
                if high > low
            ]
            starts = tuple(float(edges[low - 1]) for low, _ in kept[1:])
            rules.append(Rule(starts, (*(arm for _, arm in kept), silent[p])).merged())
        return rules


def _spans(seen: Seen, arms: Counts, edges: Array, price: Array) -> tuple[Array, Counts]:
    """Return what a tier's best arm is worth from place i to place j, and which it is.

    Both (prices, places + 1, places + 1). A tier without arms is worth 0 where i = j only.
    """
    T = len(edges) + 1
    absent = np.where(np.eye(T + 1, dtype=bool), 0.0, -np.inf)
    absent = np.broadcast_to(absent, (price.size, T + 1, T + 1))
    if not arms.size:
        return absent, np.zeros(absent.shape, dtype=np.int64)
    Z, C = (
        np.concatenate([np.zeros((1, arms.size)), np.cumsum(table[:T], axis=0)])
        for table in _means(seen, arms, edges, sums=True)
    )
    V = Z - price[:, None, None] * C
    span = V[:, None, :, :] - V[:, :, None, :]
    best = np.where(np.tri(T + 1, k=-1, dtype=bool), -np.inf, span.max(axis=3))
    return best, arms[span.argmax(axis=3)]


def greedy(Z: Array, C: Array, price: Array) -> Counts:
    """Return the arm (prices,) that steps along the hull of `Z` over `C` (arms,) end at."""
    line = hull(Z, C)
    gains = np.diff(Z[line]) / np.diff(C[line])
    steps = (gains[None, :] > price[:, None]).sum(axis=1)
    ends: Counts = line[steps]
    return ends


def hull(Z: Array, C: Array) -> Counts:
    """Return the arms on the upper concave hull, from the cheapest to the most accurate."""
    order = np.lexsort((-Z, C))
    line: list[int] = []
    for arm in order:
        if line and Z[arm] <= Z[line[-1]]:
            continue
        while line and C[arm] <= C[line[-1]]:
            line.pop()
        while len(line) > 1:
            a, b = line[-2:]
            if (Z[b] - Z[a]) * (C[arm] - C[b]) > (Z[arm] - Z[b]) * (C[b] - C[a]):
                break
            line.pop()
        line.append(int(arm))
    return np.array(line, dtype=np.int64)


def values(seen: Seen, rules: list[Rule], price: Array) -> Array:
    """Return accuracy less price times spend of each rule on each problem, (rules, problems)."""
    rows = np.arange(seen.problem.size)
    size = np.bincount(seen.problem)
    found = []
    for rule, at in zip(rules, price, strict=True):
        arm = rule.choose(seen.score)
        worth = seen.Z[rows, arm] - at * seen.C[rows, arm]
        found.append(np.bincount(seen.problem, worth) / size)
    return np.array(found)


def quantiles(score: Array, count: int) -> Array:
    """Return the edges between `count` bins of equal numbers of known scores, rising."""
    known = score[~np.isnan(score)]
    if not known.size:
        return np.empty(0)
    edges = np.unique(np.quantile(known, np.arange(1, count) / count, method="higher"))
    inner: Array = edges[edges > known.min()]
    return inner


def _means(seen: Seen, arms: Counts, edges: Array, *, sums: bool = False) -> tuple[Array, Array]:
    """Return the mean (or summed) Z and C of `arms` by bin, (bins + 1, arms); last: no score.

    A bin without a visit has the means of all visits.
    """
    places = Rule(tuple(edges), ()).bins(seen.score)
    member = np.zeros((len(edges) + 2, places.size))
    member[places, np.arange(places.size)] = 1.0
    size = member.sum(axis=1, keepdims=True)
    found = []
    for table in (seen.Z[:, arms], seen.C[:, arms]):
        total = member @ table
        if sums:
            found.append(total / places.size)
        else:
            found.append(np.where(size > 0, total / np.maximum(size, 1), table.mean(axis=0)))
    return found[0], found[1]
