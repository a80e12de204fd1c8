"""The posterior of a mean accuracy curve: shapes averaged by their exact marginal likelihood.

A dictionary of shapes is fitted to the mean over queries by generalised least squares, with the
mean's covariance across budgets and a small Gaussian process for what no shape explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri, ndtri_exp, roots_legendre, stdtrit

from tsbench.shapes import Shape, dictionary, evaluate

Array = NDArray[np.float64]

DRAWS = 4000
STEPS = 16
"""Points of the fine grid for each step between budgets."""
MISFIT = {0.0: 0.70, 0.01: 0.12, 0.02: 0.09, 0.05: 0.06, 0.10: 0.03}
"""Standard deviations of the misfit process (accuracy) and their prior masses."""
MISFIT_LENGTH = 2.0
ROUGH = 0.1
"""Variance of a budget's own misfit, as a share of the process's: steps that no curve has."""
LEVEL, LEVEL_SD = 0.5, 0.5
AMPLITUDES = ((0.10, 0.10), (0.40, 0.30))
"""Standard deviations (rise, fall) of the half-normal amplitudes; each pair equally likely."""


@dataclass(frozen=True)
class MeanCurve:
    """Mean accuracy at each budget, the covariance of that mean, and how many clusters made it."""

    mean: Array
    covariance: Array
    residuals: Array
    """(clusters, budgets), scaled so that residuals' residuals is the raw covariance."""

    @property
    def clusters(self) -> int:
        """The number of independent units."""
        return int(self.residuals.shape[0])

    @property
    def noise(self) -> Array:
        """The covariance, inflated by the square of t over normal quantiles for few clusters."""
        stretch = float(stdtrit(self.clusters - 1, 0.975) / ndtri(0.975))
        inflated: Array = stretch**2 * self.covariance
        return inflated


@dataclass(frozen=True)
class Posterior:
    """Draws of the curve A(x): `curves` (draws, x), and the shape and (a, b, d) of each.

    `x` is in doublings; `budgets` are the indices in it of the measured budgets.
    """

    x: Array
    budgets: NDArray[np.int64]
    curves: Array
    shapes: tuple[Shape, ...]
    shape: NDArray[np.int64]
    amplitudes: Array


def mean_curve(Z: Array, clusters: NDArray[np.int64] | None = None) -> MeanCurve:
    """Average over queries and estimate the covariance of the average across budgets.

    From the residuals of queries, or of clusters' sums: correlations are shrunk to their average
    at each lag with weight min(0.9, 1.5 J / G), and (0.2 / G^2) T T' is added, T the
    lower-triangular ones: a rule of succession that keeps doubt where all queries agree.
    """
    Q, J = Z.shape
    mean = Z.mean(axis=0)
    residuals = (Z - mean) / Q
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, J))
        np.add.at(sums, clusters, residuals)
        residuals = sums
    G = residuals.shape[0]
    residuals = residuals * np.sqrt(G / (G - 1.0))
    raw = residuals.T @ residuals
    sd = np.sqrt(np.diag(raw))
    scale = np.outer(sd, sd)
    live = scale > 0
    correlation = np.where(live, raw / np.where(live, scale, 1.0), np.eye(J))
    lag = np.abs(np.subtract.outer(np.arange(J), np.arange(J)))
    average = np.bincount(lag.ravel(), correlation.ravel()) / np.bincount(lag.ravel())
    weight = min(0.9, 1.5 * J / G)
    values, vectors = np.linalg.eigh((1.0 - weight) * correlation + weight * average[lag])
    shrunk = (vectors * np.maximum(values, 0.0)) @ vectors.T
    ones = np.tri(J)
    covariance = shrunk * scale + 0.2 / G**2 * (ones @ ones.T)
    return MeanCurve(mean, covariance, residuals)


@dataclass(frozen=True)
class Basis:
    """What depends on the budgets alone, on a fine grid `x` of doublings."""

    x: Array
    budgets: NDArray[np.int64]
    shapes: tuple[Shape, ...]
    design: Array
    """(shapes, x, 3): the columns of a, b and d."""
    correlation: Array
    """(x, x): of the misfit process; `root` is its Cholesky factor."""
    root: Array


