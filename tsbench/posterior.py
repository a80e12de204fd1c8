"""The posterior of a mean accuracy curve: shapes averaged by their exact marginal likelihood.

A dictionary of shapes is fitted to the mean over queries by generalised least squares, with the
mean's covariance across budgets and a small Gaussian process for what no shape explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp, owens_t, stdtrit

from tsbench.shapes import Family, Table, dictionary, evaluate

Array = NDArray[np.float64]
Index = NDArray[np.int64]

DRAWS = 1600
"""Curves that are drawn."""
STEPS = 10
"""Points of the fine grid for each step between budgets."""
THIN = (5, 2, 1)
"""The misfit is drawn at every so many of them, the first that are MISFIT_LENGTH / 2 apart or
nearer; between those it is smooth."""
MISFIT = np.array([0.002, 0.008, 0.025])
"""Standard deviations of the misfit process (accuracy)."""
MISFIT_MASS = np.array([0.7, 0.2, 0.1])
MISFIT_LENGTH = 1.0
ROUGH = 0.05
"""Variance of a budget's own misfit, as a share of the process's: steps that no curve has."""
LEVEL, LEVEL_SD = 0.5, 0.5
FIRST_SD, SECOND_SD = 0.3, 0.2
"""Standard deviations of the half-normal amplitudes."""
NEGLIGIBLE = 10.0
"""A shape of two parts whose log mass is this far below the best one of one is not drawn."""
STRATA = 16
"""Quantiles tried for each draw of two amplitudes that depend on each other."""


@dataclass(frozen=True)
class MeanCurve:
    """Mean accuracy at each budget, the covariance of that mean, and the clusters it is over."""

    mean: Array
    covariance: Array
    clusters: int

    @property
    def noise(self) -> Array:
        """The covariance, inflated by the square of t over normal quantiles for few clusters."""
        stretch = float(stdtrit(self.clusters - 1, 0.975) / ndtri(0.975))
        inflated: Array = stretch**2 * self.covariance
        return inflated


@dataclass(frozen=True)
class Posterior:
    """Draws of the curve A(x): `curves` (draws, x), and the shape and (b, d) of each.

    `x` is in doublings; `budgets` are the indices in it of the measured budgets.
    """

    x: Array
    budgets: Index
    curves: Array
    families: tuple[Family, ...]
    shape: Index
    """(draws,), counted through `families`."""
    amplitudes: Array
    """(draws, 2); that of an absent part is a draw of its prior."""


def mean_curve(Z: Array, clusters: Index | None = None) -> MeanCurve:
    """Average over queries and estimate the covariance of the average across budgets.

    From the residuals of queries, or of clusters' sums: correlations are shrunk to their average
    at each lag with weight min(0.9, 1.5 J / G). A rule of succession keeps doubt where queries
    agree: at every step a fifth of a query more moves, which adds (m / 5 G^2) T T', T the
    lower-triangular ones. Its square move m is the mean over the queries that do move, weighted
    by their square moves and with 0.3 of a query that moves by 1.
    """
    Q, J = Z.shape
    mean = Z.mean(axis=0)
    G = Q if clusters is None else int(clusters.max()) + 1
    residuals = _summed(Z - mean, clusters)
    raw = residuals.T @ residuals * (G / (G - 1.0)) / Q**2
    sd = np.sqrt(np.diag(raw))
    scale = np.outer(sd, sd)
    live = scale > 0.0
    correlation = np.where(live, raw / np.where(live, scale, 1.0), np.eye(J))
    lag = np.abs(np.subtract.outer(np.arange(J), np.arange(J)))
    average = np.bincount(lag.ravel(), correlation.ravel()) / np.bincount(lag.ravel())
    weight = min(0.9, 1.5 * J / G)
    values, vectors = np.linalg.eigh((1.0 - weight) * correlation + weight * average[lag])
    shrunk = (vectors * np.maximum(values, 0.0)) @ vectors.T
    moves = np.square(np.diff(_summed(Z, clusters), axis=1) * G / Q)
    m = (0.3 + np.square(moves).sum()) / (0.3 + moves.sum())
    ones = np.tri(J)
    covariance = shrunk * scale + m / (5.0 * G**2) * (ones @ ones.T)
    return MeanCurve(mean, covariance, G)


def _summed(Z: Array, clusters: Index | None) -> Array:
    """Return the sums over each cluster's queries, (clusters, budgets)."""
    if clusters is None:
        return Z
    sums = np.zeros((int(clusters.max()) + 1, Z.shape[1]))
    np.add.at(sums, clusters, Z)
    return sums


@dataclass(frozen=True)
class Basis:
    """What depends on the budgets alone, on a fine grid `x` of doublings."""

    x: Array
    budgets: Index
    families: tuple[Family, ...]
    table: Table
    both: NDArray[np.bool_]
    """(shapes,), whether a shape has two parts."""
    kernel: Array
    """(budgets, x), correlation of the misfit process."""
    root: Array
    """(knots, x): root' root is the correlation among `x`, exact at the knots."""


