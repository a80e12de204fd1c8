"""Locate the knee of accuracy against spend: argmax_x { A(x) - delta x }, x in doublings.

On a concave curve that is the first point where a doubling buys less than delta. With a price on
spend instead of on doublings the same rule gives the economic knee. Knees, peak, intervals and
verdict are read off draws of the whole curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsbench.posterior import MeanCurve, Posterior, mean_curve, sample_posterior
from tsbench.turnover import fall_test

Array = NDArray[np.float64]

FALL_MARGIN = 0.01
"""A peak that exceeds the last budget by less is no fall."""
SIGNIFICANT = 0.05
SURE = 0.9
"""Probability at which the knee is taken to lie beyond the largest budget, or within."""
WIDE = 3.0
"""An interval of more doublings than this calls for more queries."""
SEARCH = (4, 16, 64, 256)
"""How many times as many queries are tried, in turn."""


@dataclass(frozen=True)
class Knee:
    """Where more spend stops paying, and how sure that is.

    Places are spends in the units that `locate` was given, accuracies are in [0, 1]. `knee`,
    `half_delta`, `double_delta` and `price_knee` are posterior medians, and None beyond the
    largest budget. A `low` and a `high` bound a 95 % interval, and are None where it reaches the
    smallest or the largest budget (censored).
    """

    knee: float | None
    low: float | None
    high: float | None
    verdict: str
    """rising | flat | falls | cannot tell"""
    knee_budget: int
    """Index of the budget nearest to the knee, the last one where it lies beyond."""
    accuracy_at_knee: float
    peak: float
    """Where expected accuracy is highest."""
    peak_low: float | None
    peak_high: float | None
    peak_accuracy: float
    gain_left: float | None
    """Accuracy between the knee and the peak; None where the knee lies beyond the grid."""
    gain95: float
    """Where 95 % of the gain up to the peak is reached; a description, not the knee."""
    p_fall: float
    """P(accuracy at the peak exceeds that at the last budget by more than FALL_MARGIN)."""
    p_value: float
    """Of "accuracy falls", one-sided, adjusted for having looked at every budget."""
    p_beyond: float
    """P(the knee lies beyond the largest budget)."""
    half_delta: float | None
    """The knee at half of delta; `double_delta` is the one at twice."""
    half_low: float | None
    half_high: float | None
    double_delta: float | None
    double_low: float | None
    double_high: float | None
    price_knee: float | None
    """The knee by `worth` instead of delta; None without a worth, as are those below."""
    price_low: float | None
    price_high: float | None
    net_value: float | None
    """Expected worth of a query's answer less its spend, at the price knee."""
    family: str
    """The likeliest single family, for people; the knee is averaged over all."""
    params: Mapping[str, float]
    """Its parameters: `a` accuracy at the smallest budget, `b` and `d` the whole changes by its
    first and second part over the grid, and those of its shape (see tsbench.shapes)."""
    errors: Mapping[str, float]
    """Their standard errors."""
    delta: float
    worth: float | None
    n_queries: int
    n_clusters: int
    n_needed: int | None
    """Queries with which the interval would span WIDE doublings: `n_queries` where it is no wider,
    None where 256 times as many would not do."""
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A place in doublings since the smallest budget, and its 95 % interval within the grid."""

    at: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Doublings from end to end."""
        return self.high - self.low


