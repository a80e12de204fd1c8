"""The frontier: the best deployable strategy at each spend, chosen and valued by cross-fitting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.cells import Cell
from tsbench.grid import binding, thin

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

FRONTIER = "frontier"
STEP = 1.3
"""The least ratio of neighbouring spends on a frontier."""


@dataclass(frozen=True)
class Frontier:
    """The frontier's curve: `Z` (problems, spends) at `spend` (spends,), and what it is made of.

    `strategy` and `budget` (spends,) are the best at each spend over all problems.
    """

    problems: pd.Index
    spend: Array
    Z: Array
    strategy: tuple[str, ...]
    budget: tuple[float, ...]
    accuracy: Array
    clusters: Counts | None


def frontier(
    cells: Mapping[str, Cell], axis: str, rng: np.random.Generator, grid: Array | None = None
) -> Frontier | None:
    """Return the best of `cells`, by strategy, at each spend on `axis`; None without a problem.

    The spends are those of `grid`, each enough for some cell, or at most ten of the cells' own. At
    each of them a strategy stands at the largest budget that the spend pays for. The best one is
    chosen on one half of the problems and valued on the other, both ways about, so that choosing
    among noisy strategies does not flatter the frontier.
    """
    problems = _common(cells.values())
    if not len(problems):
        return None
    grid = _grid(cells.values(), axis) if grid is None else grid
    bought = np.stack([_bought(cell, axis, grid) for cell in cells.values()], axis=1)
    values = np.stack(
        [
            cell.Z[cell.problems.get_indexer(problems)][:, places]
            for cell, places in zip(cells.values(), bought.T, strict=True)
        ],
        axis=2,
    )
    best = _best(values.mean(axis=0), bought >= 0)
    names = list(cells)
    first = next(iter(cells.values()))
    clusters = first.clusters
    if clusters is not None:
        clusters = np.unique(clusters[first.problems.get_indexer(problems)], return_inverse=True)[
            1
        ].astype(np.int64)
    groups = np.arange(len(problems)) if clusters is None else clusters
    return Frontier(
        problems=problems,
        spend=grid,
        Z=_cross_fitted(values, bought >= 0, groups, rng),
        strategy=tuple(names[s] for s in best),
        budget=tuple(cells[names[s]].budgets[bought[j, s]].item() for j, s in enumerate(best)),
        accuracy=values.mean(axis=0)[np.arange(best.size), best],
        clusters=clusters,
    )


def _common(cells: Iterable[Cell]) -> pd.Index:
    """Return the problems that every curve has."""
    first, *others = (cell.problems for cell in cells)
    for other in others:
        first = first.intersection(other, sort=False)
    return first


def _grid(cells: Iterable[Cell], axis: str) -> Array:
    """Return at most ten of the curves' spends, geometric, a step apart at the least.

    One curve alone keeps its own, so its frontier is that curve.
    """
    first, *others = (cell.means[axis].to_numpy(float) for cell in cells)
    if not others:
        return first[binding(first)]
    spends: Array = np.unique(np.concatenate([first, *others]))
    grid = spends[binding(spends, STEP)]
    return grid[thin(grid)]


def _bought(cell: Cell, axis: str, grid: Array) -> Counts:
    """Return the largest budget's index that each spend pays for, -1 where it pays for none."""
    spend = np.maximum.accumulate(cell.means[axis].to_numpy(float))
    places: Counts = np.searchsorted(spend, grid, side="right") - 1
    return places


def _best(scores: Array, allowed: NDArray[np.bool_]) -> Counts:
    """Return the best allowed strategy at each spend; both are (spends, strategies)."""
    best: Counts = np.where(allowed, scores, -np.inf).argmax(axis=1)
    return best


def _cross_fitted(
    values: Array, allowed: NDArray[np.bool_], groups: Counts, rng: np.random.Generator
) -> Array:
    """Return the frontier (problems, spends), each half's strategies chosen on the other half.

    `values` is (problems, spends, strategies), `allowed` (spends, strategies); `groups`
    (problems,) are kept together.
    """
    half = (rng.permutation(groups.max() + 1) % 2)[groups]
    Z = np.full(values.shape[:2], np.nan)
    for side in (0, 1) if groups.max() else ():
        best = _best(values[half != side].mean(axis=0), allowed)
        Z[half == side] = values[half == side][:, np.arange(best.size), best]
    return Z
