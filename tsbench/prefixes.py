"""Compiled loops over draws in an order: what a vote or a verifier would pick after each of them.

Every array is (orders, n); row by row the draws come from left to right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsbench.kernels import compiled

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@compiled
def votes(answer: Counts, worth: Array, won: Array, lead: Counts, second: Counts) -> None:
    """Write the correctness of the majority after each draw, and the two largest counts of votes.

    `answer` numbers a row's answers from 0, -1 is none; `worth` is the correctness of the draw's
    answer. Tied answers share; without a vote `won` is 0.
    """
    rows, n = answer.shape
    count = np.empty(n, np.int64)
    value = np.empty(n)
    for r in range(rows):
        count[:] = 0
        for k in range(n):
            a = answer[r, k]
            if a >= 0:
                count[a] += 1
                value[a] = worth[r, k]
            top, next_, tied, share = 0, 0, 0, 0.0
            for b in range(n):
                c = count[b]
                if c > top:
                    top, next_, tied, share = c, top, 1, value[b]
                elif c == top and c > 0:
                    next_, tied, share = c, tied + 1, share + value[b]
                elif c > next_:
                    next_ = c
            lead[r, k], second[r, k] = top, next_
            won[r, k] = share / tied if tied else 0.0


@compiled
def bests(score: Array, right: Array, chosen: Array) -> None:
    """Write the correctness of the best-scored draw so far; equal scores share, NaN ranks last."""
    rows, n = score.shape
    for r in range(rows):
        top, tied, share = -np.inf, 0, 0.0
        for k in range(n):
            s = score[r, k]
            if np.isnan(s):
                s = -np.inf
            if s > top or tied == 0:
                top, tied, share = s, 1, right[r, k]
            elif s == top:
                tied, share = tied + 1, share + right[r, k]
            chosen[r, k] = share / tied
