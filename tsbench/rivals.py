"""The usual ways to place a knee, to be measured on the same data as `locate`.

Each takes the table of accuracies and returns a knee in doublings, an interval where the method
has one, and whether it would call the curve a turnover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tsbench.knee import FALL_MARGIN

Array = NDArray[np.float64]

RESAMPLES = 200
"""Bootstrap resamples of the queries; the interval is that of their percentiles."""
ALPHAS = np.geomspace(0.02, 8.0, 240)
"""Exponents at which the power law is fitted."""


@dataclass(frozen=True)
class Finding:
    """A knee in doublings, the last budget where it is beyond; None for what a method lacks."""

    knee: float
    low: float | None = None
    high: float | None = None
    falls: bool | None = None


Rival = Callable[[Array, Array, float, np.random.Generator], Finding]


def kneed(Z: Array, x: Array, delta: float, rng: np.random.Generator) -> Finding:
    """Kneedle on the mean curve and log spend, with the defaults of the package `kneed`.

    Satopaa et al. 2011 (doi 10.1109/ICDCSW.2011.20). It knows no `delta`, no interval and no
    turnover. Where it finds no knee, or the curve is constant, the knee is the last budget.
    Raises ValueError where the package is missing.
    """
    mean = Z.mean(axis=0)
    found = locator()(x, mean).knee if np.ptp(mean) > 0 else None
    return Finding(float(x[-1]) if found is None else float(found))


def locator() -> Callable[..., Any]:
    """Return kneed's KneeLocator; ValueError where the package is missing."""
    try:
        found: Callable[..., Any] = import_module("kneed").KneeLocator
    except ImportError as error:
        raise ValueError("rivals need the package kneed: pip install tsbench[validate].") from error
    return found


def power_law(Z: Array, x: Array, delta: float, rng: np.random.Generator) -> Finding:
    """Least squares of a + b (1 - 2^(-alpha x)), b >= 0; the knee is where its slope is `delta`.

    Fitted to the mean curve, a and b in closed form at each alpha of ALPHAS; the interval is a
    percentile bootstrap over queries. It cannot fall.
    """
    risen = 1.0 - np.exp2(-np.outer(ALPHAS, x))
    centred = risen - risen.mean(axis=1, keepdims=True)
    size = np.square(centred).sum(axis=1)

    def knees(means: Array) -> Array:
        gain = np.maximum(means @ centred.T / size, 0.0)
        best = (gain**2 * size).argmax(axis=1)
        alpha, b = ALPHAS[best], gain[np.arange(len(means)), best]
        if delta == 0.0:
            return np.where(b > 0.0, x[-1], 0.0)
        steepness = np.maximum(b * alpha * np.log(2.0) / delta, 1.0)
        at: Array = np.minimum(np.log2(steepness) / alpha, x[-1])
        return at

    return _bootstrapped(Z, knees, rng, falls=False)


def aicc(Z: Array, x: Array, delta: float, rng: np.random.Generator) -> Finding:
    """Select one family by AICc on the mean curve; knee and turnover are the fitted curve's.

    Flat, linear, quadratic, saturating power, logistic, and a power with a later fall, fitted by
    least squares (shape parameters on a fine grid, amplitudes in closed form). AICc takes the
    budgets as its observations (Hurvich and Tsai 1989, doi 10.1093/biomet/76.2.297); a family
    with as many parameters as budgets less one is out. The interval is a percentile bootstrap
    over queries, selection included.
    """
    fitted = _selected(Z.mean(axis=0)[None], x)[0]
    fine = _fine(x)
    return _bootstrapped(
        Z,
        lambda means: fine[(_selected(means, x) - delta * fine).argmax(axis=1)],
        rng,
        falls=bool(fitted.max() > fitted[-1] + FALL_MARGIN),
    )


def raw_argmax(Z: Array, x: Array, delta: float, rng: np.random.Generator) -> Finding:
    """The budget with the largest mean - delta x; a turnover where the last budget is not the peak.

    The interval is a percentile bootstrap over queries.
    """
    falls = bool(Z.mean(axis=0).argmax() < x.size - 1)
    return _bootstrapped(Z, lambda means: x[(means - delta * x).argmax(axis=1)], rng, falls=falls)


