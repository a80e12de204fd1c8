"""Locate the knee of accuracy against spend: argmax_x { A(x) - delta x }, x in doublings.

On a concave curve that is the first point where a doubling buys less than delta. Knee, peak,
interval and verdict are read off draws of the whole curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tsbench.posterior import MeanCurve, Posterior, mean_curve, sample_posterior

Array = NDArray[np.float64]

FALL_MARGIN = 0.005
"""A peak that exceeds the last budget by less is no fall."""
WIDE = 4.0
"""An interval of more doublings than this is flagged."""


@dataclass(frozen=True)
class Knee:
    """Where more spend stops paying, and how sure that is.

    Spends (`knee`, `low`, `high`, `peak`, `gain95`) are in the units that `locate` was given;
    accuracies are in [0, 1]. `knee` is the posterior median and None where it lies beyond the
    largest budget; `low` and `high` bound the 95 % interval, None where it reaches the smallest
    or the largest budget (censored). `knee_budget` is the index of the budget nearest to the
    knee, the last one where it lies beyond.
    """

    knee: float | None
    low: float | None
    high: float | None
    verdict: str
    """rising | flat | falls | cannot tell"""
    knee_budget: int
    accuracy_at_knee: float
    peak: float
    peak_accuracy: float
    gain_left: float | None
    """Accuracy between the knee and the peak; None where the knee lies beyond the grid."""
    gain95: float
    """Spend where 95 % of the gain up to the peak is reached; a description, not the knee."""
    p_fall: float
    """P(the peak exceeds the last budget by more than half a point)."""
    p_value: float
    """Max-t p-value of "some budget beats the last", adjusted for having looked at all."""
    p_beyond: float
    """P(the knee lies beyond the largest budget)."""
    half_delta: float | None
    """The knee at half of delta, None beyond the grid; `double_delta` is the one at twice."""
    double_delta: float | None
    family: str
    """The likeliest single family, for people; the knee is averaged over all."""
    params: Mapping[str, float]
    """Its parameters: `a` accuracy at the smallest budget, `b` the whole rise and `d` the whole
    fall over the grid, and those of its shape (see tsbench.shapes)."""
    errors: Mapping[str, float]
    """Their standard errors."""
    delta: float
    n_queries: int
    n_clusters: int
    flags: tuple[str, ...]


def locate(
    Z: ArrayLike,
    spend: ArrayLike,
    *,
    delta: float = 0.01,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> Knee:
    """Find the knee of mean accuracy against spend, with a 95 % interval and a verdict.

    Z (queries, budgets) holds an unbiased estimate in [0, 1] of each query's accuracy at each
    budget; a query with a NaN is left out and flagged. `spend` (budgets,) is positive and
    strictly increasing, in any unit. `delta` is the accuracy that a doubling must buy (0.01: one
    point). `clusters` (queries,) labels queries that are not independent. The same input and
    seed give the same Knee.

    Raises ValueError for shapes that do not fit, values outside [0, 1], fewer than 2 whole
    queries, clusters or budgets, spend that is not increasing, and a negative delta.
    """
    table, cost, groups, dropped = _checked(Z, spend, delta, clusters)
    curve = mean_curve(table, groups)
    x = _doublings(cost)
    posterior = sample_posterior(x, curve, np.random.default_rng(seed))

    grid = posterior.x
    knees = argmax(posterior, delta)
    at = float(np.median(knees))
    low, high = _interval(knees, at, x)
    beyond = float((knees == grid[-1]).mean())
    p_fall = float((posterior.curves.max(axis=1) > posterior.curves[:, -1] + FALL_MARGIN).mean())
    expected = _expected(posterior, curve)
    knee_accuracy = float(np.interp(at, grid, expected))
    top = int(expected.argmax())
    family, params, errors = _best_family(posterior)

    def spend_at(doublings: float) -> float:
        return float(cost[0] * 2.0**doublings)

    def within(doublings: float) -> float | None:
        return None if doublings >= grid[-1] else spend_at(doublings)

    return Knee(
        knee=within(at),
        low=None if low <= 0.0 else spend_at(low),
        high=within(high),
        verdict=_verdict(p_fall, _peak_test(curve), beyond),
        knee_budget=int(np.abs(x - at).argmin()),
        accuracy_at_knee=knee_accuracy,
        peak=spend_at(grid[top]),
        peak_accuracy=float(expected[top]),
        gain_left=None if at >= grid[-1] else max(0.0, float(expected[top]) - knee_accuracy),
        gain95=spend_at(_reach(grid, expected, 0.95)),
        p_fall=p_fall,
        p_value=max_t(curve, np.random.default_rng(seed)),
        p_beyond=beyond,
        half_delta=within(float(np.median(argmax(posterior, delta / 2.0)))),
        double_delta=within(float(np.median(argmax(posterior, delta * 2.0)))),
        family=family,
        params=params,
        errors=errors,
        delta=delta,
        n_queries=table.shape[0],
        n_clusters=curve.clusters,
        flags=_flags(low, high, beyond, curve.clusters, dropped),
    )


def max_t(curve: MeanCurve, rng: np.random.Generator, draws: int = 4000) -> float:
    """Return the one-sided max-t p-value of "some earlier budget is better than the last"."""
    contrast = np.hstack([np.eye(curve.mean.size - 1), -np.ones((curve.mean.size - 1, 1))])
    covariance = contrast @ curve.covariance @ contrast.T
    sd = np.sqrt(np.diag(covariance))
    observed = ((contrast @ curve.mean) / sd).max()
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) / sd[:, None]
    noise = rng.standard_normal((draws, sd.size)) @ root.T
    spread = np.sqrt(rng.chisquare(curve.clusters - 1, draws) / (curve.clusters - 1))
    return float((1 + ((noise.max(axis=1) / spread) >= observed).sum()) / (draws + 1))


def argmax(posterior: Posterior, delta: float) -> Array:
    """Return each draw's smallest maximiser of A(x) - delta x, in doublings."""
    best: Array = posterior.x[(posterior.curves - delta * posterior.x).argmax(axis=1)]
    return best


