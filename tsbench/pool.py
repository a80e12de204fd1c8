"""Exact expectations over the k-subsets of a query's n draws, for every k <= n at once.

Each estimator is the mean over all C(n, k) subsets, so it is unbiased for what k fresh draws
would do, and never a bootstrap: subsets with repeats are biased. One of them samples orders
instead where the sum has too many terms, and says so: `weighted_vote` with real-valued scores.

The functions of one query return shape (n,). Those of many return (pools, K), K the largest n and
at least 1, with NaN where k exceeds a pool's own n; a pool without a draw is NaN throughout. What
has a length of its own in each pool is flat, and pool p's part is `offsets[p]:offsets[p + 1]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsbench import kernels

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

EXACT = 10_000
"""The largest total of a pool's scores, in steps of their grid, that is summed exactly."""


def pass_at_k(n: int, c: int) -> Array:
    """Return pass@k = 1 - C(n-c, k) / C(n, k) for k = 1..n, shape (n,).

    `n` draws of which `c` are correct (Chen et al. 2021, arXiv 2107.03374). Raises ValueError
    unless n >= 1 and 0 <= c <= n.
    """
    return _only(coverage([n], [c]), n)


def pass_hat_k(n: int, c: int) -> Array:
    """Return pass^k = C(c, k) / C(n, k), the chance that all k draws are correct, shape (n,).

    Yao et al. 2024 (arXiv 2406.12045). Raises ValueError unless n >= 1 and 0 <= c <= n.
    """
    return _only(all_pass([n], [c]), n)


def maj_at_k(
    votes: ArrayLike, correct: ArrayLike, blanks: int = 0, *, blank: str = "drop"
) -> Array:
    """Return the expected correctness of the majority of k draws, for k = 1..n, shape (n,).

    `votes` (answers,) counts the draws that gave each distinct answer, `correct` (answers,) is
    each answer's correctness in [0, 1], and `blanks` other draws gave none; see `majority`.
    Raises ValueError as `majority` does, and for a pool without a draw.
    """
    counts = np.atleast_1d(np.asarray(votes))
    won = majority([0, counts.size], counts, correct, [blanks], blank=blank)
    return _only(won, int(counts.sum()) + blanks)


def best_of_k(scores: ArrayLike, correct: ArrayLike) -> Array:
    """Return the expected correctness of the best-scored of k draws, for k = 1..n, shape (n,).

    `scores` (n,) and `correct` (n,) in [0, 1]; see `best_of`. Raises ValueError as it does, and
    for a pool without a draw.
    """
    n = np.size(scores)
    return _only(best_of([0, n], scores, correct), n)


def weighted_best_of_k(
    answers: ArrayLike, scores: ArrayLike, correct: ArrayLike, *, orders: int = 64, seed: int = 0
) -> Array:
    """Return the expected correctness of the answer with the largest sum of scores, shape (n,).

    `answers`, `scores` and `correct` have a value for each of the n draws; see `weighted_vote`.
    Raises ValueError as it does, and for a pool without a draw.
    """
    n = np.size(answers)
    won = weighted_vote([0, n], answers, scores, correct, orders=orders, seed=seed)
    return _only(won, n)


def expected_max(values: ArrayLike) -> Array:
    """Return the expected largest of k of the n `values` without replacement, shape (n,).

    Of the seconds of n parallel draws it is the expected critical path. NaN where a value is.
    Raises ValueError for a pool without a draw.
    """
    n = np.size(values)
    return _only(largest([0, n], values), n)


def coverage(n: ArrayLike, c: ArrayLike) -> Array:
    """Return pass@k of every pool, shape (pools, K); see `pass_at_k`.

    `n` (pools,) draws of which `c` (pools,) are correct. Raises ValueError unless 0 <= c <= n.
    """
    drawn, right = _pairs(n, c)
    return 1.0 - _missed(drawn, right)


def all_pass(n: ArrayLike, c: ArrayLike) -> Array:
    """Return pass^k of every pool, shape (pools, K); see `pass_hat_k`.

    `n` (pools,) draws of which `c` (pools,) are correct. Raises ValueError unless 0 <= c <= n.
    """
    drawn, right = _pairs(n, c)
    return _missed(drawn, drawn - right)


