"""Compiled loops of `tsbench.pool` over ragged pools.

Pool p is `offsets[p]:offsets[p + 1]` of a flat array. `out` (pools, K) holds k = 1..K and is
written for k up to each pool's own n. Checks and orderings are the callers'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., Any])

LIMIT = 1000
"""The largest n of `elect`: it counts subsets in float64, and 2 ** 1024 is no float."""
STEPS = 1000
"""The finest grid that `grid` looks for, in steps from 0 to a pool's largest score."""
FINE = 2**40
"""The steps of a pool whose scores share no such grid."""


def compiled(function: F) -> F:
    """Return `function` compiled at its first call, without the GIL.

    The machine code is kept on disk, in NUMBA_CACHE_DIR, beside this file or in the user's cache;
    where none of them can be written it is compiled again in each process.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))


@compiled
def choose(n: int, ways: Array) -> None:
    """Write C(n, j) into ways[j] for j = 0..n."""
    ways[0] = 1.0
    for j in range(1, n + 1):
        ways[j] = ways[j - 1] * (n - j + 1) / j


@compiled
def rank(offsets: Counts, value: Array, out: Array) -> None:
    """Write the expected value of the last of k draws of a pool, in the order that it has.

    Draw j of n is the last of C(j-1, k-1) / C(n, k) of the subsets.
    """
    for p in range(offsets.size - 1):
        first, n = offsets[p], offsets[p + 1] - offsets[p]
        low, high = np.inf, -np.inf
        out[p, :n] = 0.0
        for j in range(1, n + 1):
            v = value[first + j - 1]
            low, high = (v if v < low else low), (v if v > high else high)
            share = 1.0 / n
            for k in range(1, j + 1):
                out[p, k - 1] += share * v
                if k < n:
                    share *= (j - k) * (k + 1) / (k * (n - k))
        for k in range(n):
            if out[p, k] < low:
                out[p, k] = low
            elif out[p, k] > high:
                out[p, k] = high


def begin() -> None:
    """Load what compiled functions need, which takes a moment, before the first is wanted."""
    rank(np.zeros(1, np.int64), np.zeros(0), np.zeros((0, 1)))


@compiled
def grid(offsets: Counts, score: Array, weight: Counts) -> None:
    """Write each pool's scores as whole steps of the coarsest grid that holds them all.

    The grid has 1..STEPS steps from 0 to the pool's largest score; where none holds the scores
    to within 1e-9 of a step, they are rounded to FINE steps.
    """
    for p in range(offsets.size - 1):
        pool = score[offsets[p] : offsets[p + 1]]
        high = 0.0
        for s in pool:
            high = max(high, s)
        if high == 0.0:
            weight[offsets[p] : offsets[p + 1]] = 0
            continue
        steps = 0
        held = False
        while not held and steps < STEPS:
            steps += 1
            held = True
            for s in pool:
                at = s / high * steps
                if abs(at - np.rint(at)) > 1e-9:
                    held = False
                    break
        if not held:
            steps = FINE
        for d in range(pool.size):
            weight[offsets[p] + d] = np.int64(np.rint(pool[d] / high * steps))


@compiled
def polynomial(answers: int, n: int) -> tuple[Array, Counts]:
    """Return the zero polynomial in tied rivals (rows) and draws, and where its rows are not 0.

    Row r is zero outside bounds[r, 0]..bounds[r, 1], and its rows are filled from the first.
    """
    bounds = np.zeros((answers + 1, 2), np.int64)
    for r in range(answers + 1):
        bounds[r, 0], bounds[r, 1] = n + 1, -1
    return np.zeros((answers + 1, n + 1)), bounds


@compiled
def clear(into: tuple[Array, Counts]) -> None:
    """Set a polynomial to zero."""
    poly, bounds = into
    for r in range(bounds.shape[0]):
        if bounds[r, 0] > bounds[r, 1]:
            break
        for z in range(bounds[r, 0], bounds[r, 1] + 1):
            poly[r, z] = 0.0
        bounds[r, 0], bounds[r, 1] = poly.shape[1], -1


@compiled
def add_product(
    into: tuple[Array, Counts],
    of: tuple[Array, Counts],
    ties: int,
    factor: Array,
    first: int,
    last: int,
) -> None:
    """Add to a polynomial another one times factor[first..last], with `ties` more ties."""
    sums, reached = into
    poly, bounds = of
    if first > last:
        return
    for r in range(bounds.shape[0]):
        low, high = bounds[r, 0], bounds[r, 1]
        if low > high:
            break
        row, target = poly[r], sums[r + ties]
        for j in range(first, last + 1):
            f = factor[j]
            for z in range(low, high + 1):
                target[z + j] += f * row[z]
        reached[r + ties, 0] = min(reached[r + ties, 0], low + first)
        reached[r + ties, 1] = max(reached[r + ties, 1], high + last)


@compiled
def tables(groups: Counts, weight: Counts, size: Counts, start: Counts, widest: int) -> Array:
    """Return how many subsets of an answer's draws weigh s and have a draws, at [start + s, a].

    Answer i has groups[i]:groups[i + 1], each of `size` draws that weigh `weight` apiece, and
    the rows start[i]:start[i + 1].
    """
    table = np.zeros((start[-1], widest + 1))
    ways = np.empty(widest + 1)
    for i in range(start.size - 1):
        count = table[start[i] : start[i + 1]]
        count[0, 0] = 1.0
        draws, heavy = 0, 0
        for g in range(groups[i], groups[i + 1]):
            choose(size[g], ways)
            for a in range(draws, -1, -1):
                for s in range(heavy + 1):
                    old = count[s, a]
                    if old > 0.0:
                        for j in range(1, size[g] + 1):
                            count[s + j * weight[g], a + j] += ways[j] * old
            draws += size[g]
            heavy += size[g] * weight[g]
    return table


@compiled
def support(row: Array, last: int) -> tuple[int, int]:
    """Return the first and the last place up to `last` that is not 0; first > last if none is."""
    first = 0
    while last >= 0 and row[last] == 0.0:
        last -= 1
    while first <= last and row[first] == 0.0:
        first += 1
    return first, last


@compiled
def heaviest(
    groups: Counts, weight: Counts, size: Counts, right: Array, blanks: int, won: Array
) -> None:
    """Write one pool's expected correctness for k = 1..n into `won`; see `elect`."""
    m = right.size
    drawn, most, start = np.zeros(m, np.int64), np.zeros(m, np.int64), np.zeros(m + 1, np.int64)
    n, widest, highest, final = blanks, 0, -1, -1
    for i in range(m):
        for g in range(groups[i], groups[i + 1]):
            drawn[i] += size[g]
            most[i] += size[g] * weight[g]
        start[i + 1] = start[i] + most[i] + 1
        n += drawn[i]
        widest = max(widest, drawn[i])
        if right[i] > 0.0:
            highest, final = max(highest, most[i]), i
    total, ways = np.zeros(n + 1), np.empty(n + 1)
    if final >= 0:
        table = tables(groups, weight, size, start, widest)
        below, reach = np.zeros((m, widest + 1)), np.zeros(m, np.int64)
        first, last = np.zeros(m, np.int64), np.zeros(m, np.int64) - 1
        for i in range(m):
            below[i, 0], table[start[i], 0] = 1.0, 0.0
        rivals, more = polynomial(m, n), polynomial(m, n)
        winner, wins = polynomial(m, n), polynomial(m, n)
        for t in range(highest + 1):
            attained = False
            for i in range(m):
                if most[i] >= t:
                    for a in range(first[i], last[i] + 1):
                        below[i, a] += table[start[i] + t - 1, a]
                    reach[i] = max(reach[i], last[i])
                    first[i], last[i] = support(table[start[i] + t], drawn[i])
                    attained |= right[i] > 0.0 and first[i] <= last[i]
            if not attained:
                continue
            clear(winner)
            clear(rivals)
            rivals[0][0, 0], rivals[1][0, 0], rivals[1][0, 1] = 1.0, 0, 0
            beaten = n
            for correct in (False, True):
                for i in range(m):
                    if most[i] < t or (right[i] > 0.0) != correct:
                        continue
                    beaten -= drawn[i]
                    tied = table[start[i] + t]
                    if correct:
                        clear(wins)
                        add_product(wins, winner, 0, below[i], 0, reach[i])
                        add_product(wins, winner, 1, tied, first[i], last[i])
                        add_product(wins, rivals, 0, right[i] * tied, first[i], last[i])
                        winner, wins = wins, winner
                    if i != final:
                        clear(more)
                        add_product(more, rivals, 0, below[i], 0, reach[i])
                        add_product(more, rivals, 1, tied, first[i], last[i])
                        rivals, more = more, rivals
            choose(beaten, ways)
            for r in range(m):
                for z in range(winner[1][r, 0], winner[1][r, 1] + 1):
                    share = winner[0][r, z] / (1 + r)
                    for j in range(beaten + 1):
                        total[z + j] += share * ways[j]
    choose(n, ways)
    for k in range(1, n + 1):
        won[k - 1] = min(total[k] / ways[k], 1.0)