@lru_cache(maxsize=16)
def basis_on(x: tuple[float, ...]) -> Basis:
    """Return the basis for budgets at `x` doublings; curves on the same budgets share it."""
    shapes = tuple(dictionary(x[-1]))
    where = STEPS * np.arange(len(x))
    fine = np.interp(np.arange(where[-1] + 1), where, x)
    rise, fall = evaluate(shapes, fine)
    design = np.stack([np.ones_like(rise), rise, -fall], axis=2)
    correlation = matern(np.subtract.outer(fine, fine))
    root: Array = np.linalg.cholesky(correlation + 1e-9 * np.eye(fine.size)).astype(np.float64)
    return Basis(fine, where, shapes, design, correlation, root)


def sample_posterior(x: Array, curve: MeanCurve, rng: np.random.Generator) -> Posterior:
    """Draw curves from the average over shapes, amplitude scales and misfit sizes.

    y = a + b rise(x) - d fall(x) + misfit, a normal, b and d half-normal: given shape, scale and
    misfit the marginal likelihood is a normal density times the ratio of the posterior's to the
    prior's mass where b, d >= 0.
    """
    basis = basis_on(tuple(x.tolist()))
    shapes, where, design = basis.shapes, basis.budgets, basis.design
    at_budgets = basis.correlation[np.ix_(where, where)]
    rough = ROUGH * np.eye(x.size)
    noise = curve.noise

    prior = np.log([shape.prior for shape in shapes])
    cells = []
    for (tau, mass), scales in product(MISFIT.items(), AMPLITUDES):
        covariance = noise + tau**2 * (at_budgets + rough)
        evidence, centre, spread = _gls(
            design[:, where], curve.mean - LEVEL, covariance, (LEVEL_SD, *scales)
        )
        cells.append((evidence + prior + np.log(mass / len(AMPLITUDES)), centre, spread, tau))
    log_weight = np.stack([cell[0] for cell in cells])
    weight = np.exp(log_weight - logsumexp(log_weight)).ravel()
    picks = rng.choice(weight.size, size=DRAWS, p=weight / weight.sum())
    cell, shape = np.divmod(picks, len(shapes))
    centre = np.stack([c[1] for c in cells])[cell, shape]
    spread = np.stack([c[2] for c in cells])[cell, shape]
    amplitudes = _truncated(centre, spread, rng)
    amplitudes[:, 0] += LEVEL
    curves = (design[shape] @ amplitudes[:, :, None])[:, :, 0]

    taus = np.array([c[3] for c in cells])[cell]
    for tau in np.unique(taus[taus > 0]):
        rows = taus == tau
        free = tau * rng.standard_normal((rows.sum(), basis.x.size)) @ basis.root.T
        left = curve.mean - curves[rows][:, where]
        curves[rows] += _given(
            free, left, where, tau**2 * basis.correlation, noise + tau**2 * rough, rng
        )
    return Posterior(basis.x, where, np.clip(curves, 0.0, 1.0), shapes, shape, amplitudes)


def matern(distance: Array) -> Array:
    """Return the Matern-5/2 correlation at `distance` doublings, length MISFIT_LENGTH."""
    r = np.sqrt(5.0) * np.abs(distance) / MISFIT_LENGTH
    value: Array = (1.0 + r + r**2 / 3.0) * np.exp(-r)
    return value


def _gls(
    design: Array, residual: Array, covariance: Array, scales: tuple[float, ...]
) -> tuple[Array, Array, Array]:
    """Return log evidence (shapes,), posterior mean (shapes, 3) and covariance (shapes, 3, 3)."""
    root = np.linalg.cholesky(covariance)
    whitener = np.linalg.inv(root)
    X = whitener @ design
    y = whitener @ residual
    prior = np.diag(1.0 / np.square(scales))
    precision = X.transpose(0, 2, 1) @ X + prior
    spread: Array = np.linalg.inv(precision).astype(np.float64)
    pull = np.einsum("mjp,j->mp", X, y)
    centre = np.einsum("mpq,mq->mp", spread, pull)
    fit = np.einsum("mp,mp->m", pull, centre) - y @ y
    volume = -np.linalg.slogdet(precision)[1] - 2.0 * np.log(scales).sum()
    constant = -np.log(np.diag(root)).sum() - 0.5 * y.size * np.log(2.0 * np.pi)
    evidence = 0.5 * (fit + volume) + constant + _log_orthant(centre, spread) - np.log(0.25)
    return evidence, centre, spread


