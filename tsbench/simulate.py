"""Scenarios of known truth: accuracy curves whose knee is known, and data drawn from them.

Two ways of making data. `Fresh` draws anew at each budget, as with thinking budgets; `Coverage`,
`Vote` and `Selection` read all budgets off one pool of draws by exact subset estimators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaln, expit, ndtr, ndtri, roots_jacobi
from scipy.special import roots_legendre as legendre
from scipy.stats import hypergeom, norm

from tsbench.pool import best_of, coverage

Array = NDArray[np.float64]

DOUBLINGS = tuple(2.0**j for j in range(8))
"""Spends of fresh draws: eight budgets, each twice the one before."""
POOLED = tuple(2.0**j for j in range(7))
ODD = (1.0, 3.0, 5.0, 9.0, 17.0, 33.0, 65.0)
"""Votes of 2 k draws equal votes of 2 k - 1, so only odd numbers are asked."""
FINE = 512
"""Points a doubling on which the true knee and the true peak are looked for."""
KINDS = ("interior", "null", "fall", "outside")


class Source(Protocol):
    """A class of queries under one strategy: its true curve, and data from it."""

    def accuracy(self, spend: Array) -> Array:
        """Return the class's expected accuracy at any `spend` of 1 or more."""

    def sample(self, spend: Array, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Return Z (Q, budgets), unbiased for each query's accuracy at each budget."""


@dataclass(frozen=True)
class Fresh:
    """Independent draws at each budget from queries that differ strongly in ease.

    Query q solves budget j with p = Phi(sqrt(1 + t^2) Phi^-1(A_j) + t z_qj), t = 2, z standard
    normal: the mean of p over queries is then A_j exactly (a probit with a normal random effect),
    and most p are near 0 or 1. A share 0.95 of z is the query's ease at all budgets; the rest
    wanders smoothly over budgets, since queries do not all gain at the same spend.
    """

    curve: Callable[[Array], Array]
    """Accuracy as a function of doublings."""

    spread: float = 2.0
    common: float = 0.95
    length: float = 2.0
    """Doublings over which the wandering part stays alike."""

    def accuracy(self, spend: Array) -> Array:
        """Return the curve at `spend`."""
        accuracy: Array = self.curve(np.log2(spend))
        return accuracy

    def sample(self, spend: Array, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Draw Binomial(n, p_qj) / n."""
        x = np.log2(spend)
        alike = np.exp(-0.5 * (np.subtract.outer(x, x) / self.length) ** 2)
        covariance = self.common + (1.0 - self.common) * (alike + 1e-9 * np.eye(x.size))
        ease = rng.standard_normal((Q, x.size)) @ np.linalg.cholesky(covariance).T
        centre = np.sqrt(1.0 + self.spread**2) * ndtri(self.accuracy(spend))
        Z: Array = rng.binomial(n, ndtr(centre + self.spread * ease)) / n
        return Z


@dataclass(frozen=True)
class Difficulty:
    """How the chance p that one draw is right varies over queries: a mixture of Betas."""

    parts: tuple[tuple[float, float, float], ...]
    """(share, alpha, beta) of each."""

    def sample(self, Q: int, rng: np.random.Generator) -> Array:
        """Draw p of Q queries."""
        share, alpha, beta = np.array(self.parts).T
        which = rng.choice(share.size, Q, p=share)
        p: Array = rng.beta(alpha[which], beta[which])
        return p

    def rule(self, nodes: int = 96) -> tuple[Array, Array]:
        """Return points p and weights that sum to one: Gauss-Jacobi quadrature of each Beta."""
        points, weights = [], []
        for share, alpha, beta in self.parts:
            at, mass = roots_jacobi(nodes, beta - 1.0, alpha - 1.0)
            points.append((at + 1.0) / 2.0)
            weights.append(share * mass / mass.sum())
        return np.concatenate(points), np.concatenate(weights)


@dataclass(frozen=True)
class Coverage:
    """pass@k from one pool of draws a query."""

    difficulty: Difficulty

    def accuracy(self, spend: Array) -> Array:
        """Return 1 - E (1 - p)^k, in closed form for each Beta."""
        missed = [
            share * np.exp(betaln(alpha, beta + spend) - betaln(alpha, beta))
            for share, alpha, beta in self.difficulty.parts
        ]
        solved: Array = 1.0 - np.sum(missed, axis=0)
        return solved

    def sample(self, spend: Array, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Count the right draws of each query's pool and look pass@k up."""
        N = pool_size(n)
        return _passes(N)[rng.binomial(N, self.difficulty.sample(Q, rng))][:, _columns(spend)]


@dataclass(frozen=True)
class Vote:
    """maj@k from one pool of draws a query, between the right answer and one wrong answer.

    Voting drives queries with p < 1/2 to 0 and the others to 1. Where most of the others are easy
    and settle with few votes, the class rises, then falls.
    """

    difficulty: Difficulty

    def accuracy(self, spend: Array) -> Array:
        """Return E P(Binomial(k, p) > k / 2) = E I_p((k+1)/2, (k+1)/2), any real k between odd."""
        p, weight = self.difficulty.rule()
        half = (np.asarray(spend)[..., None] + 1.0) / 2.0
        won: Array = betainc(half, half, p) @ weight
        return won

    def sample(self, spend: Array, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Count the right draws of each query's pool and look maj@k up."""
        N = pool_size(n)
        right = rng.binomial(N, self.difficulty.sample(Q, rng))
        return majorities(N, tuple(spend.tolist()))[right]


@dataclass(frozen=True)
class Selection:
    """Best-of-k by a verifier's score, from one pool of draws a query.

    The score of a right draw is N(separation, 1), of a wrong one N(0, 1); a share `gamed` of the
    wrong draws pleases the verifier and scores N(separation + 3, 1). With few draws the verifier
    helps; with many, the best score is a gamed one.
    """

    difficulty: Difficulty
    separation: float
    gamed: float

    def accuracy(self, spend: Array) -> Array:
        """Return E int k F^(k-1) p f1 ds, F the score's distribution and f1 a right draw's."""
        p, weight = self.difficulty.rule(48)
        nodes, steps = legendre(160)
        low, high = self.separation - 8.0, self.separation + 8.0
        s = (high - low) / 2.0 * nodes + (high + low) / 2.0
        right = norm.pdf(s - self.separation) * steps * (high - low) / 2.0
        wrong = (1.0 - self.gamed) * ndtr(s) + self.gamed * ndtr(s - self.separation - 3.0)
        below = p[:, None] * ndtr(s - self.separation) + (1.0 - p[:, None]) * wrong
        each = (p * weight)[:, None] * right
        log_below = np.log(below)
        chosen = [k * (each * np.exp((k - 1.0) * log_below)).sum() for k in np.ravel(spend)]
        return np.reshape(chosen, np.shape(spend))

    def sample(self, spend: Array, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Draw each query's pool with its scores and take the exact best-of-k."""
        N = pool_size(n)
        correct = rng.random((Q, N)) < self.difficulty.sample(Q, rng)[:, None]
        pleased = ~correct & (rng.random((Q, N)) < self.gamed)
        centre = self.separation * correct + (self.separation + 3.0) * pleased
        score = centre + rng.standard_normal((Q, N))
        columns = _columns(spend)
        return best_of(N * np.arange(Q + 1), score.ravel(), correct.ravel())[:, columns]


@dataclass(frozen=True)
class Scenario:
    """A true curve, the budgets at which it is measured, and what it is an example of.

    `kind` holds the tags of KINDS that apply at one point a doubling: "interior", the true knee
    lies strictly inside the grid; "null", no fall anywhere, for false-turnover rates; "fall", the
    last budget is worse than the peak; "outside", no shape of the fit's dictionary is right.
    """

    name: str
    kind: frozenset[str]
    source: Source
    spend: tuple[float, ...] = DOUBLINGS

    @property
    def x(self) -> Array:
        """Budgets in doublings of the smallest, (J,)."""
        x: Array = np.log2(np.array(self.spend))
        return x

    def truth(self, x: ArrayLike) -> Array:
        """Return the true accuracy of the class at `x` doublings, of any shape."""
        return self.source.accuracy(np.exp2(np.asarray(x, dtype=np.float64)))

    def knee(self, delta: float = 0.01) -> float:
        """Return the smallest maximiser of A(x) - delta x over the grid, in doublings.

        The last budget where the knee lies beyond it (censored), 0 where it lies before the first.
        """
        x, accuracy = _fine(self)
        return float(x[_first_top(accuracy - delta * x)])

    @property
    def peak(self) -> float:
        """The place of the highest accuracy, in doublings: the knee at no price."""
        return self.knee(0.0)

    @property
    def fall(self) -> float:
        """Accuracy at the peak less accuracy at the last budget, in points."""
        _, accuracy = _fine(self)
        return float(100.0 * (accuracy.max() - accuracy[-1]))

    def sample(self, Q: int, n: int, rng: np.random.Generator) -> Array:
        """Return Z (Q, J) in [0, 1] of Q new queries.

        `n` is the draws a query at each budget; where all budgets share a pool, `pool_size(n)`.
        """
        return self.source.sample(np.array(self.spend), Q, n, rng)


def pool_size(n: int) -> int:
    """Return the draws of a pool that stands beside `n` draws at each budget: 16 n, at least 128.

    Twice the largest k, so that the largest budget is more than one replicate.
    """
    return max(128, 16 * n)


@lru_cache(maxsize=32)
def majorities(N: int, ks: tuple[float, ...]) -> Array:
    """Return maj@k for 0..N right draws of N against one wrong answer, (N + 1, ks), ks odd.

    The share of k-subsets with more right than wrong draws: a hypergeometric tail.
    """
    k = np.array(ks, dtype=int)
    return np.asarray(hypergeom.sf(k // 2, N, np.arange(N + 1)[:, None], k), dtype=np.float64)


@lru_cache(maxsize=32)
def _passes(N: int) -> Array:
    return coverage(np.full(N + 1, N), np.arange(N + 1))


def _columns(spend: Array) -> NDArray[np.int64]:
    return spend.astype(np.int64) - 1


@lru_cache(maxsize=128)
def _fine(scenario: Scenario) -> tuple[Array, Array]:
    span = float(scenario.x[-1])
    x = np.linspace(0.0, span, int(np.ceil(FINE * span)) + 1)
    return x, scenario.truth(x)


def _first_top(values: Array) -> int:
    """Return the first place within rounding of the maximum."""
    return int((values >= values.max() - 1e-12).argmax())


def _level(at: float, x: Array) -> Array:
    return np.full_like(x, at)


def _line(start: float, slope: float, x: Array) -> Array:
    return start + slope * x


def _power(start: float, gain: float, alpha: float, x: Array) -> Array:
    risen: Array = start + gain * (1.0 - np.exp2(-alpha * x))
    return risen


def _exponential(start: float, gain: float, scale: float, x: Array) -> Array:
    risen: Array = start - gain * np.expm1(-(np.exp2(x) - 1.0) / scale)
    return risen


def _steps(start: float, steps: tuple[tuple[float, float, float], ...], x: Array) -> Array:
    """Add up S-shaped changes, each (height, centre, width)."""
    total: Array = start + np.sum([h * expit((x - c) / w) for h, c, w in steps], axis=0)
    return total


def _turn(start: float, gain: float, alpha: float, peak: float, drop: float, x: Array) -> Array:
    """Saturate as a power, and past `peak` lose `drop` times (x - peak)^1.3."""
    fallen: Array = _power(start, gain, alpha, x) - drop * np.maximum(x - peak, 0.0) ** 1.3
    return fallen


def _fresh(name: str, kind: str, curve: Callable[..., Array], *parameters: object) -> Scenario:
    return Scenario(name, frozenset(kind.split()), Fresh(partial(curve, *parameters)))


def _pass(name: str, kind: str, *difficulty: tuple[float, float, float]) -> Scenario:
    return Scenario(name, frozenset(kind.split()), Coverage(Difficulty(difficulty)), POOLED)


def _vote(name: str, kind: str, *difficulty: tuple[float, float, float]) -> Scenario:
    return Scenario(name, frozenset(kind.split()), Vote(Difficulty(difficulty)), ODD)


def _best(name: str, kind: str, alpha: float, beta: float, *verifier: float) -> Scenario:
    source = Selection(Difficulty(((1.0, alpha, beta),)), *verifier)
    return Scenario(name, frozenset(kind.split()), source, POOLED)


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """Return every scenario, in the order in which tables and figures show them."""
    step = ((0.22, 3.4, 0.03),)
    two = ((0.16, 0.8, 0.25), (0.14, 4.6, 0.2))
    dip = ((0.2, 1.0, 0.3), (-0.09, 3.0, 0.25), (0.19, 5.0, 0.2))
    cliff = ((0.2, 1.6, 0.4), (-0.1, 5.5, 0.06))
    return (
        _fresh("rising", "null", _line, 0.28, 0.05),
        _fresh("saturates early", "interior null", _power, 0.45, 0.25, 2.3),
        _fresh("saturates midway", "interior null", _power, 0.3, 0.35, 1.3),
        _fresh("saturates late", "interior null", _power, 0.2, 0.45, 0.75),
        _fresh("exponential", "interior null", _exponential, 0.35, 0.3, 6.0),
        _fresh("S-shape, early", "interior null", _steps, 0.3, ((0.35, 1.5, 0.3),)),
        _fresh("S-shape, late", "interior null", _steps, 0.15, ((0.4, 4.0, 0.4),)),
        _fresh("small gain", "interior null", _power, 0.62, 0.06, 1.5),
        _fresh("flat, low", "null", _level, 0.08),
        _fresh("flat, middle", "null", _level, 0.55),
        _fresh("flat, high", "null", _level, 0.95),
        _pass("pass@k, rising", "null", (1.0, 0.35, 2.0)),
        _pass("pass@k, flattens", "interior null", (1.0, 1.6, 2.4)),
        _vote("vote, flattens", "interior null", (1.0, 5.0, 2.5)),
        _vote("vote, falls 3", "interior fall", (0.65, 12.0, 1.5), (0.35, 60.0, 69.0)),
        _vote("vote, falls 5", "interior fall", (0.6, 12.0, 1.5), (0.4, 40.0, 52.0)),
        _best("best-of-k, flattens", "interior null", 2.5, 2.5, 2.5, 0.0),
        _best("best-of-k, falls 3", "interior fall", 1.0, 1.5, 2.0, 0.005),
        _best("best-of-k, falls 10", "interior fall", 1.0, 1.5, 2.0, 0.01),
        _fresh("falls 3, late", "interior fall", _turn, 0.4, 0.25, 1.5, 4.0, 0.008),
        _fresh("falls 7, early", "interior fall", _turn, 0.4, 0.25, 2.0, 2.0, 0.01),
        _fresh("falls 7, late", "interior fall", _turn, 0.35, 0.3, 1.2, 4.5, 0.023),
        _fresh("falls 12", "interior fall", _turn, 0.4, 0.25, 1.6, 3.0, 0.021),
        _fresh("step", "interior null outside", _steps, 0.42, step),
        _fresh("two stages", "interior null outside", _steps, 0.3, two),
        _fresh("dip", "interior outside", _steps, 0.3, dip),
        _fresh("cliff", "interior fall outside", _steps, 0.4, cliff),
    )