@compiled
def elect(
    todo: Counts,
    answers: Counts,
    groups: Counts,
    weight: Counts,
    size: Counts,
    right: Array,
    blanks: Counts,
    out: Array,
) -> None:
    """Write the expected correctness of the heaviest answer among k draws, ties fair, for `todo`.

    Pool p has the answers answers[p]:answers[p + 1], each `right` in [0, 1] and made of groups
    (see `tables`), and `blanks` draws for none of them.

    For every weight t, polynomials in the number of draws count the subsets where the winner
    weighs t, r rivals weigh t too, and the others less; rivals that never weigh t join with the
    binomial of their draws. Every term is positive, so nothing cancels, and no coefficient exceeds
    C(n, k), so nothing overflows up to LIMIT.
    """
    for p in todo:
        first, last = answers[p], answers[p + 1]
        own = groups[first : last + 1]
        heaviest(own, weight, size, right[first:last], blanks[p], out[p])


@compiled
def run(orders: Counts, answer: Counts, weight: Counts, right: Array, won: Array) -> None:
    """Write the mean correctness of the heaviest answer over runs of k draws in `orders`.

    `orders` (orders, n) are permutations; a run starts at each place of each and goes round.
    `answer` (n,) numbers the answers of `right` from 0, or is -1 for none. Tied answers share.
    """
    n = answer.size
    won[:n] = 0.0
    weighs = np.empty(right.size, np.int64)
    for order in orders:
        for start in range(n):
            weighs[:] = -1
            top, tied, share, value = -1, 0, 0.0, 0.0
            for step in range(n):
                at = start + step
                d = order[at if at < n else at - n]
                a = answer[d]
                if a >= 0:
                    old = weighs[a]
                    new = max(old, 0) + weight[d]
                    weighs[a] = new
                    if new > top:
                        top, tied, share = new, 1, right[a]
                        value = share
                    elif new == top and old < top:
                        tied += 1
                        share += right[a]
                        value = share / tied
                won[step] += value
    for k in range(n):
        won[k] /= orders.shape[0] * n