def _ordered(centre: Array, spread: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of the amplitudes 1 and 2 is less surely positive, and the other."""
    z = centre[:, 1:] / np.sqrt(spread[:, [1, 2], [1, 2]])
    outer = 1 + z.argmin(axis=1)
    return outer, 3 - outer


def _conditional(
    centre: Array, spread: Array, log_tail: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array, Array]:
    """Place the outer amplitude at upper-tail fractions; return the inner one given it."""
    rows = np.arange(centre.shape[0])
    outer, inner = _ordered(centre, spread)
    so = np.sqrt(spread[rows, outer, outer])
    mo, mi = centre[rows, outer], centre[rows, inner]
    slope = spread[rows, outer, inner] / so**2
    si = np.sqrt(np.maximum(spread[rows, inner, inner] - slope**2 * so**2, 1e-18))
    value = mo[:, None] - so[:, None] * ndtri_exp(log_tail + log_ndtr(mo / so)[:, None])
    value = np.maximum(value, 0.0)
    mean = mi[:, None] + slope[:, None] * (value - mo[:, None])
    return outer, inner, value, mean, si


def _log_orthant(centre: Array, spread: Array, nodes: int = 24) -> Array:
    """Return log P(b >= 0, d >= 0) of normals, (shapes,), by quadrature over the rarer one."""
    u, w = roots_legendre(nodes)
    log_tail = np.log((u + 1.0) / 2.0)[None, :]
    outer, _, _, mean, si = _conditional(centre, spread, log_tail)
    rows = np.arange(centre.shape[0])
    first = log_ndtr(centre[rows, outer] / np.sqrt(spread[rows, outer, outer]))
    mass: Array = first + logsumexp(log_ndtr(mean / si[:, None]), axis=1, b=w / 2.0)
    return mass


def _truncated(centre: Array, spread: Array, rng: np.random.Generator, strata: int = 32) -> Array:
    """Draw (a, b, d) from each row's normal restricted to b, d >= 0."""
    n = centre.shape[0]
    rows = np.arange(n)
    u = (np.arange(strata) + rng.uniform(size=(n, strata))) / strata
    outer, inner, value, mean, si = _conditional(centre, spread, np.log(u))
    log_mass = log_ndtr(mean / si[:, None])
    cumulative = np.cumsum(np.exp(log_mass - log_mass.max(axis=1, keepdims=True)), axis=1)
    pick = (cumulative < rng.uniform(size=(n, 1)) * cumulative[:, -1:]).sum(axis=1)
    out = np.empty((n, 3))
    out[rows, outer] = value[rows, pick]
    m = mean[rows, pick]
    tail = np.log(1.0 - rng.uniform(size=n)) + log_ndtr(m / si)
    out[rows, inner] = np.maximum(m - si * ndtri_exp(tail), 0.0)
    block = spread[:, 1:, 1:]
    gain = np.linalg.solve(block, spread[:, 1:, :1])[:, :, 0]
    mean_a = centre[:, 0] + np.einsum("np,np->n", gain, out[:, 1:] - centre[:, 1:])
    left = spread[:, 0, 0] - np.einsum("np,np->n", gain, spread[:, 1:, 0])
    out[:, 0] = mean_a + np.sqrt(np.maximum(left, 0.0)) * rng.standard_normal(n)
    return out


def _given(
    free: Array,
    left: Array,
    where: NDArray[np.int64],
    kernel: Array,
    noise: Array,
    rng: np.random.Generator,
) -> Array:
    """Turn prior paths into paths given `left` measured at `where` with `noise` (Matheron)."""
    error = rng.standard_normal(left.shape) @ np.linalg.cholesky(noise).T
    gain = np.linalg.solve(kernel[np.ix_(where, where)] + noise, kernel[where])
    path: Array = free + (left - free[:, where] - error) @ gain
    return path
