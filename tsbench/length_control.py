"""What replies would be graded if they were as long as what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise, root
from scipy.special import expit, logit

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

PRIOR = 0.25
"""Precision of the normal prior of the length effect, in problems: it keeps the fit finite."""
STEPS = 256
"""Steps that a length term of 1 is counted in."""
LEVEL = 0.95
TERMS: Array = np.arange(-STEPS, STEPS + 1) / STEPS
"""The length terms that are told apart."""


def length_terms(length: Array, against: Array) -> Array:
    """Return tanh of the difference in length over its standard deviation, shape (n,).

    `length` and `against` (n,) are of the replies and of what they are compared with, in one unit.
    Dubois et al. 2024, arXiv 2404.04475. All 0 where no two differ.
    """
    difference = length - against
    spread = float(difference.std())
    terms: Array = np.tanh(difference / spread) if spread > 0.0 else np.zeros_like(difference)
    return terms


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LengthControl:
    """The effect of length on grades: logit E[grade] = a + `effect` * term.

    After Dubois et al. 2024 (arXiv 2404.04475): a logistic regression of the preference on the
    length term, which is then set to zero. The effect is fitted once, on all replies, every
    problem weighing one, so that a few picks all longer than the baseline need no extrapolation
    of their own; each strategy has its own `a` (see `rate`). Their term for the difficulty of an
    instruction, which needs many models, is left out. `effects` (rounds,) are the effects under
    `weights` (rounds, problems): the Bayesian bootstrap of the problems (Rubin 1981), by which
    intervals are read. `extra` (rounds, 2) are the weights of half a problem graded 1 and half a
    one graded 0, so that unanimity in few problems is no certainty.
    """

    grade: Array
    step: Counts
    problem: Counts
    effect: Interval
    effects: Array
    weights: Array
    extra: Array

    @classmethod
    def fit(
        cls, grade: Array, term: Array, problem: Counts, *, rounds: int = 500, seed: int = 0
    ) -> LengthControl:
        """Fit to replies: `grade` (n,) in [0, 1], `term` (n,) in [-1, 1], `problem` (n,) from 0."""
        Q = int(problem.max()) + 1
        step = np.rint((term + 1.0) * STEPS).astype(np.int64)
        rng = np.random.default_rng(seed)
        weights = rng.standard_gamma(1.0, (rounds, Q))
        extra = rng.standard_gamma(0.5, (rounds, 2))
        share = 1.0 / np.bincount(problem)[problem]
        mass = _by_problem(problem, step, share, Q)
        pulls = np.stack(
            [np.bincount(problem, share * each, Q) for each in (grade, grade * (step / STEPS - 1))]
        )
        found = _effect(mass.sum(axis=0), pulls.sum(axis=1), np.zeros(2), np.zeros(2))
        each = np.array(
            [
                _effect(w @ mass, pulls @ w, more, found)[1]
                for w, more in zip(weights, extra, strict=True)
            ]
        )
        effect = _interval(float(found[1]), each) if Q > 1 else Interval(found[1], np.nan, np.nan)
        return cls(grade, step, problem, effect, each, weights, extra)

    def rate(self, share: Array) -> tuple[Interval, Interval]:
        """Return the mean grade of picks, and what it would be at a length term of 0.

        `share` (n,) is how often each reply is picked, at most 1 in sum over a problem. The second
        is sigmoid(a) with `a` so that the picks' fitted grades have the mean of their own.
        """
        Q = self.weights.shape[1]
        mass = _by_problem(self.problem, self.step, share, Q)
        won = np.bincount(self.problem, share * self.grade, Q)
        picked = mass.sum(axis=1)
        mean = won.sum() / picked.sum()
        total = self.weights @ picked + self.extra.sum(axis=1)
        means = (self.weights @ won + self.extra[:, 0]) / total
        masses = self.weights @ mass
        masses[:, STEPS] += self.extra.sum(axis=1)
        controlled = _at_zero(
            mass.sum(axis=0)[None], np.array([mean]), np.array([self.effect.value])
        )
        each = _at_zero(masses, means, self.effects)
        if np.count_nonzero(picked) < 2:
            return Interval(mean, np.nan, np.nan), Interval(controlled[0], np.nan, np.nan)
        return _interval(mean, means), _interval(float(controlled[0]), each)


def _by_problem(problem: Counts, step: Counts, share: Array, Q: int) -> Array:
    """Return the share of each problem's replies at each step of the term, (problems, steps)."""
    steps = 2 * STEPS + 1
    flat = np.bincount(problem * steps + step, share, Q * steps)
    return flat.astype(np.float64).reshape(Q, steps)


def _effect(mass: Array, pulls: Array, extra: Array, start: Array) -> Array:
    """Return (a, effect) that solve the score equations; `extra` are grades of 1 and 0 at 0."""
    wins = pulls + np.array([extra[0], 0.0])
    weight = mass.copy()
    weight[STEPS] += extra.sum()

    def score(at: Array) -> tuple[Array, Array]:
        fitted = expit(at[0] + at[1] * TERMS)
        slope = weight * fitted * (1.0 - fitted)
        gap = wins - np.array([weight @ fitted, weight @ (fitted * TERMS)])
        inner = slope @ TERMS
        jacobian = -np.array([[slope.sum() + PRIOR, inner], [inner, slope @ TERMS**2 + PRIOR]])
        return gap - PRIOR * at, jacobian

    solved = root(score, start, jac=True)
    found: Array = solved.x
    return found


def _at_zero(mass: Array, mean: Array, effect: Array) -> Array:
    """Return sigmoid(a) where the fitted mean over `mass` (rounds, steps) is `mean` (rounds,).

    A mean of 0 or 1 stays as it is.
    """
    found = mean.copy()
    inside = np.flatnonzero((mean > 0.0) & (mean < 1.0))
    share = mass / mass.sum(axis=1, keepdims=True)

    def gap(a: Array, row: Array) -> Array:
        at = row.astype(np.int64)
        fitted = expit(a[..., None] + effect[at][..., None] * TERMS)
        over: Array = (share[at] * fitted).sum(axis=-1) - mean[at]
        return over

    if inside.size:
        centre, reach = logit(mean[inside]), np.abs(effect[inside]) + 1e-6
        solved = elementwise.find_root(gap, (centre - reach, centre + reach), args=(inside,))
        found[inside] = expit(solved.x)
    return found


def _interval(value: float, each: Array) -> Interval:
    low, high = np.quantile(each, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, min(float(low), value), max(float(high), value))