def majority(
    offsets: ArrayLike,
    votes: ArrayLike,
    correct: ArrayLike,
    blanks: ArrayLike,
    *,
    blank: str = "drop",
) -> Array:
    """Return the expected correctness of the majority of k draws of every pool, (pools, K).

    Flat over pool and distinct answer, `votes` counts the draws that gave the answer and
    `correct` in [0, 1] is its correctness. Ties are broken by a fair draw among the tied answers.
    The other `blanks` (pools,) draws gave no answer: with blank="drop" they count in k and do not
    vote, with blank="vote" they vote together for an answer that is wrong. n is all draws; a
    subset without a vote is wrong.

    The chance that an answer with m votes wins with t of them sums C(m, t) [z^(k-t)] of
    prod_i (sum_{j<t} C(n_i, j) z^j + u C(n_i, t) z^t) over its rivals i, where u^r, a tie with r
    rivals, counts 1 / (1 + r).

    Raises ValueError for arrays that do not fit `offsets`, a count below 1, a correctness outside
    [0, 1], another `blank`, and a pool of more than 1000 draws.
    """
    size, right, silent = _counts(votes), _accuracies(correct), _counts(blanks)
    bounds = _bounds(offsets, votes=size, correct=right)
    if silent.shape != (bounds.size - 1,):
        raise ValueError(f"blanks must be one number a pool, found shape {silent.shape}.")
    if (size < 1).any() or (silent < 0).any():
        raise ValueError("votes must be 1 or more for each answer, and blanks 0 or more.")
    if blank not in ("drop", "vote"):
        raise ValueError(f"blank is {blank!r}; allowed are 'drop' and 'vote'.")
    if blank == "vote":
        some = silent > 0
        size = np.insert(size, bounds[1:][some], silent[some])
        right = np.insert(right, bounds[1:][some], 0.0)
        bounds[1:] += np.cumsum(some)
        silent = np.zeros_like(silent)
    n = _sums(bounds, size) + silent
    out = _electable(n)
    groups = np.arange(size.size + 1)
    kernels.elect(np.flatnonzero(n), bounds, groups, np.ones_like(size), size, right, silent, out)
    return out


def best_of(offsets: ArrayLike, scores: ArrayLike, correct: ArrayLike) -> Array:
    """Return the expected correctness of the best-scored of k draws of every pool, (pools, K).

    Flat over pool and draw, `scores` and `correct` in [0, 1]. Draws with equal scores are chosen
    among by a fair draw; a NaN score ranks below every number. Raises ValueError for arrays that
    do not fit `offsets`, and a correctness outside [0, 1].
    """
    return _last(offsets, np.array(scores, dtype=np.float64), _accuracies(correct))


def largest(offsets: ArrayLike, values: ArrayLike) -> Array:
    """Return the expected largest of k values of every pool, shape (pools, K).

    `values` is flat over pool and draw; a pool with a NaN is NaN. Raises ValueError for values
    that do not fit `offsets`.
    """
    value = np.array(values, dtype=np.float64)
    return _last(offsets, value, value)


def weighted_vote(
    offsets: ArrayLike,
    answers: ArrayLike,
    scores: ArrayLike,
    correct: ArrayLike,
    *,
    orders: int = 64,
    seed: int = 0,
) -> Array:
    """Return the expected correctness of the weighted vote of k draws of every pool, (pools, K).

    The scores of the k draws are summed by distinct answer, and the answer with the largest sum
    is chosen, a fair draw among those that tie (Li et al. 2023, arXiv 2206.02336; "best-of-N
    weighted" in Snell et al. 2024, arXiv 2408.03314). With scores that are all equal and above 0
    it is `majority`.

    Flat over pool and draw, `answers` are integers, equal in a pool for equal answers; a draw
    with -1 gave none: it counts in k and does not vote. A NaN score adds nothing, like 0: its
    answer is chosen only where no sum is larger. `correct` in [0, 1] is of the draw, and an
    answer's correctness is its mean over the pool.

    Exact where a pool's scores are whole steps of a grid from 0 to the largest (verdicts, shares
    of tests passed, ratings; to within 1e-9 of a step, at most 1000 steps) and add up to at most
    EXACT steps: then a generating function in the number of draws and the sum has all terms.
    Else nearly every subset has a sum of its own: the scores are rounded to 2**-40 of the pool's
    largest, and the mean is over `orders` random orders of the draws, each read round from each of
    its n places. That is unbiased for every k, exact for k = 1 and k = n, and its standard error
    is at most 0.5 / sqrt(orders) a pool. Pool p's orders come from `seed` and p.

    Raises ValueError for arrays that do not fit `offsets`, an answer below -1, a score that is
    negative or infinite, a correctness outside [0, 1], `orders` below 1, and a pool of more than
    1000 draws.
    """
    answer, right = _counts(answers), _accuracies(correct)
    score = np.nan_to_num(np.array(scores, dtype=np.float64), nan=0.0, posinf=np.inf)
    bounds = _bounds(offsets, answers=answer, scores=score, correct=right)
    if (answer < -1).any() or orders < 1:
        raise ValueError("answers must be -1 (none) or more, and orders 1 or more.")
    if not ((score >= 0.0) & np.isfinite(score)).all():
        raise ValueError("scores of a weighted vote must be finite and 0 or more, or NaN.")
    n = np.diff(bounds)
    out = _electable(n)
    spoke = answer >= 0
    pool = np.repeat(np.arange(n.size), n)[spoke]
    ends = np.concatenate([[0], np.cumsum(spoke)])[bounds]
    weight = np.empty_like(pool)
    kernels.grid(ends, score[spoke], weight)
    order = np.lexsort((weight, answer[spoke], pool))
    pool, weight, right = pool[order], weight[order], right[spoke][order]
    first = _changes(pool, answer[spoke][order])
    name = np.cumsum(first) - 1
    mean = np.bincount(name, right) / np.bincount(name)
    named = _ends(np.bincount(pool[first], minlength=n.size))
    exact = np.bincount(pool, weight, minlength=n.size) <= EXACT
    group = np.flatnonzero(_changes(name, weight))
    kernels.elect(
        np.flatnonzero(exact & (n > 0)),
        named,
        _ends(np.bincount(name[group])),
        weight[group],
        np.diff(np.append(group, name.size)),
        mean,
        n - np.diff(ends),
        out,
    )
    for p in np.flatnonzero(~exact):
        mine = slice(ends[p], ends[p + 1])
        codes = np.full(n[p], -1)
        codes[: ends[p + 1] - ends[p]] = name[mine] - named[p]
        draws = np.tile(np.arange(n[p]), (orders, 1))
        shuffled = np.random.default_rng((seed, int(p))).permuted(draws, axis=1)
        kernels.run(shuffled, codes, weight[mine], mean[named[p] : named[p + 1]], out[p])
    return out


