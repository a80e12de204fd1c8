"""Which budgets of a curve are fitted: few, geometric, and each dearer than all before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

BUDGETS = 10
"""The most budgets of one fit."""
BINDS = 1.02
"""A budget binds when it spends this many times as much as every one before."""


def thin(budgets: Counts | Array, *, odd: bool = False, most: int = BUDGETS) -> Counts:
    """Return the indices of at most `most` budgets, geometric, the first and last among them.

    With `odd` only odd budgets: of two answers, maj@2k is maj@(2k-1) over again.
    """
    index = np.arange(budgets.size)
    if odd and (budgets % 2 == 1).sum() >= 2:
        index = index[budgets % 2 == 1]
    if index.size <= most:
        return index
    place = np.log(np.maximum(budgets[index], 0.5))
    targets = np.linspace(place[0], place[-1], most)
    return np.unique(index[np.abs(place[:, None] - targets[None, :]).argmin(axis=0)])


def binding(spend: Array, ratio: float = BINDS) -> Counts:
    """Return the indices of budgets that spend `ratio` times as much as every one before."""
    keep = []
    most = 0.0
    for j, s in enumerate(spend):
        if s > ratio * most:
            keep.append(j)
            most = s
    return np.array(keep, dtype=np.int64)
