"""Thinking before each of several parallel draws: every budget of thought with every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.cells import ALL, Cell, Cells
from tsbench.curves import band
from tsbench.estimates import MAJORITY, ORACLE
from tsbench.frontier import FRONTIER, frontier
from tsbench.thought import thought

Array = NDArray[np.float64]
Place = tuple[int, int]
"""Row (thinking budget) and column (draws) of a cell."""

LEVELS = 5
"""The most round spends that a grid is cut at."""
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0))
"""Round numbers of a decade, the roundest first."""
WHOLE, INTERNAL, EXTERNAL = "all", "fewest draws", "least thought"
"""Where the best cell is looked for: the grid, its first column, its first row."""
CELL = ("accuracy", "low", "high", "spend")
COLUMNS = [
    *("task_class", "model", "selector", "kind", "axis", "level", "among"),
    *("thinking_budget", "budget", *CELL, "held_out", "held_out_low", "held_out_high"),
    *("gain", "gain_low", "gain_high"),
]


@dataclass(frozen=True)
class Grid:
    """One selector after one kind of thinking, by budget of thought (rows) and draws (columns).

    `thinking` (rows,) rises, as does `draws` (columns,); `strategies` (rows,) are the curves.
    `accuracy`, the ends of its band `low` and `high`, and the mean `spend` of a problem are
    (rows, columns), NaN where a curve has not that number of draws.
    """

    selector: str
    kind: str
    strategies: tuple[str, ...]
    thinking: Array
    draws: Array
    accuracy: Array
    low: Array
    high: Array
    spend: Array

    @property
    def places(self) -> list[Place]:
        """The cells that are there, the cheapest first."""
        rows, columns = np.nonzero(~np.isnan(self.spend))
        order = np.argsort(self.spend[rows, columns], kind="stable")
        return [(int(rows[i]), int(columns[i])) for i in order]

    def best(self, level: float = np.inf) -> Place:
        """Return the most accurate cell that spends at most `level`, the cheapest of equals."""
        within = [place for place in self.places if self.spend[place] <= level]
        return max(within, key=lambda place: self.accuracy[place])

    def levels(self) -> list[float]:
        """Return a few round spends that tell cells apart, and last what the dearest spends."""
        spend = np.sort(self.spend[~np.isnan(self.spend)])
        return [*rounds(spend), float(spend[-1])]


def grids(curves: pd.DataFrame, axis: str) -> list[Grid]:
    """Return the grids of one class of one model, whole, with the spend on `axis`.

    A grid has two thinking budgets and two numbers of draws at the least. Numbers of draws are
    the largest up to each power of two, and the largest; even votes that repeat the odd one
    before are left out.
    """
    whole = curves[(curves["stratum"].fillna(ALL) == ALL) & (curves[axis] > 0)]
    lines: dict[tuple[str, str], dict[float, pd.DataFrame]] = {}
    for strategy, rows in whole.groupby("strategy", sort=False):
        first = thought(str(strategy))
        if first:
            lines.setdefault((first.selector, first.kind), {})[first.budget] = rows
    found = [_grid(*names, known, axis) for names, known in lines.items()]
    return [grid for grid in found if min(grid.accuracy.shape) > 1]


def _grid(selector: str, kind: str, lines: Mapping[float, pd.DataFrame], axis: str) -> Grid:
    thinking = sorted(lines)
    budgets = sorted({float(b) for rows in lines.values() for b in rows["budget"]})
    if selector.startswith(MAJORITY):
        budgets = [b for b in budgets if b % 2 or b - 1 not in budgets]
    draws = _doubling(budgets)
    table = {
        name: np.stack(
            [lines[t].set_index("budget")[column].reindex(draws).to_numpy(float) for t in thinking]
        )
        for name, column in zip(CELL, ("accuracy", "low", "high", axis), strict=True)
    }
    strategies = tuple(str(lines[t]["strategy"].iloc[0]) for t in thinking)
    return Grid(selector, kind, strategies, np.array(thinking), np.array(draws), **table)


def _doubling(budgets: Sequence[float]) -> list[float]:
    """Return the largest budget up to each power of two, and the largest of all."""
    known = np.array(budgets)
    powers = np.exp2(np.arange(0, np.log2(known[-1]) + 1e-9))
    places = np.searchsorted(known, powers, side="right") - 1
    return sorted({*known[places[places >= 0]].tolist(), budgets[-1]})


def rounds(spend: Array) -> list[float]:
    """Return at most LEVELS round numbers, each with another set of sorted `spend` below it."""
    low, high = float(spend[0]), float(spend[-1])
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = np.array([])
    for steps in STEPS:
        marks = np.array([float(f"{step}e{power}") for power in powers for step in steps])
        marks = marks[(marks >= low) & (marks < high)]
        _, first = np.unique(np.searchsorted(spend, marks, side="right"), return_index=True)
        if found.size < min(first.size, LEVELS):
            found = marks[first]
    if not found.size:
        return []
    even = np.geomspace(found[0], found[-1], LEVELS)
    places = np.abs(np.log(found[:, None] / even)).argmin(axis=0)
    return [float(mark) for mark in found[np.unique(places)]]


def leading(curves: pd.DataFrame, knees: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Return one model's curves without the lines of grids that do not lead.

    Of the thinking budgets of each kind in a class only that of the best cell stays, by the
    deployable selectors where there is one, and what the class's frontier chose.
    """
    hidden = np.zeros(len(curves), dtype=bool)
    for task_class, part in curves.groupby("task_class", sort=False):
        mine = knees[knees["task_class"] == task_class]
        chosen = set(mine["chosen"][mine["strategy"] == FRONTIER])
        found = grids(part, axis)
        for kind in dict.fromkeys(grid.kind for grid in found):
            of_kind = [grid for grid in found if grid.kind == kind]
            rivals = [g for g in of_kind if not g.selector.startswith(ORACLE)] or of_kind
            best = max(rivals, key=lambda grid: float(grid.accuracy[grid.best()]))
            budget = best.thinking[best.best()[0]]
            others = {
                strategy
                for grid in of_kind
                for strategy, thinking in zip(grid.strategies, grid.thinking, strict=True)
                if thinking != budget
            }
            others -= chosen
            hidden |= (curves["task_class"] == task_class) & curves["strategy"].isin(others)
    return curves[~hidden]