@lru_cache(maxsize=16)
def basis_on(x: tuple[float, ...]) -> Basis:
    """Return the basis for budgets at `x` doublings; curves on the same budgets share it."""
    families = dictionary(x[-1])
    budgets = STEPS * np.arange(len(x))
    fine = np.interp(np.arange(budgets[-1] + 1), budgets, x)
    table = evaluate(families, fine)
    gap = float(np.diff(fine).max())
    knots = fine[:: next((n for n in THIN if n * gap <= MISFIT_LENGTH / 2.0), 1)]
    factor = np.linalg.cholesky(matern(knots, knots) + 1e-9 * np.eye(knots.size))
    return Basis(
        x=fine,
        budgets=budgets,
        families=families,
        table=table,
        both=(table.first_of > 0) & (table.second_of > 0),
        kernel=matern(fine[budgets], fine),
        root=np.linalg.solve(factor, matern(knots, fine)),
    )


def sample_posterior(
    x: Array, curve: MeanCurve, rng: np.random.Generator, draws: int = DRAWS
) -> Posterior:
    """Draw curves from the average over shapes and sizes of misfit.

    y = a + b first(x) + d second(x) + misfit, a normal, b and d half-normal. Level and misfit are
    integrated into the covariance; the marginal likelihood is then a normal density times the
    ratio of the posterior's to the prior's mass where b, d >= 0.
    """
    basis = basis_on(tuple(x.tolist()))
    table = basis.table
    variance = MISFIT[:, None, None] ** 2
    own = curve.noise + ROUGH * variance * np.eye(x.size)
    shared = LEVEL_SD**2 + variance * basis.kernel
    total = own + shared[:, :, basis.budgets]
    measured = curve.mean - LEVEL

    log_mass, z, sd, correlation = _evidence(basis, measured, total)
    misfit, shape = _systematic(log_mass, draws, rng)
    tie = np.where(basis.both[shape], correlation[misfit, shape], 0.0)
    amplitudes = sd[:, misfit, shape] * _positive_pairs(z[:, misfit, shape], tie, rng)
    b, d = amplitudes
    curves = b[:, None] * table.first[table.first_of[shape]]
    changing = np.flatnonzero(table.second_of[shape])
    curves[changing] += d[changing, None] * table.second[table.second_of[shape[changing]]]

    left = measured - curves[:, basis.budgets]
    for i in np.unique(misfit):
        rows = slice(*np.searchsorted(misfit, [i, i + 1]))
        gain = np.linalg.solve(total[i], shared[i])
        free = np.vstack([np.full(basis.x.size, LEVEL_SD), MISFIT[i] * basis.root])
        curves[rows] += _given(left[rows], gain, free, basis.budgets, own[i], rng)
    curves += LEVEL
    np.clip(curves, 0.0, 1.0, out=curves)
    return Posterior(basis.x, basis.budgets, curves, basis.families, shape, amplitudes.T)


def matern(x: Array, y: Array) -> Array:
    """Return the Matern-5/2 correlation (x, y) of places in doublings, length MISFIT_LENGTH."""
    r = np.sqrt(5.0) * np.abs(np.subtract.outer(x, y)) / MISFIT_LENGTH
    value: Array = (1.0 + r + r**2 / 3.0) * np.exp(-r)
    return value


