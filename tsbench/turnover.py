"""Test whether a curve of mean accuracy falls towards its last budgets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsbench.posterior import MeanCurve, product

Array = NDArray[np.float64]

DRAWS = 4000
HOPELESS = -2.0
"""A difference of fewer standard errors than this cannot be the largest one."""


def fall_test(curve: MeanCurve, rng: np.random.Generator) -> float:
    """Return the one-sided p-value of "accuracy falls", adjusted for having looked everywhere.

    Each budget, and each pair of neighbours, is held against the last budget and the last two:
    none of these differences is positive where accuracy never falls. The largest, in standard
    errors, is compared with its distribution where all are 0 (max-t, with the spread of few
    clusters). Differences below HOPELESS are left out of that distribution (Hansen 2005, A test
    for superior predictive ability), as the early budgets of a curve that rose are.
    """
    contrasts = _contrasts(curve.mean.size)
    root = contrasts @ np.linalg.cholesky(curve.covariance)
    sd = np.sqrt(np.square(root).sum(axis=1))
    z = contrasts @ curve.mean / sd
    hopeful = z >= min(HOPELESS, float(z.max()))
    unit = root[hopeful] / sd[hopeful, None]
    largest = product(rng.standard_normal((DRAWS, curve.mean.size)), unit.T).max(axis=1)
    freedom = curve.clusters - 1
    spread = np.sqrt(rng.chisquare(freedom, DRAWS) / freedom)
    return float((1 + np.count_nonzero(largest >= z.max() * spread)) / (DRAWS + 1))


def _contrasts(J: int) -> Array:
    """Return means of one or two earlier budgets less those of the last one or two."""
    rows = []
    for tail in (1, 2):
        for head in (1, 2):
            for start in range(J - tail - head + 1):
                row = np.zeros(J)
                row[start : start + head] = 1.0 / head
                row[J - tail :] -= 1.0 / tail
                rows.append(row)
    return np.array(rows)
