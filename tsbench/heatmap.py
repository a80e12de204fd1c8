"""The heat map of a grid: accuracy by thinking budget and number of parallel draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from tsbench import words
from tsbench.compositions import WHOLE, Grid, Place
from tsbench.plots import INK, PAPER, STYLE, WIDTH, bare, measure, write_title

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

SCALE = colormaps["cividis"]
"""Perceptually uniform for all kinds of colour vision (Nunez et al. 2018, PLoS ONE 13:e0199239)."""
SPAN = 0.1
"""The least range of accuracy that the whole scale stands for, so that small differences are."""
ROW, COLUMN = 0.62, 2.0
"""Inches of a row, and of the widest column."""
LIFT = 0.11
"""Inches that a number stands above the middle of its cell, and what is said of it below."""
COVERS, STICKS = 10.0, 3.0
"""How much worse than near a text it is to cover it, or the axes, or to leave the panel else."""
LUMA = (0.299, 0.587, 0.114)
FRAME = "#d55e00"


@rc_context(STYLE)
def heatmap(
    grid: Grid, best: pd.DataFrame, task_class: str, axis: str, *, note: str = ""
) -> Figure:
    """Draw a grid: accuracy (%) as number and colour, and lines of equal spend on `axis`.

    `best` has the rows of `tsbench.compositions.compositions` for this grid. A line is where a
    spend of one of its levels lies, interpolated between the cells' means; cells left of it and
    below spend less. A frame marks the most accurate cell within each level, and under its number
    stand the levels for which it is that.
    """
    rows, columns = grid.accuracy.shape
    names = [words.thinking(grid.kind, t) for t in grid.thinking]
    unit = "effort" if grid.kind == "effort" else "tokens of thought"
    title = f"{task_class}: {words.grid(grid.selector, grid.kind)}"
    left, right, top, bottom = 0.62 + max(measure(n, 9.5) for n in names), 0.15, 0.62, 0.6
    width = max(
        min(WIDTH, left + right + COLUMN * columns),
        measure(title, 12.5, bold=True) + measure(note, 9.5) + 0.6,
    )
    height = top + ROW * rows + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, ROW * rows / height)
    )
    write_title(figure, title, 0.12, note)
    bare(axes)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
    axes.set_xticks(range(columns), [f"{n:,.0f}" for n in grid.draws])
    axes.set_yticks(range(rows), names)
    axes.set_xlabel("parallel draws", labelpad=6)
    axes.set_ylabel(unit, labelpad=7)
    whole = best[best["among"] == WHOLE].sort_values("level")
    said = _within(whole, grid, axis)
    _cells(axes, grid, said)
    _equal_spends(axes, grid, whole["level"].tolist()[:-1], axis, said)
    return figure


def _cells(axes: Axes, grid: Grid, said: Mapping[Place, str]) -> None:
    """Fill the cells, and write into each its accuracy, and what is said of it below that."""
    known = [float(grid.accuracy[place]) for place in grid.places]
    low = min(*known, 1.0 - SPAN)
    shade = Normalize(low, max(*known, low + SPAN))
    for place, value in zip(grid.places, known, strict=True):
        colour = SCALE(shade(value))
        axes.add_patch(_square(place, facecolor=colour, edgecolor=PAPER, lw=1.2))
        ink = PAPER if np.dot(colour[:3], LUMA) < 0.5 else INK
        written: dict[str, Any] = {
            **{"color": ink, "ha": "center", "va": "center_baseline", "zorder": 6},
            "bbox": {"facecolor": colour, "edgecolor": "none", "pad": 1.2},
        }
        up = LIFT / ROW if place in said else 0.0
        axes.text(place[1], place[0] + up, f"{100 * value:.0f}", fontsize=11, **written)
        if place in said:
            axes.text(place[1], place[0] - up, said[place], fontsize=8, **written)
            frame = _square(place, fill=False, edgecolor=FRAME, lw=2.4, zorder=7, clip_on=False)
            axes.add_patch(frame)


def _square(place: Place, **style: Any) -> Rectangle:
    return Rectangle((place[1] - 0.5, place[0] - 0.5), 1.0, 1.0, **style)


def _within(whole: pd.DataFrame, grid: Grid, axis: str) -> dict[Place, str]:
    """Return within which spends each best cell is it: "≤ 300", "≤ 300 to 1,000", "from 3,000"."""
    found: dict[Place, list[float]] = {}
    levels = whole["level"].tolist()
    for _, row in whole.iterrows():
        at = (grid.thinking == row["thinking_budget"], grid.draws == row["budget"])
        place = int(np.argmax(at[0])), int(np.argmax(at[1]))
        found.setdefault(place, []).append(float(row["level"]))
    said = {}
    for place, mine in found.items():
        first, last = (words.amount(level, axis) for level in (mine[0], mine[-1]))
        said[place] = f"\u2264{words.SPACE}{first}" + (f" to {last}" if len(mine) > 1 else "")
        if mine[-1] == levels[-1]:
            said[place] = f"from {first}" if len(mine) > 1 else "any spend"
    return said


def _equal_spends(
    axes: Axes, grid: Grid, levels: Sequence[float], axis: str, said: Mapping[Place, str]
) -> None:
    """Draw a line where each level of spend lies, with its label where there is most room."""
    spend = _padded(_padded(np.log(grid.spend)).T).T
    sides = [np.array([-0.5, *range(n), n - 0.5]) for n in grid.spend.shape]
    inches = _size(axes) / (grid.spend.shape[1], grid.spend.shape[0])
    boxes = [
        (np.array(place[::-1]), np.array([max(0.3, measure(said.get(place, ""), 8)), 0.44]))
        for place in grid.places
    ]
    for level in levels:
        style: dict[str, Any] = {"levels": [float(np.log(level))], "zorder": 4}
        axes.contour(sides[1], sides[0], spend, colors=PAPER, linewidths=3.0, **style)
        drawn = axes.contour(sides[1], sides[0], spend, colors=INK, linewidths=1.1, **style)
        points = np.concatenate([_points(path) for path in drawn.get_paths()])
        if not len(points):
            continue
        text = words.quantity(level, axis)
        size = np.array([measure(text, 8) + 0.08, 0.17])
        x, y = where = _freest(points, size, boxes, inches, np.array(grid.spend.shape[::-1]))
        boxes.append((where, size))
        axes.text(
            x, y, text, fontsize=8, color=INK, ha="center", va="center_baseline", zorder=8,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5, "alpha": 0.9},
        )  # fmt: skip


def _freest(
    points: Array, size: Array, boxes: Sequence[tuple[Array, Array]], inches: Array, cells: Counts
) -> Array:
    """Return the point where a text of this size (inches) has the most room.

    `boxes` are the centres and sizes of other texts, `inches` the size of a cell, and `cells` how
    many there are across and up.
    """
    gaps = [np.abs(points - at) * inches - (size + room) / 2 for at, room in boxes]
    room = np.min([gap.max(axis=1) for gap in gaps], axis=0)
    edges = (points + 0.5) * inches, (cells - 0.5 - points) * inches
    low, high = (np.maximum(size / 2 - edge, 0.0).max(axis=1) for edge in edges)
    bad = COVERS * (np.maximum(-room, 0.0) + low) + STICKS * high
    best: Array = points[(room - bad).argmax()]
    return best


def _size(axes: Axes) -> Array:
    """Return the width and the height of a panel in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    size: Array = np.array(axes.get_position().bounds[2:]) * figure.get_size_inches()
    return size


def _padded(values: Array) -> Array:
    """Return rows with half a step more at both ends, on the line through the two there."""
    first = 1.5 * values[:, :1] - 0.5 * values[:, 1:2]
    last = 1.5 * values[:, -1:] - 0.5 * values[:, -2:-1]
    return np.hstack([first, values, last])


def _points(path: Path) -> Array:
    """Return points along a line, ten a piece; none of a line that is a point."""
    pieces = [np.asarray(line, dtype=float) for line in path.to_polygons(closed_only=False)]
    share = np.linspace(0.0, 1.0, 10)[:, None, None]
    found = [
        (line[:-1] * (1 - share) + line[1:] * share).reshape(-1, 2)
        for line in pieces
        if np.ptp(line, axis=0).any()
    ]
    return np.concatenate([*found, np.empty((0, 2))])