def _expected(posterior: Posterior, curve: MeanCurve) -> Array:
    """Return the posterior mean curve, its level set to that of the measured means."""
    shape = posterior.curves.mean(axis=0)
    expected: Array = shape + (curve.mean - shape[posterior.budgets]).mean()
    return np.clip(expected, 0.0, 1.0)


def _interval(knees: Array, centre: float, x: Array) -> tuple[float, float]:
    """Return 95 % quantiles, widened to a quarter grid step each way."""
    low, high = np.quantile(knees, [0.025, 0.975])
    near = min(max(int(np.searchsorted(x, centre)), 1), x.size - 1)
    least = (x[near] - x[near - 1]) / 4.0
    low, high = min(low, centre - least), max(high, centre + least)
    return max(float(low), 0.0), min(float(high), float(x[-1]))


def _peak_test(curve: MeanCurve) -> float:
    """Return the one-sided paired t-test's p-value of the raw peak against the last budget."""
    top = int(curve.mean.argmax())
    gain = curve.mean[top] - curve.mean[-1]
    if gain <= 0.0:
        return 1.0
    contrast = curve.residuals[:, top] - curve.residuals[:, -1]
    floor = 0.2 / curve.clusters**2
    return float(stats.t.sf(gain / np.sqrt(contrast @ contrast + floor), curve.clusters - 1))


def _verdict(p_fall: float, p_peak: float, p_beyond: float) -> str:
    if p_fall > 0.60 and p_peak < 0.025:
        return "falls"
    if p_beyond >= 0.9:
        return "rising"
    return "flat" if p_beyond <= 0.1 else "cannot tell"


def _best_family(posterior: Posterior) -> tuple[str, dict[str, float], dict[str, float]]:
    """Return the likeliest family, and its parameters' posterior means and standard errors."""
    names = np.array([shape.family for shape in posterior.shapes])[posterior.shape]
    families, counts = np.unique(names, return_counts=True)
    best = str(families[counts.argmax()])
    rows = np.flatnonzero(names == best)
    parts = [posterior.shapes[i] for i in posterior.shape[rows]]
    draws = {"a": posterior.amplitudes[rows, 0]}
    if parts[0].rise is not None:
        draws["b"] = posterior.amplitudes[rows, 1]
    if parts[0].fall is not None:
        draws["d"] = posterior.amplitudes[rows, 2]
    draws |= {name: np.array([part.params[name] for part in parts]) for name in parts[0].params}
    return (
        best,
        {name: float(values.mean()) for name, values in draws.items()},
        {name: float(values.std()) for name, values in draws.items()},
    )


def _reach(grid: Array, expected: Array, share: float) -> float:
    top = int(expected.argmax())
    goal = expected[0] + share * (expected[top] - expected[0])
    return float(grid[int((expected[: top + 1] >= goal).argmax())])


def _flags(low: float, high: float, beyond: float, clusters: int, dropped: int) -> tuple[str, ...]:
    flags = []
    width = high - low
    if width > WIDE:
        need = int(round(clusters * (width / (WIDE / 2.0)) ** 2, -1))
        flags.append(
            f"too few queries: the interval spans {width:.1f} doublings, "
            f"about {need} queries would bring it to {WIDE / 2.0:g}"
        )
    if 0.1 < beyond < 0.9:
        flags.append(f"the knee may lie beyond the largest budget (P = {beyond:.2f})")
    if dropped:
        flags.append(f"{dropped} queries with a missing budget left out")
    return tuple(flags)


def _doublings(spend: Array) -> Array:
    """Return log2 of spend over the smallest, rounded so that equal grids are equal."""
    rounded: Array = np.round(np.log2(spend / spend[0]), 9)
    return rounded


def _checked(
    Z: ArrayLike, spend: ArrayLike, delta: float, clusters: ArrayLike | None
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
