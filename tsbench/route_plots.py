"""Figures of the router: how calibrated each estimate is, and what each policy saves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsbench import words
from tsbench.contest import BOUND, ROUTED
from tsbench.plots import DOTS, GRID, INK, PAPER, QUIET, STYLE, bare, measure, write_title

COLUMNS = 4
PANEL, GAP, BETWEEN = 1.75, 0.45, 0.85
"""Inches of a panel of reliability, and between panels."""
ROW = 0.3
"""Inches of a row of policies."""
BLUE, RED = "#0072b2", "#d55e00"


@rc_context(STYLE)
def reliability(
    bins: pd.DataFrame, difficulty: pd.DataFrame, task_class: str, *, note: str = ""
) -> Figure:
    """Draw what each estimate of one class claims against what is found, a panel an estimate.

    `bins` and `difficulty` are reliability.parquet and difficulty.parquet for one model. A dot is a
    bin, its area the share of visits in it, with a 95 % interval; dots on the diagonal are
    calibrated. Raises ValueError for a class without an estimate.
    """
    rows = difficulty[difficulty["task_class"] == task_class].sort_values("auc", ascending=False)
    if rows.empty:
        raise ValueError(f"difficulty has no class {task_class!r}.")
    count = len(rows)
    columns, left, right, top, bottom = min(COLUMNS, count), 0.66, 0.2, 1.1, 0.6
    lines = -(-count // columns)
    width = max(6.5, left + columns * PANEL + (columns - 1) * GAP + right)
    height = top + lines * PANEL + (lines - 1) * BETWEEN + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    write_title(figure, f"{task_class}: the chance that one pass is right", 0.12, note)
    for i, (_, row) in enumerate(rows.iterrows()):
        y, x = divmod(i, columns)
        corner = left + x * (PANEL + GAP), bottom + (lines - 1 - y) * (PANEL + BETWEEN)
        axes = figure.add_axes(
            (corner[0] / width, corner[1] / height, PANEL / width, PANEL / height)
        )
        _bins(axes, bins[_same(bins, row)], first=x == 0, last=i + columns >= count)
        axes.set_title(str(row["estimate"]), fontsize=9.5, fontweight="bold", loc="left", pad=17)
        said = f"AUC {row['auc']:.2f}, error {words.percent(row['ece'], 1)}"
        axes.text(0, 1.04, said, transform=axes.transAxes, fontsize=8.5, color=QUIET)
    return figure


def _same(bins: pd.DataFrame, row: pd.Series) -> pd.Series:
    same: pd.Series = (bins["task_class"] == row["task_class"]) & (
        bins["estimate"] == row["estimate"]
    )
    return same


def _bins(axes: Axes, bins: pd.DataFrame, *, first: bool, last: bool) -> None:
    bare(axes)
    axes.set(xlim=(-4, 104), ylim=(-4, 104))
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])
    axes.tick_params(labelleft=first)
    axes.grid(color=GRID, lw=0.8)
    axes.plot([0, 100], [0, 100], color=QUIET, lw=1.0, ls=DOTS, zorder=1)
    x, y = (100 * bins[c].to_numpy(float) for c in ("claimed", "found"))
    low, high = (100 * bins[c].to_numpy(float) for c in ("low", "high"))
    axes.vlines(x, low, high, color=BLUE, lw=1.2, alpha=0.6, zorder=2)
    axes.scatter(x, y, s=8 + 220 * bins["share"].to_numpy(float), color=BLUE, zorder=3)
    if first:
        axes.set_ylabel("found, %", labelpad=4)
    if last:
        axes.set_xlabel("claimed, %", labelpad=4)


@rc_context(STYLE)
def policies(routes: pd.DataFrame, task_class: str, target: str, *, note: str = "") -> Figure:
    """Draw what each policy changes against one uniform budget: accuracy, and spend spared.

    `routes` is routes.parquet for one model; `target` is one of its targets, matched in accuracy.
    A row a policy, with the estimate that it did best on, and 95 % intervals; the oracle is hollow.
    Raises ValueError for a class or target without a row.
    """
    mine = routes[(routes["task_class"] == task_class) & (routes["target"] == target)]
    mine = mine[mine["matched"] == "accuracy"]
    if mine.empty:
        raise ValueError(f"routes have no {target!r} of class {task_class!r}.")
    rows = best(mine)
    names = [_name(row) for _, row in rows.iterrows()]
    left, top, bottom, gap = 0.3 + max(measure(name, 9.5) for name in names), 0.6, 0.6, 0.55
    panel, tall = 2.9, ROW * len(rows)
    width, height = left + 2 * panel + gap + 0.25, top + tall + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    write_title(figure, f"{task_class}: policies in place of {target}", 0.12, note)
    columns = (("change", "accuracy, points"), ("spared", "spend spared, %"))
    for i, (column, label) in enumerate(columns):
        axes = figure.add_axes(
            (
                (left + i * (panel + gap)) / width,
                bottom / height,
                panel / width,
                tall / height,
            )
        )
        _rows(axes, rows, column)
        axes.set_xlabel(label, labelpad=6)
        axes.set_yticks(np.arange(len(rows)), names if i == 0 else [""] * len(rows))
        for text in axes.get_yticklabels():
            text.set_color(INK)
    return figure


def best(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each policy's row with the largest saving, `routed` and the oracle last."""
    order = rows.sort_values("saving", ascending=False, kind="stable").drop_duplicates("policy")
    last = order["policy"].isin((ROUTED, BOUND))
    return pd.concat([order[~last], order[last].sort_values("policy", ascending=False)])


def _name(row: pd.Series) -> str:
    return str(row["policy"]) + (f" on {row['estimate']}" if row["estimate"] else "")


def _rows(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    bare(axes)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_autoscalex_on(column != "spared")
    value, low, high = (
        100 * rows[f"{column}{end}"].to_numpy(float) for end in ("", "_low", "_high")
    )
    if column == "spared":
        floor = max(-100.0, float(np.nanmin(np.append(low, value))) - 5.0)
        axes.set_xlim(floor, 105.0)
    axes.axvline(0.0, color=QUIET, lw=1.0, ls=DOTS, zorder=1)
    axes.grid(axis="x", color=GRID, lw=0.8)
    for y, policy in enumerate(rows["policy"]):
        colour = RED if policy == ROUTED else QUIET if policy == BOUND else BLUE
        axes.plot([low[y], high[y]], [y, y], color=colour, lw=1.8, zorder=3)
        face = PAPER if policy == BOUND else colour
        start = axes.get_xlim()[0]
        if low[y] < start:
            axes.plot([start], [y], "<", color=colour, ms=5, zorder=4, clip_on=False)
        axes.plot([value[y]], [y], "o", color=colour, mfc=face, ms=6, mew=1.6, zorder=5)