RIVALS: Mapping[str, Rival] = {
    "kneed": kneed,
    "power law": power_law,
    "AICc": aicc,
    "raw argmax": raw_argmax,
}


def _bootstrapped(
    Z: Array, knees: Callable[[Array], Array], rng: np.random.Generator, *, falls: bool
) -> Finding:
    Q = Z.shape[0]
    weights = rng.multinomial(Q, np.full(Q, 1.0 / Q), size=RESAMPLES) / Q
    low, high = np.quantile(knees(weights @ Z), [0.025, 0.975])
    knee = knees(Z.mean(axis=0)[None])[0]
    return Finding(float(knee), float(low), float(high), falls)


def _fine(x: Array) -> Array:
    return np.linspace(0.0, x[-1], 32 * int(np.ceil(x[-1])) + 1)


def _selected(means: Array, x: Array) -> Array:
    """Return the curve of the family of least AICc for each row of `means`, on the fine grid."""
    J = x.size
    families = _families(tuple(x.tolist()))
    best = np.full(len(means), np.inf)
    curves = np.zeros((len(means), _fine(x).size))
    for terms, solve, at_budgets, at_fine in families:
        k = terms + 1
        if J - k - 1 <= 0:
            continue
        amplitudes = np.einsum("cpj,bj->bcp", solve, means)
        left = means[:, None] - np.einsum("cjp,bcp->bcj", at_budgets, amplitudes)
        error = np.square(left).sum(axis=2)
        if at_budgets.shape[2] > 2:
            error[(amplitudes[:, :, 1:] < 0.0).any(axis=2)] = np.inf
        pick = error.argmin(axis=1)
        rows = np.arange(len(means))
        deviance = J * np.log(np.maximum(error[rows, pick] / J, 1e-12))
        score = deviance + 2.0 * k + 2.0 * k * (k + 1.0) / (J - k - 1.0)
        won = score < best
        best[won] = score[won]
        chosen = at_fine[pick[won]], amplitudes[rows, pick][won]
        curves[won] = np.einsum("bxp,bp->bx", *chosen)
    return curves


@lru_cache(maxsize=8)
def _families(budgets: tuple[float, ...]) -> list[tuple[int, Array, Array, Array]]:
    """Return each family's parameter count, least-squares solver and designs over its grid.

    Solver (shapes, amplitudes, budgets); designs (shapes, points, amplitudes) at the budgets and
    on the fine grid.
    """
    x = np.array(budgets)
    fine, end = _fine(x), x[-1]
    alphas = np.geomspace(0.1, 4.0, 40)
    bends = list(product(np.linspace(0.0, end, 29), np.geomspace(0.1, 1.5, 8)))
    turns = list(product(np.geomspace(0.3, 4.0, 10), np.linspace(0.0, 0.9 * end, 15)))

    def columns(*terms: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda at: np.stack([np.ones_like(at), *(term(at) for term in terms)], axis=1)

    def power(alpha: float) -> Callable[[Array], Array]:
        return lambda at: 1.0 - np.exp2(-alpha * at)

    def logistic(centre: float, width: float) -> Callable[[Array], Array]:
        return lambda at: np.asarray(expit((at - centre) / width))

    def hinge(start: float) -> Callable[[Array], Array]:
        return lambda at: -np.maximum(at - start, 0.0)

    grids: list[tuple[int, list[Callable[[Array], Array]]]] = [
        (1, [columns()]),
        (2, [columns(lambda at: at)]),
        (3, [columns(lambda at: at, lambda at: -(at**2))]),
        (3, [columns(power(alpha)) for alpha in alphas]),
        (4, [columns(logistic(*bend)) for bend in bends]),
        (5, [columns(power(alpha), hinge(start)) for alpha, start in turns]),
    ]
    families = []
    for terms, designs in grids:
        at_budgets = np.array([design(x) for design in designs])
        at_fine = np.array([design(fine) for design in designs])
        families.append((terms, np.linalg.pinv(at_budgets), at_budgets, at_fine))
    return families