def locate(
    Z: ArrayLike,
    spend: ArrayLike,
    *,
    delta: float = 0.01,
    worth: float | None = None,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> Knee:
    """Find the knee of mean accuracy against spend, with a 95 % interval and a verdict.

    Z (queries, budgets) holds an unbiased estimate in [0, 1] of each query's accuracy at each
    budget; a query with a NaN is left out and flagged. `spend` (budgets,) is positive and
    strictly increasing, in any unit. `delta` is the accuracy that a doubling must buy (0.01: one
    point). `worth` is what a correct answer is worth in units of spend: the price knee is the
    smallest maximiser of worth A - spend. `clusters` (queries,) labels queries that are not
    independent. The same input and seed give the same Knee.

    The verdict is "falls" where the expected curve ends more than FALL_MARGIN below its peak and
    p_value is less than SIGNIFICANT. Otherwise it is "rising" where p_beyond is at least SURE,
    "flat" where it is at most 1 - SURE, and "cannot tell" between.

    Raises ValueError for shapes that do not fit, values outside [0, 1], fewer than 2 whole
    queries, clusters or budgets, spend that is not increasing, a negative delta, and a worth that
    is not positive.
    """
    table, cost, groups, dropped = _checked(Z, spend, delta, worth, clusters)
    curve = mean_curve(table, groups)
    x = _doublings(cost)
    posterior = sample_posterior(x, curve, np.random.default_rng(seed))
    grid = posterior.x
    expected = _expected(posterior, curve)
    top = int(expected.argmax())

    def spend_at(doublings: float) -> float:
        return float(cost[0] * 2.0**doublings)

    knees, halves, doubles, peaks = argmax(
        posterior, delta * grid, delta / 2.0 * grid, delta * 2.0 * grid, 0.0 * grid
    )
    knee, half, double = (_place(draws, x) for draws in (knees, halves, doubles))
    peak = _place(peaks, x, at=float(grid[top]))
    price = net_value = None
    if worth is not None:
        (prices,) = argmax(posterior, cost[0] / worth * np.exp2(grid))
        price = _place(prices, x)
        net_value = float(worth * np.interp(price.at, grid, expected) - spend_at(price.at))

    beyond = float((knees == grid[-1]).mean())
    p_value = fall_test(curve, np.random.default_rng(seed))
    accuracy = float(np.interp(knee.at, grid, expected))
    family, params, errors = _best_family(posterior)
    smooth = replace(curve, mean=expected[posterior.budgets])
    needed = _needed(x, smooth, delta, knee.width, len(table), seed)

    def spends(place: Place | None) -> tuple[float | None, float | None, float | None]:
        if place is None:
            return None, None, None
        at, high = (None if v >= grid[-1] else spend_at(v) for v in (place.at, place.high))
        return at, None if place.low <= 0.0 else spend_at(place.low), high

    at, low, high = spends(knee)
    half_at, half_low, half_high = spends(half)
    double_at, double_low, double_high = spends(double)
    price_at, price_low, price_high = spends(price)
    _, peak_low, peak_high = spends(peak)
    return Knee(
        knee=at,
        low=low,
        high=high,
        verdict=_verdict(float(expected[top] - expected[-1]), p_value, beyond),
        knee_budget=int(np.abs(x - knee.at).argmin()),
        accuracy_at_knee=accuracy,
        peak=spend_at(grid[top]),
        peak_low=peak_low,
        peak_high=peak_high,
        peak_accuracy=float(expected[top]),
        gain_left=None if at is None else max(0.0, float(expected[top]) - accuracy),
        gain95=spend_at(_reach(grid, expected, 0.95)),
        p_fall=float((posterior.curves.max(axis=1) > posterior.curves[:, -1] + FALL_MARGIN).mean()),
        p_value=p_value,
        p_beyond=beyond,
        half_delta=half_at,
        half_low=half_low,
        half_high=half_high,
        double_delta=double_at,
        double_low=double_low,
        double_high=double_high,
        price_knee=price_at,
        price_low=price_low,
        price_high=price_high,
        net_value=net_value,
        family=family,
        params=params,
        errors=errors,
        delta=delta,
        worth=worth,
        n_queries=len(table),
        n_clusters=curve.clusters,
        n_needed=needed,
        flags=_flags(knee, needed, len(table), beyond, dropped),
    )


def argmax(posterior: Posterior, *costs: Array) -> list[Array]:
    """Return each draw's smallest maximiser of A(x) - cost(x), in doublings, for every cost."""
    left = np.empty_like(posterior.curves)
    return [
        posterior.x[np.subtract(posterior.curves, cost, out=left).argmax(axis=1)] for cost in costs
    ]


def _place(draws: Array, x: Array, at: float | None = None) -> Place:
    """Return the median of `draws`, or `at`, and their 95 % interval, half a step wide or more."""
    low, median, high = np.quantile(draws, [0.025, 0.5, 0.975]).tolist()
    centre = median if at is None else at
    near = min(max(int(np.searchsorted(x, centre)), 1), x.size - 1)
    least = float(x[near] - x[near - 1]) / 4.0
    return Place(
        centre,
        max(min(low, centre - least), 0.0),
        min(max(high, centre + least), float(x[-1])),
    )


def _expected(posterior: Posterior, curve: MeanCurve) -> Array:
    """Return the posterior mean curve, its level set to that of the measured means."""
    shape = posterior.curves.mean(axis=0)
    expected: Array = shape + (curve.mean - shape[posterior.budgets]).mean()
    return np.clip(expected, 0.0, 1.0)


def _verdict(loss: float, p_value: float, beyond: float) -> str:
    if loss > FALL_MARGIN and p_value < SIGNIFICANT:
        return "falls"
    if beyond >= SURE:
        return "rising"
    return "flat" if beyond <= 1.0 - SURE else "cannot tell"


def _best_family(posterior: Posterior) -> tuple[str, dict[str, float], dict[str, float]]:
    """Return the likeliest family, and its parameters' posterior means and standard errors.

    A parameter known to one point of the dictionary's grid is uniform over the cell about it.
    """
    ends = np.cumsum([family.size for family in posterior.families])
    member = np.searchsorted(ends, posterior.shape, side="right")
    best = int(np.bincount(member).argmax())
    family = posterior.families[best]
    rows = np.flatnonzero(member == best)
    draws = {"a": posterior.curves[rows, 0]}
    if family.first is not None:
        draws["b"] = posterior.amplitudes[rows, 0]
    if family.second is not None:
        draws["d"] = posterior.amplitudes[rows, 1]
    drawn = family.params(posterior.shape[rows] - (ends[best] - family.size))
    means = {name: float(values.mean()) for name, values in (draws | drawn).items()}
    errors = {name: float(values.std()) for name, values in draws.items()}
    for name, points in family.params(np.arange(family.size)).items():
        grid = np.unique(points)
        cell = np.diff(grid)[np.clip(np.searchsorted(grid, means[name]) - 1, 0, grid.size - 2)]
        errors[name] = float(np.hypot(drawn[name].std(), cell / np.sqrt(12.0)))
    return family.name, means, errors


def _reach(grid: Array, expected: Array, share: float) -> float:
    top = int(expected.argmax())
    goal = expected[0] + share * (expected[top] - expected[0])
    return float(grid[int((expected[: top + 1] >= goal).argmax())])


def _needed(
    x: Array, curve: MeanCurve, delta: float, width: float, Q: int, seed: int
) -> int | None:
    """Return how many queries narrow the knee's interval from `width` with Q of them to WIDE.

    The interval is that of the same curve with a covariance so many times smaller; between the
    numbers tried, width is taken as a power of the number. None where the last one does not do.
    """
    if width <= WIDE:
        return Q
    times = 1.0
    for more in SEARCH:
        study = MeanCurve(curve.mean, curve.covariance / more, curve.clusters * more)
        posterior = sample_posterior(x, study, np.random.default_rng(seed), draws=500)
        (knees,) = argmax(posterior, delta * posterior.x)
        narrow = _place(knees, x).width
        if narrow <= WIDE:
            share = np.log(width / WIDE) / np.log(width / narrow)
            return max(Q + 1, int(float(f"{Q * times * (more / times) ** share:.2g}")))
        times, width = float(more), narrow
    return None


def _flags(knee: Place, needed: int | None, Q: int, beyond: float, dropped: int) -> tuple[str, ...]:
    flags = []
    if needed is None:
        flags.append(
            f"the interval spans {knee.width:.1f} doublings, "
            f"and more queries alone would not bring it to {WIDE:g}"
        )
    elif needed > Q:
        flags.append(
            f"too few queries: the interval spans {knee.width:.1f} doublings, "
            f"about {needed} queries would bring it to {WIDE:g}"
        )
    if beyond >= SURE:
        flags.append(f"the knee lies beyond the largest budget (P = {beyond:.2f})")
    elif beyond > 1.0 - SURE:
        flags.append(f"the knee may lie beyond the largest budget (P = {beyond:.2f})")
    if knee.at == 0.0:
        flags.append("the knee is at the smallest budget or below")
    if dropped:
        flags.append(f"{dropped} queries with a missing budget left out")
    return tuple(flags)


def _doublings(spend: Array) -> Array:
    """Return log2 of spend over the smallest, rounded so that equal grids are equal."""
    rounded: Array = np.round(np.log2(spend / spend[0]), 9)
    return rounded


def _checked(
    Z: ArrayLike,
    spend: ArrayLike,
    delta: float,
    worth: float | None,
    clusters: ArrayLike | None,
) -> tuple[Array, Array, NDArray[np.int64] | None, int]:
    table = np.asarray(Z, dtype=np.float64)
    cost = np.asarray(spend, dtype=np.float64)
    if table.ndim != 2 or cost.shape != table.shape[1:]:
        raise ValueError(
            f"Z must be (queries, budgets) and spend (budgets,), found {table.shape}, {cost.shape}."
        )
    if table.shape[1] < 2:
        raise ValueError(f"a knee needs at least 2 budgets, found {table.shape[1]}.")
    positive = np.isfinite(cost).all() and (cost > 0).all()
    if not (positive and (np.diff(_doublings(cost)) > 0).all()):
        raise ValueError(f"spend must be positive and strictly increasing, found {cost.tolist()}.")
    outside = (table < 0.0) | (table > 1.0)
    if outside.any():
        q, j = np.argwhere(outside)[0]
        raise ValueError(f"Z[{q}, {j}] is {table[q, j]}; accuracies lie in [0, 1].")
    if not delta >= 0.0:
        raise ValueError(f"delta is {delta}; it must be 0 or more.")
    if worth is not None and not 0.0 < worth < np.inf:
        raise ValueError(f"worth is {worth}; it must be positive.")
    whole = ~np.isnan(table).any(axis=1)
    if whole.sum() < 2:
        raise ValueError(f"a knee needs at least 2 queries with every budget, found {whole.sum()}.")
    groups = None
    if clusters is not None:
        labels = np.asarray(clusters)
        if labels.shape != table.shape[:1]:
            raise ValueError(f"clusters must be ({table.shape[0]},), found {labels.shape}.")
        groups = np.unique(labels[whole], return_inverse=True)[1].astype(np.int64)
        if groups.max() < 1:
            raise ValueError("a knee needs at least 2 clusters, found 1.")
    return table[whole], cost, groups, int((~whole).sum())