def compositions(cells: Cells, curves: pd.DataFrame, axis: str, *, seed: int = 0) -> pd.DataFrame:
    """Return the best cells of every grid within a few round spends on `axis`.

    `cells` and `curves` are the same curves, whose problems and whose means they have. A row for
    each class, model, selector, kind of thinking and `level` of spend (the last is what the
    dearest cell spends), and for where the best is looked for, `among`: the whole grid, its
    fewest draws (all is spent on thought), and its least thought (all is spent on draws).
    `thinking_budget` and `budget` name the most accurate cell that spends no more than the level
    (the cheapest of equals), with its `accuracy`, the ends of its curve's band `low` and `high`,
    and its `spend`. It is chosen on the problems that it is shown on, so `accuracy` flatters.
    `held_out` does not: the cell is chosen on one half of the problems and valued on the other,
    both ways about. `gain` is how much the grid's exceeds that of the better of both edges,
    chosen alike (paired over problems). The intervals of both are simultaneous 95 % bands over
    levels.
    """
    rows = []
    for names in dict.fromkeys((names[0], names[2]) for names in cells):
        mine = (curves["task_class"] == names[0]) & (curves["model"] == names[1])
        for grid in grids(curves[mine], axis):
            labels = dict(zip(("task_class", "model"), names, strict=True))
            labels |= {"selector": grid.selector, "kind": grid.kind, "axis": axis}
            lines = [cells[names[0], ALL, names[1], strategy] for strategy in grid.strategies]
            rows += [labels | row for row in _rows(grid, lines, axis, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(grid: Grid, lines: Sequence[Cell], axis: str, seed: int) -> Iterator[dict[str, object]]:
    levels = np.array(grid.levels())
    first = {WHOLE: grid.places}
    first[INTERNAL] = [place for place in grid.places if place[1] == 0]
    first[EXTERNAL] = [place for place in grid.places if place[0] == 0]
    edges = [place for place in grid.places if 0 in place]
    fronts = {
        among: _front(grid, places, levels, lines, axis, seed) for among, places in first.items()
    }
    values = {among: np.clip(_band(front, seed), 0.0, 1.0) for among, front in fronts.items()}
    less = _less(fronts[WHOLE], _front(grid, edges, levels, lines, axis, seed))
    gain = np.where((less.Z == 0.0).all(axis=0), 0.0, _band(less, seed))  # the same cells
    for j, level in enumerate(levels):
        for among, places in first.items():
            within = [place for place in places if grid.spend[place] <= level]
            if not within:
                continue
            best = max(within, key=lambda place: grid.accuracy[place])
            row: dict[str, object] = {"level": level, "among": among}
            row |= {"thinking_budget": grid.thinking[best[0]], "budget": grid.draws[best[1]]}
            row |= {name: getattr(grid, name)[best] for name in CELL}
            ends = ("", "_low", "_high")
            row |= {f"held_out{e}": v for e, v in zip(ends, values[among][:, j], strict=True)}
            if among == WHOLE:
                row |= {f"gain{e}": v for e, v in zip(ends, gain[:, j], strict=True)}
            yield row


@dataclass(frozen=True)
class _Front:
    """Held-out accuracies (problems, levels), NaN where nothing is within a level."""

    problems: pd.Index
    Z: Array
    clusters: NDArray[np.int64] | None


def _front(
    grid: Grid, places: Sequence[Place], levels: Array, lines: Sequence[Cell], axis: str, seed: int
) -> _Front:
    """Return the best of these cells at each level, chosen on the other half of the problems."""
    members = {}
    for row, column in places:
        at = np.flatnonzero(lines[row].budgets == grid.draws[column])
        members[f"{row} {column}"] = lines[row].at(at)
    paid = levels >= grid.spend[places[0]] if places else np.zeros(levels.size, dtype=bool)
    found = None
    if paid.any():
        found = frontier(members, axis, np.random.default_rng(seed), levels[paid])
    if found is None:
        return _Front(pd.Index([]), np.full((0, levels.size), np.nan), None)
    Z = np.full((len(found.problems), levels.size), np.nan)
    Z[:, paid] = found.Z
    return _Front(found.problems, Z, found.clusters)


def _less(front: _Front, other: _Front) -> _Front:
    """Return the difference of two fronts on the problems of both."""
    problems = front.problems.intersection(other.problems, sort=False)
    mine, theirs = (f.problems.get_indexer(problems) for f in (front, other))
    clusters = front.clusters
    if clusters is not None:
        clusters = pd.factorize(clusters[mine])[0].astype(np.int64)
    return _Front(problems, front.Z[mine] - other.Z[theirs], clusters)


def _band(front: _Front, seed: int) -> Array:
    """Return the mean and the ends of its simultaneous band, (3, levels)."""
    found = np.full((3, front.Z.shape[1]), np.nan)
    known = ~np.isnan(front.Z).any(axis=0)
    if len(front.Z) and known.any():
        Z = front.Z[:, known]
        half = band(Z, front.clusters, seed)
        found[:, known] = Z.mean(axis=0) + np.outer((0.0, -1.0, 1.0), half)
    return found