def _only(pools: Array, n: int) -> Array:
    """Return the row of the only pool; raise ValueError where it has no draw."""
    _drawn(n)
    row: Array = pools[0]
    return row


def _drawn(n: int) -> None:
    if n < 1:
        raise ValueError(f"a pool needs at least one draw, found n = {n}.")


def _counts(values: ArrayLike) -> Counts:
    given = np.asarray(values)
    with np.errstate(invalid="ignore"):
        counts = np.array(given, dtype=np.int64)
    if (counts != given).any():
        raise ValueError("counts, answers and offsets must be whole numbers.")
    return counts


def _accuracies(correct: ArrayLike) -> Array:
    right = np.array(correct, dtype=np.float64)
    if not ((right >= 0.0) & (right <= 1.0)).all():
        raise ValueError("correct must lie in [0, 1].")
    return right


def _bounds(offsets: ArrayLike, **flat: Array | Counts) -> Counts:
    """Return `offsets` as integers; raise ValueError where the flat arrays do not fit them."""
    bounds = _counts(offsets)
    shapes = {values.shape for values in flat.values()}
    if bounds.ndim != 1 or not bounds.size or bounds[0] != 0 or (np.diff(bounds) < 0).any():
        raise ValueError("offsets must begin with 0 and not fall.")
    if shapes != {(int(bounds[-1]),)}:
        found = ", ".join(f"{name} {values.shape}" for name, values in flat.items())
        raise ValueError(f"arrays must be of one length, {bounds[-1]}, found {found}.")
    return bounds


def _pairs(n: ArrayLike, c: ArrayLike) -> tuple[Counts, Counts]:
    drawn, right = _counts(n), _counts(c)
    if drawn.shape != right.shape or drawn.ndim != 1:
        raise ValueError(f"n and c must be of one length, found {drawn.shape} and {right.shape}.")
    bad = (right < 0) | (right > drawn)
    if bad.any():
        p = int(bad.argmax())
        raise ValueError(f"a pool needs 0 <= c <= n, found n = {drawn[p]}, c = {right[p]}.")
    return drawn, right


def _missed(n: Counts, marked: Counts) -> Array:
    """Return the chance that k of n draws miss the marked ones, (pools, K)."""
    left = n[:, None] - np.arange(max(n.max(initial=1), 1))
    step: Array = np.maximum(left - marked[:, None], 0) / np.maximum(left, 1)
    step[left < 1] = np.nan
    return np.cumprod(step, axis=1, dtype=np.float64)


def _electable(n: Counts) -> Array:
    """Return (pools, K) of NaN to write to; raise ValueError for a pool that is too large."""
    if n.max(initial=0) > kernels.LIMIT:
        raise ValueError(
            f"votes are counted exactly up to {kernels.LIMIT} draws a pool, found {n.max()}; "
            "without answers there is pass@k alone, for any number."
        )
    return _blank(n)


def _blank(n: Counts) -> Array:
    return np.full((n.size, max(n.max(initial=1), 1)), np.nan)


def _last(offsets: ArrayLike, score: Array, value: Array) -> Array:
    """Return the expected value of the draw with the largest score of k, (pools, K)."""
    bounds = _bounds(offsets, scores=score, correct=value)
    n = np.diff(bounds)
    pool = np.repeat(np.arange(n.size), n)
    rank: Array = np.where(np.isnan(score), -np.inf, score)
    order = np.lexsort((rank, pool))
    level = np.cumsum(_changes(pool, rank[order])) - 1
    mean = np.bincount(level, value[order]) / np.bincount(level)
    out = _blank(n)
    kernels.rank(bounds, mean[level], out)
    out[pool[np.isnan(value)]] = np.nan
    return out


def _changes(*sorted_by: Array | Counts) -> NDArray[np.bool_]:
    """Return where a row differs from the one before it."""
    starts = np.zeros(sorted_by[0].size, dtype=bool)
    starts[:1] = True
    for column in sorted_by:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def _ends(sizes: Counts) -> Counts:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _sums(bounds: Counts, values: Counts) -> Counts:
    return np.diff(_ends(values)[bounds])
