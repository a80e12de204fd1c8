"""Exact expectations over the k-subsets of one query's n draws, for every k <= n at once.

Each estimator is the mean over all C(n, k) subsets, so it is unbiased for what k fresh draws
would do, and never a bootstrap: subsets with repeats are biased.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb, roots_legendre

Array = NDArray[np.float64]


def pass_at_k(n: int, c: int) -> Array:
    """Return pass@k = 1 - C(n-c, k) / C(n, k) for k = 1..n, shape (n,).

    `n` draws of which `c` are correct (Chen et al. 2021, arXiv 2107.03374). Raises ValueError
    unless n >= 1 and 0 <= c <= n.
    """
    _check_counts(n, c)
    solved: Array = 1.0 - misses(n)[c]
    return solved


def pass_hat_k(n: int, c: int) -> Array:
    """Return pass^k = C(c, k) / C(n, k), the chance that all k draws are correct, shape (n,).

    Yao et al. 2024 (arXiv 2406.12045). Raises ValueError unless n >= 1 and 0 <= c <= n.
    """
    _check_counts(n, c)
    every: Array = misses(n)[n - c]
    return every


def maj_at_k(
    votes: ArrayLike, correct: ArrayLike, blanks: int = 0, *, blank: str = "drop"
) -> Array:
    """Return the expected correctness of the majority of k draws, for k = 1..n, shape (n,).

    `votes` (answers,) counts the draws that gave each distinct answer, `correct` (answers,) is
    each answer's correctness in [0, 1]. Ties are broken by a fair draw among the tied answers.
    The other `blanks` draws gave no answer: with blank="drop" they count in k and do not vote,
    with blank="vote" they vote together for an answer that is wrong. n is all draws; a subset
    without a vote is wrong.

    The chance that an answer with m draws wins with t votes sums C(m, t) [z^(k-t)] of
    prod_i (sum_{j<t} C(n_i, j) z^j + u C(n_i, t) z^t) over its rivals i, with u^r integrated
    over [0, 1] to the tie share 1 / (1 + r); Gauss-Legendre does so exactly. Every term is
    positive, so nothing cancels. Raises ValueError for shapes that differ, counts below 1 and
    another `blank`.
    """
    counts = np.atleast_1d(np.asarray(votes, dtype=np.int64))
    right = np.atleast_1d(np.asarray(correct, dtype=np.float64))
    if counts.shape != right.shape or counts.ndim != 1:
        raise ValueError(
            f"votes and correct must be of one length, found {counts.shape} and {right.shape}."
        )
    if (counts < 1).any() or blanks < 0:
        raise ValueError("votes must be 1 or more for each answer, and blanks 0 or more.")
    if blank not in ("drop", "vote"):
        raise ValueError(f"blank is {blank!r}; allowed are 'drop' and 'vote'.")
    if blank == "vote" and blanks:
        counts, right, blanks = np.append(counts, blanks), np.append(right, 0.0), 0
    n = int(counts.sum()) + blanks
    if n == 0:
        raise ValueError("a pool needs at least one draw.")
    total = np.zeros(n)
    ordered = tuple(sorted(counts.tolist()))
    for m in np.unique(counts[right > 0]):
        total += right[counts == m].sum() * _win(ordered, int(m), blanks)
    return np.minimum(total, 1.0)


def best_of_k(scores: ArrayLike, correct: ArrayLike) -> Array:
    """Return the expected correctness of the best-scored of k draws, for k = 1..n, shape (n,).

    `scores` (n,) and `correct` (n,) in [0, 1]. Draws with equal scores are chosen among by a
    fair draw; a NaN score ranks below every number. Raises ValueError for shapes that differ.
    """
    score = np.asarray(scores, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if score.shape != right.shape or score.ndim != 1 or not score.size:
        raise ValueError(
            f"scores and correct must be of one length >= 1, found {score.shape}, {right.shape}."
        )
    _, level = np.unique(np.where(np.isnan(score), -np.inf, score), return_inverse=True)
    size = np.bincount(level)
    mean = np.bincount(level, weights=right) / size
    above = size[::-1].cumsum()[::-1] - size
    miss = misses(score.size)
    chosen: Array = mean @ (miss[above] - miss[above + size])
    return np.clip(chosen, right.min(), right.max())


def expected_max(values: ArrayLike) -> Array:
    """Return the expected largest of k of the n `values` without replacement, shape (n,).

    Of the seconds of n parallel draws it is the expected critical path.
    """
    value = np.asarray(values, dtype=np.float64)
    return best_of_k(value, value)


@lru_cache(maxsize=256)
def misses(n: int) -> Array:
    """Return C(n-a, k) / C(n, k), shape (n+1, n): rows a = 0..n, columns k = 1..n.

    The chance that k of n draws miss `a` marked ones.
    """
    if n < 1:
        raise ValueError(f"a pool needs at least one draw, found n = {n}.")
    marked, drawn = np.arange(n + 1)[:, None], np.arange(n)[None, :]
    ratio: Array = np.cumprod(np.maximum(n - marked - drawn, 0) / (n - drawn), axis=1)
    ratio.flags.writeable = False
    return ratio


def _check_counts(n: int, c: int) -> None:
    if n < 1 or not 0 <= c <= n:
        raise ValueError(f"a pool needs n >= 1 and 0 <= c <= n, found n = {n}, c = {c}.")


@lru_cache(maxsize=65536)
def _win(counts: tuple[int, ...], m: int, blanks: int) -> Array:
    """Return P(one answer with `m` draws wins) for k = 1..n; `counts` holds m and its rivals."""
    n = sum(counts) + blanks
    rivals = list(counts)
    rivals.remove(m)
    won = np.zeros(n + 1)
    for t in range(1, m + 1):
        strong = [r for r in rivals if r >= t]
        beaten = n - m - sum(strong)
        nodes, weights = roots_legendre(len(strong) // 2 + 1)
        u = (nodes[:, None] + 1.0) / 2.0
        ways: Array = np.tile(comb(beaten, np.arange(n + 1)), (nodes.size, 1))
        for r in strong:
            below: Array = comb(r, np.arange(t)).astype(np.float64)
            ways = ways @ _shifts(n, below) + u * comb(r, t) * _shifted(ways, t)
        won[t:] += comb(m, t) * ((weights / 2.0) @ ways)[: n + 1 - t]
    share: Array = won[1:] / comb(n, np.arange(1, n + 1))
    share.flags.writeable = False
    return share


def _shifts(n: int, coefficients: Array) -> Array:
    """Return the matrix that multiplies a row of polynomial coefficients by a polynomial."""
    lag = np.arange(n + 1)[None, :] - np.arange(n + 1)[:, None]
    padded = np.zeros(n + 1)
    padded[: coefficients.size] = coefficients
    return np.where(lag >= 0, padded[lag], 0.0)


def _shifted(rows: Array, by: int) -> Array:
    out = np.zeros_like(rows)
    out[:, by:] = rows[:, : rows.shape[1] - by]
    return out