def product(A: Array, B: Array) -> Array:
    """Return A @ B by blocks of rows so small that BLAS keeps each of them to one thread.

    OpenBLAS starts threads from 2^18 multiplications on, and waits longer for them than it gains.
    """
    out = np.empty((A.shape[0], B.shape[1]))
    rows = max(1, 2**18 // B.size)
    for start in range(0, A.shape[0], rows):
        np.matmul(A[start : start + rows], B, out=out[start : start + rows])
    return out


def _evidence(basis: Basis, y: Array, covariance: Array) -> tuple[Array, Array, Array, Array]:
    """Return log posterior masses (misfits, shapes) and the normals of b and d there.

    `covariance` (misfits, budgets, budgets) is that of y given b and d. But for b, d >= 0 these
    have means z sd and standard deviations sd, both (2, misfits, shapes), and a correlation.
    """
    table = basis.table
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    across = whiten.transpose(0, 2, 1)
    first = table.first[:, basis.budgets] @ across
    second = table.second[:, basis.budgets] @ across
    value = whiten @ y

    to_b = (first @ value[:, :, None])[:, table.first_of, 0]
    to_d = (second @ value[:, :, None])[:, table.second_of, 0]
    precision_b = (np.square(first).sum(axis=2) + FIRST_SD**-2.0)[:, table.first_of]
    precision_d = (np.square(second).sum(axis=2) + SECOND_SD**-2.0)[:, table.second_of]
    pairs = table.first_of, table.second_of
    tie = np.stack([product(f, s.T)[pairs] for f, s in zip(first, second, strict=True)])
    volume = precision_b * precision_d - tie**2
    sd = np.sqrt(np.stack([precision_d, precision_b]) / volume)
    b = (precision_d * to_b - tie * to_d) / volume
    d = (precision_b * to_d - tie * to_b) / volume
    z = np.stack([b, d]) / sd
    correlation = -tie / np.sqrt(precision_b * precision_d)

    diagonal = np.diagonal(whiten, axis1=1, axis2=2)
    constant = np.log(MISFIT_MASS) + np.log(diagonal).sum(axis=1) - 0.5 * (value**2).sum(axis=1)
    log_mass = 0.5 * (b * to_b + d * to_d - np.log(volume)) + np.log(table.prior)
    log_mass += constant[:, None]
    alone = ~basis.both
    log_mass[:, alone] += log_ndtr(z[..., alone]).sum(axis=0)
    live = basis.both & (log_mass > log_mass[:, alone].max() - NEGLIGIBLE)
    log_mass[basis.both & ~live] = -np.inf
    log_mass[live] += _log_quadrant(z[:, live], correlation[live])
    return log_mass, z, sd, correlation


def _systematic(log_mass: Array, draws: int, rng: np.random.Generator) -> tuple[Index, ...]:
    """Draw cells in proportion to their mass, evenly spaced along its sum and so in order."""
    cumulative = np.cumsum(np.exp(log_mass - log_mass.max()))
    at = (np.arange(draws) + rng.uniform()) / draws * cumulative[-1]
    return np.unravel_index(np.searchsorted(cumulative, at), log_mass.shape)


def _log_quadrant(z: Array, correlation: Array) -> Array:
    """Return log P(X, Y > 0) for unit normals of means z (2, n).

    Owen (1956), Tables for computing bivariate normal probabilities, eq. 2.1. Where one is surely
    positive, or the other one very surely not, it is the other one's alone.
    """
    low, high = z.min(axis=0), z.max(axis=0)
    log_mass: Array = log_ndtr(low)
    unsure = np.flatnonzero((np.minimum(low, 0.0) + high < 5.0) & (low > -7.0))
    h, k = np.where(np.abs(z[:, unsure]) < 1e-9, 1e-9, z[:, unsure])
    r = correlation[unsure]
    across = np.sqrt(np.maximum(1.0 - r**2, 1e-12))
    tails = owens_t(h, (k / h - r) / across) + owens_t(k, (h / k - r) / across)
    mass = 0.5 * (ndtr(h) + ndtr(k)) - tails - np.where(h * k < 0.0, 0.5, 0.0)
    log_mass[unsure] = np.log(np.maximum(mass, 1e-15))
    return log_mass


def _positive(z: Array, u: Array) -> Array:
    """Return the quantiles 1 - u of unit normals of means z restricted to X > 0, u in (0, 1]."""
    value: Array = np.maximum(z - ndtri_exp(np.log(u) + log_ndtr(z)), 0.0)
    return value


def _positive_pairs(z: Array, correlation: Array, rng: np.random.Generator) -> Array:
    """Draw pairs of unit normals of means z (2, n) restricted to X, Y > 0.

    Where they are correlated, the less surely positive one is picked among STRATA quantiles by
    the chance that the other is positive too, and the other one then drawn given it.
    """
    drawn = _positive(z, 1.0 - rng.uniform(size=z.shape))
    tied = np.flatnonzero(correlation)
    rows = np.arange(tied.size)
    first = z[:, tied].argmin(axis=0)
    mean, other = z[first, tied], z[1 - first, tied]
    slope = correlation[tied]
    width = np.sqrt(np.maximum(1.0 - slope**2, 1e-12))

    u = (np.arange(STRATA) + 1.0 - rng.uniform(size=(tied.size, STRATA))) / STRATA
    value = _positive(mean[:, None], u)
    given = (other + slope * (value.T - mean)).T / width[:, None]
    log_mass = log_ndtr(given)
    mass = np.cumsum(np.exp(log_mass - log_mass.max(axis=1, keepdims=True)), axis=1)
    pick = (mass < rng.uniform(size=(tied.size, 1)) * mass[:, -1:]).sum(axis=1)
    drawn[first, tied] = value[rows, pick]
    drawn[1 - first, tied] = width * _positive(given[rows, pick], 1.0 - rng.uniform(size=tied.size))
    return drawn


def _given(
    left: Array, gain: Array, free: Array, budgets: Index, noise: Array, rng: np.random.Generator
) -> Array:
    """Draw paths (n, x) of a process that was measured with `noise` as `left` (n, budgets).

    free' free is the covariance of the process among x and `gain` (budgets, x) its regression on
    what was measured; a free path less the regression on its own noisy measurement is what `left`
    does not tell (Matheron's rule).
    """
    untold = np.vstack([free - free[:, budgets] @ gain, np.linalg.cholesky(noise).T @ gain])
    chance = rng.standard_normal((left.shape[0], untold.shape[0]))
    return product(np.hstack([left, chance]), np.vstack([gain, untold]))
