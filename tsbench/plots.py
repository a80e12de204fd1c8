"""Figures of accuracy against compute: frames in, a matplotlib Figure out, no global state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from tsbench import words
from tsbench.cells import ALL, THIRDS
from tsbench.findings import Pick, pick

INK, QUIET, GRID, PAPER = "#1f2328", "#5f6873", "#e4e7eb", "#ffffff"
COLOURS: Mapping[str, str] = {
    "pass@k": "#6e7781",
    "maj@k": "#0072b2",
    "best-of-n:logprob": "#d55e00",
    "best-of-n:p_true": "#b0509a",
    "best-of-n:public_tests": "#00855f",
    "mbr": "#2b93c9",
    "forced": "#a87900",
    "single": "#3d444d",
}
"""One colour a strategy, told apart by all common kinds of colour vision (after Okabe and Ito)."""
OTHERS = ("#4b5fc4", "#8a6d3b", "#c2456b", "#3f8f8c", "#7f7f00", "#7d4fb0")
FONTS = ("Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")
"""In order of preference; the last comes with matplotlib."""
STYLE: dict[Any, Any] = {
    "font.family": [name for name in FONTS if name in fontManager.get_font_names()],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlecolor": INK,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "butt",
    "svg.fonttype": "none",
    "svg.hashsalt": "tsbench",
}
DPI = 160
WIDTH, WIDE = 9.0, 10.4
"""Inches of a figure of one panel, and of several."""
ROW = 0.235
"""Inches of a row in the strip of knees."""
DASHES = (0, (4.0, 2.2))
DOTS = (0, (1.0, 2.2))


@dataclass(frozen=True)
class Label:
    """What stands at the end of a line: its x and accuracy (%), a name, and a quieter word."""

    x: float
    y: float
    name: str
    colour: str
    verdict: str = ""


@rc_context(STYLE)
def curve(
    curves: pd.DataFrame, knees: pd.DataFrame, task_class: str, axis: str, *, note: str = ""
) -> Figure:
    """Draw one class: a line with its simultaneous 95 % band a strategy, and the knees below.

    `curves` and `knees` are the tables of `tsbench fit` for one model; `axis` is a spend column,
    drawn on a log scale. A ring marks the knee on its line; the strip below gives its 95 %
    interval, an arrow where an end is censored. `note` is printed at the top right. Raises
    ValueError for a class or an axis that the tables have not.
    """
    lines = _lines(curves, task_class, axis)
    colours = palette(curves["strategy"])
    found = _knees(knees, task_class, axis)
    fitted = [s for s in lines if s in found and words.given(found[s]["peak"]) is not None]
    labels = [
        _label(line, axis, words.label(s), colours[s], found[s]["verdict"] if s in fitted else "")
        for s, line in lines.items()
    ]
    said = {s: words.place(lines[s], found[s], axis).words(s) for s in fitted}
    right = 0.42 + max(
        *(measure(item.name, 9.5, bold=True) + measure(item.verdict, 9.5) for item in labels),
        *(measure(text, 8.5) for text in said.values()),
        1.5,
    )
    main, strip = max(3.3, _stacked(len(labels), 9.5)), ROW * len(fitted) + 0.34
    left, top, bottom = 0.66, 0.68, 0.60
    width, height = max(WIDTH, left + right + 4.5), top + main + strip + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    across = (left / width, (width - left - right) / width)
    upper = figure.add_axes((across[0], (bottom + strip) / height, across[1], main / height))
    lower = figure.add_axes((across[0], bottom / height, across[1], strip / height))
    title = f"{task_class}: accuracy against {words.AXES[axis].label}"
    write_title(figure, title, 0.12, note)

    _spend_axis([line[axis] for line in lines.values()], axis, upper, lower)
    _accuracy_axis(upper, lines.values(), band=True)
    for strategy, line in lines.items():
        _line(upper, line, axis, strategy, colours[strategy], band=True)
    _end_labels(upper, labels, size=9.5)
    lower.set_ylim(len(fitted) - 0.4, -1.45)
    lower.set_yticks([])
    if fitted:
        _beside(lower, -0.85, f"knee (95{words.NARROW}% interval)", QUIET, 8.5)
    for y, strategy in enumerate(fitted):
        row, colour = found[strategy], colours[strategy]
        _interval(lower, y, lines[strategy][axis], row, colour)
        _beside(lower, y, said[strategy], colour, 8.5)
        height_at = _ring(upper, lines[strategy], row, axis, colour)
        if height_at is not None:
            drop: dict[str, Any] = {"color": colour, "lw": 0.7, "ls": DOTS, "zorder": 2}
            upper.plot([row["knee"]] * 2, [upper.get_ylim()[0], height_at], **drop)
            lower.plot([row["knee"]] * 2, [-1.45, y], **drop)
    return figure


@rc_context(STYLE)
def overview(curves: pd.DataFrame, knees: pd.DataFrame, axis: str, *, note: str = "") -> Figure:
    """Draw every class side by side, on one scale of accuracy, each strategy's knee as a ring.

    Parameters and errors as for `curve`.
    """
    sheets = {c: _lines(curves, c, axis) for c in _classes(curves, axis)}
    colours = palette(curves["strategy"])
    room = 0.34 + max(
        measure(words.name(s, short=True), 9, bold=True) for lines in sheets.values() for s in lines
    )
    everything = [line for lines in sheets.values() for line in lines.values()]
    top = 1.0 if note else 0.8
    main = max(2.75, *(_stacked(len(lines), 9.0) for lines in sheets.values()))
    panels = _panels(len(sheets), len(sheets), top=top, main=main, gap=room + 0.12, right=room)
    for i, (axes, (task_class, lines)) in enumerate(
        zip(panels.axes, sheets.items(), strict=True),
    ):
        found = _knees(knees, task_class, axis)
        _spend_axis([line[axis] for line in lines.values()], axis, axes)
        _accuracy_axis(axes, everything, band=False, label=i == 0)
        for strategy, line in lines.items():
            _line(axes, line, axis, strategy, colours[strategy], band=False)
            if strategy in found:
                _ring(axes, line, found[strategy], axis, colours[strategy])
        labels = [
            _label(line, axis, words.name(s, short=True), colours[s]) for s, line in lines.items()
        ]
        _end_labels(axes, labels, size=9.0)
        _heading(axes, task_class, _use(pick(curves, knees, task_class, axis)), 11.5)
    if note:
        _note(panels, note)
    return panels


@rc_context(STYLE)
def strata(
    curves: pd.DataFrame, knees: pd.DataFrame, task_class: str, axis: str, *, note: str = ""
) -> Figure:
    """Draw one panel a strategy, one line a difficulty level; a level that falls says so.

    Parameters and errors as for `curve`; also raises ValueError where the class has no levels.
    """
    part = curves[(curves["task_class"] == task_class) & (curves["stratum"].fillna(ALL) != ALL)]
    levels = sorted(part["stratum"].unique(), key=_ease)
    shades = dict(zip(levels, _shades(len(levels)), strict=True))
    sheets = {
        strategy: {
            str(level): rows.sort_values(axis)
            for level, rows in part[part["strategy"] == strategy].groupby("stratum")
            if len(rows) > 1 and bool((rows[axis] > 0).all())
        }
        for strategy in _lines(curves, task_class, axis)
    }
    sheets = {strategy: lines for strategy, lines in sheets.items() if lines}
    if not sheets:
        raise ValueError(
            f"curves have no difficulty level of the class {task_class!r} with two budgets or more."
        )
    verdicts = knees[(knees["task_class"] == task_class) & (knees["axis"] == axis)].set_index(
        ["strategy", "stratum"]
    )["verdict"]
    room = 0.34 + max(
        measure(words.level(v), 8.5, bold=True) + measure("falls", 8.5) for v in levels
    )  # fmt: skip
    figure = _panels(
        len(sheets), min(3, len(sheets)), top=0.98, main=2.1, gap=room + 0.1, right=room
    )
    write_title(figure, f"{task_class}: accuracy by difficulty", 0.12, note)
    for i, (axes, (strategy, lines)) in enumerate(zip(figure.axes, sheets.items(), strict=True)):
        _spend_axis([line[axis] for line in lines.values()], axis, axes, label=i + 3 >= len(sheets))
        axes.set_ylim(-3, 103)
        _percent_ticks(axes, label=i % 3 == 0)
        labels = []
        for level, line in lines.items():
            _line(axes, line, axis, strategy, shades[level], band=False)
            falls = verdicts.get((strategy, level)) == "falls"
            labels.append(
                _label(line, axis, words.level(level), shades[level], "falls" if falls else "")
            )
        _end_labels(axes, labels, size=8.5)
        _heading(axes, words.label(strategy), "", 10)
    return figure


@rc_context(STYLE)
def roc(points: pd.DataFrame, rocs: pd.DataFrame, task_class: str, *, note: str = "") -> Figure:
    """Draw the ROC of every verifier of one class, the largest AUC first; dots are chance.

    `points` and `rocs` are the tables of `tsbench.rocs` for one model. A ring marks the threshold
    of the row in `rocs`; beside the panel are the AUC over all pairs of draws and over those of
    one problem, with their 95 % intervals. Raises ValueError for a class without a curve.
    """
    curves = points[points["task_class"] == task_class]
    if curves.empty:
        known = ", ".join(map(str, points["task_class"].unique())) or "none"
        raise ValueError(f"points have no class {task_class!r}; found {known}.")
    found = rocs[(rocs["task_class"] == task_class) & rocs["verifier"].isin(curves["verifier"])]
    found = found.sort_values("auc", ascending=False)
    colours = palette(f"best-of-n:{v}" for v in points["verifier"])
    names = [words.verifier(str(v)) for v in found["verifier"]]
    said = [
        (f"AUC {_area(row, 'auc')}", f"within problems {_area(row, 'auc_within')}")
        for _, row in found.iterrows()
    ]
    step, block = 0.18, 0.62
    left, side, top, bottom = 0.66, max(3.3, block * len(said)), 0.68, 0.60
    right = 0.32 + max(
        *(measure(name, 9.5, bold=True) for name in names),
        *(measure(text, 8.5) for lines in said for text in lines),
    )
    width, height = max(6.5, left + side + right), top + side + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    write_title(figure, f"{task_class}: telling right from wrong", 0.12, note)
    bare(axes)
    axes.set(xlim=(-3, 103), ylim=(-3, 103), xlabel="wrong draws accepted, %")
    axes.set_ylabel("right draws accepted, %", labelpad=7)
    axes.set_xticks(np.arange(0, 101, 20))
    axes.set_yticks(np.arange(0, 101, 20))
    axes.grid(color=GRID, lw=0.8)
    axes.plot([0, 100], [0, 100], color=QUIET, lw=1.0, ls=DOTS, zorder=1)
    for i, (name, lines) in enumerate(zip(names, said, strict=True)):
        row = found.iloc[i]
        line = curves[curves["verifier"] == row["verifier"]]
        colour = colours[f"best-of-n:{row['verifier']}"]
        rates = [100 * line[f"{kind}_accept"].to_numpy(float) for kind in ("false", "true")]
        chosen = [[100 * float(row[f"{kind}_accept"])] for kind in ("false", "true")]
        axes.plot(*rates, color=colour, lw=2.1, zorder=3)
        axes.plot(*chosen, "o", color=colour, mfc=PAPER, ms=7.0, mew=1.8, zorder=5)
        heights = 100 - 106 / side * (block * i + step * np.arange(3))
        _beside(axes, heights[0], name, colour, 9.5, weight="bold")
        for y, text in zip(heights[1:], lines, strict=True):
            _beside(axes, y, text, QUIET, 8.5)
    return figure


@rc_context(STYLE)
def captures(headroom: pd.DataFrame, task_class: str, *, note: str = "") -> Figure:
    """Draw how much of a class's headroom each selector converts, by the number of draws.

    `headroom` is the table of `tsbench.headroom` for one model: a line with its 95 % interval, k by
    k, for each strategy, the best at its last k first; dots are picking at random (0) and an oracle
    (100). Where noisy grades chose the best, a dashed line is against the best held out. Raises
    ValueError for a class without a headroom.
    """
    rows = headroom[(headroom["task_class"] == task_class) & headroom["capture"].notna()]
    if rows.empty:
        known = ", ".join(map(str, headroom["task_class"].unique())) or "none"
        raise ValueError(f"headroom has no class {task_class!r}; found {known}.")
    lines = {str(s): part.sort_values("budget") for s, part in rows.groupby("strategy")}
    lines = dict(sorted(lines.items(), key=lambda item: -item[1]["capture"].iloc[-1]))
    colours = palette(headroom["strategy"])
    room = 0.34 + max(measure(words.label(s), 9.5, bold=True) for s in lines)
    main = max(3.3, _stacked(len(lines), 9.5))
    left, top, bottom = 0.66, 0.68, 0.60
    width, height = max(WIDTH, left + room + 4.5), top + main + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    across = (width - left - room) / width
    axes = figure.add_axes((left / width, bottom / height, across, main / height))
    write_title(figure, f"{task_class}: headroom that selection converts", 0.12, note)
    bare(axes)
    budgets = sorted({*rows["budget"]})
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(budgets) / 1.08, max(budgets) * 1.08)
    shown = [k for k in budgets if float(np.log2(k)).is_integer()] or budgets
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter([f"{k:g}" for k in shown]))
    axes.set_xlabel("draws to choose from", labelpad=6)
    ends = 100 * rows[["capture", "low", "high"]].to_numpy(float)
    axes.set_ylim(max(-100.0, min(-5.0, np.nanmin(ends))), max(105.0, np.nanmax(ends[:, 0])))
    bottom, top = axes.get_ylim()
    step = 20.0 if top - bottom < 150.0 else 50.0
    axes.set_yticks(np.arange(step * np.ceil(bottom / step), top, step))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_ylabel("headroom converted, %", labelpad=7)
    for level in (0.0, 100.0):
        axes.axhline(level, color=QUIET, lw=1.0, ls=DOTS, zorder=1)
    for strategy, line in lines.items():
        colour, k = colours[strategy], line["budget"].to_numpy(float)
        value, low, high, held = (
            100 * line[c].to_numpy(float) for c in ("capture", "low", "high", "held_capture")
        )
        axes.fill_between(k, low, high, color=colour, alpha=0.08, lw=0)
        known = ~np.isnan(held)
        axes.plot(k[known], held[known], color=colour, lw=1.2, ls=DASHES, zorder=3)
        axes.plot(k, value, color=colour, lw=2.1, zorder=3, marker="D" if k.size == 1 else None)
    _end_labels(
        axes,
        [
            Label(
                float(line["budget"].iloc[-1]),
                float(np.clip(100 * line["capture"].iloc[-1], *axes.get_ylim())),
                words.label(strategy),
                colours[strategy],
            )
            for strategy, line in lines.items()
        ],
        size=9.5,
    )
    return figure


@rc_context(STYLE)
def missing(curves: pd.DataFrame, *, note: str = "") -> Figure | None:
    """Draw the largest missing and cap-hit rate of each strategy; None where all are zero."""
    known = [c for c in ("missing_rate", "cap_hit_rate") if c in curves]
    whole = curves[curves["stratum"].fillna(ALL) == ALL]
    rates = whole.groupby(["task_class", "strategy"], sort=False)[known].max().fillna(0.0)
    rates = 100 * rates.reindex(columns=["missing_rate", "cap_hit_rate"], fill_value=0.0)
    rates = rates[rates.max(axis=1) > 0].iloc[::-1]
    if rates.empty:
        return None
    names = [f"{c} \u00b7 {words.label(str(s))}" for c, s in rates.index]
    left, right, top, bottom = 0.3 + max(measure(n, 9.5) for n in names), 1.9, 0.68, 0.58
    main = 0.25 * len(rates) + 0.1
    height = top + main + bottom
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    write_title(figure, "Draws without a usable answer", 0.12, note)
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, main / height)
    )
    bare(axes)
    y = np.arange(len(rates))
    blank, capped = rates["missing_rate"].to_numpy(), rates["cap_hit_rate"].to_numpy()
    axes.hlines(y, 0, np.maximum(blank, capped), color=GRID, lw=1.2, zorder=1)
    axes.plot(blank, y, "o", color=INK, mfc=PAPER, ms=6.5, mew=1.2, zorder=3)
    axes.plot(capped, y, "o", color=INK, ms=3.2, zorder=4)
    axes.set_yticks(y, names)
    axes.set_xlim(0, max(1.0, 1.08 * rates.to_numpy().max()))
    axes.set_ylim(-0.7, len(rates) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=GRID, lw=0.6)
    axes.set_xlabel("% of draws, at the budget where most")
    for row, (mark, size, text) in enumerate(((PAPER, 6.5, "no answer"), (INK, 3.2, "cut short"))):
        height_at = len(rates) - 1 - row
        axes.plot(
            [1.05], [height_at], "o", color=INK, mfc=mark, ms=size, mew=1.2,
            transform=axes.get_yaxis_transform(), clip_on=False,
        )  # fmt: skip
        _beside(axes, height_at, text, QUIET, 9.0, at=1.08)
    return figure


@rc_context(STYLE)
def png(figure: Figure) -> bytes:
    """Render a figure as PNG at 160 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@rc_context(STYLE)
def svg(figure: Figure, description: str) -> str:
    """Render a figure as an SVG element for a page, its text as text, without ids of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", drawn)
    label = escape(description, quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def palette(strategies: Iterable[str]) -> dict[str, str]:
    """Return a colour for each strategy: its own where it has one, else one of OTHERS in order."""
    names = list(dict.fromkeys(strategies))
    unknown = sorted(set(names) - set(COLOURS))
    spare = {s: OTHERS[i % len(OTHERS)] for i, s in enumerate(unknown)}
    return {s: COLOURS.get(s) or spare[s] for s in names}


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers in [low, high], near even on a log scale: 1, 3, 10 or 1, 2, 5, 10."""
    decades = np.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 4 else (1.0,)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    marks = [float(f"{s}e{p}") for p in powers for s in steps]
    return [mark for mark in marks if low <= mark <= high]


def spread(wanted: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Move positions apart to at least `gap`, keeping their order, by the least sum of squares.

    With z_i = y_i - i gap the constraint is that z does not fall: isotonic regression. Of equal
    positions the first stands highest.
    """
    values = np.asarray(wanted, dtype=float)
    order = np.lexsort((-np.arange(values.size), values))
    step = gap * np.arange(values.size)
    placed = np.empty_like(values)
    placed[order] = isotonic_regression(values[order] - step).x + step
    return placed


def _classes(curves: pd.DataFrame, axis: str) -> list[str]:
    if axis not in curves or axis not in words.AXES:
        known = ", ".join(a for a in words.AXES if a in curves)
        raise ValueError(f"curves have no spend {axis!r}; allowed are {known}.")
    return [str(c) for c in curves.loc[curves[axis].notna(), "task_class"].unique()]


def _lines(curves: pd.DataFrame, task_class: str, axis: str) -> dict[str, pd.DataFrame]:
    """Return the whole class's curves by strategy, the best at its last budget first."""
    classes = _classes(curves, axis)
    if task_class not in classes:
        raise ValueError(
            f"curves have no class {task_class!r} with {axis}; found {', '.join(classes)}."
        )
    part = curves[(curves["task_class"] == task_class) & (curves["stratum"].fillna(ALL) == ALL)]
    part = part[part[axis] > 0]
    lines = {str(s): rows.sort_values(axis) for s, rows in part.groupby("strategy", sort=False)}
    return dict(sorted(lines.items(), key=lambda item: -item[1]["accuracy"].iloc[-1]))


def _knees(knees: pd.DataFrame, task_class: str, axis: str) -> dict[str, pd.Series]:
    part = knees[
        (knees["task_class"] == task_class)
        & (knees["axis"] == axis)
        & (knees["stratum"].fillna(ALL) == ALL)
    ]
    return {str(row["strategy"]): row for _, row in part.iterrows()}


def _area(row: pd.Series, name: str) -> str:
    value, interval = words.area(row, name)
    return f"{value} ({interval})" if interval else value


def _label(line: pd.DataFrame, axis: str, name: str, colour: str, verdict: object = "") -> Label:
    end = line.iloc[-1]
    said = words.verdict(verdict)
    return Label(float(end[axis]), 100 * float(end["accuracy"]), name, colour, said)


def _use(found: Pick | None) -> str:
    """Return what an overview says under a class's name."""
    if found is None or words.given(found.row["peak"]) is None:
        return ""
    says = {"flat": "flattens at", "falls": "falls from", "rising": "still rising at"}
    value = words.percent(found.here["accuracy"])
    where = f"({words.name(found.strategy, short=True)}, {found.budget})"
    return f"{says.get(str(found.row['verdict']), 'unclear, about')} {value} {where}"


def _ease(level: str) -> tuple[int, str]:
    """Order declared levels by name, and thirds from the easiest to the hardest."""
    return (-THIRDS.index(level) if level in THIRDS else 0, level)


def _shades(n: int) -> list[str]:
    """Return n colours from a light to a dark blue."""
    light, dark = np.array([0x6F, 0xB7, 0xC4]), np.array([0x16, 0x2B, 0x52])
    mixes = [light + (dark - light) * t for t in np.linspace(0, 1, n)]
    return ["#" + "".join(f"{round(c):02x}" for c in mix) for mix in mixes]


def measure(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a text is, with room for what hinting adds."""
    if not text:
        return 0.0
    font = FontProperties(weight="bold" if bold else "normal")
    return 1.05 * float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) / 72


def _stacked(labels: int, size: float) -> float:
    """Return how many inches high so many labels are, one below the other."""
    return labels * 1.35 * size / 72


def _panels(n: int, columns: int, *, top: float, main: float, gap: float, right: float) -> Figure:
    """Return a figure with n panels in rows; sizes are inches."""
    left, bottom, between = 0.60, 0.60, 0.92
    rows = -(-n // columns)
    width = max(WIDE, left + right + columns * 2.0 + gap * (columns - 1)) if columns > 1 else 6.5
    each = (width - left - right - gap * (columns - 1)) / columns
    height = top + rows * main + (rows - 1) * between + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    for i in range(n):
        y, x = divmod(i, columns)
        corner = left + x * (each + gap), bottom + (rows - 1 - y) * (main + between)
        figure.add_axes((corner[0] / width, corner[1] / height, each / width, main / height))
    return figure


def write_title(figure: Figure, text: str, left: float, note: str) -> None:
    """Write a figure's title, `left` inches from its edge, and the note at the right."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.2 / height, text, fontsize=12.5, fontweight="bold", va="top")
    if note:
        _note(figure, note)


def _note(figure: Figure, note: str) -> None:
    width, height = figure.get_size_inches()
    x, y = 1 - 0.12 / width, 1 - 0.2 / height
    figure.text(x, y, note, ha="right", va="top", color=QUIET, style="italic")


def _heading(axes: Axes, text: str, below: str, size: float) -> None:
    place: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "baseline",
    }
    axes.annotate(
        text, (0, 1), xytext=(0, 22 if below else 9), fontsize=size, fontweight="bold", **place
    )
    axes.annotate(below, (0, 1), xytext=(0, 8), fontsize=9, color=QUIET, **place)


def bare(axes: Axes) -> None:
    """Take the frame and the ticks' marks off."""
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _spend_axis(spends: Sequence[pd.Series], axis: str, *stack: Axes, label: bool = True) -> None:
    """Give a stack of axes one log scale, with labels under the last."""
    low, high = min(float(s.min()) for s in spends), max(float(s.max()) for s in spends)
    margin = max(high / low, 2.0) ** 0.03
    low, high = low / margin, high * margin
    marks = ticks(low, high)
    for axes in stack:
        bare(axes)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(marks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FixedFormatter([""] * len(marks)))
        axes.grid(axis="x", color=GRID, lw=0.6)
    stack[-1].xaxis.set_major_formatter(FixedFormatter([words.human(m) for m in marks]))
    if label:
        stack[-1].set_xlabel(words.AXES[axis].label, labelpad=6)


def _accuracy_axis(
    axes: Axes, lines: Iterable[pd.DataFrame], *, band: bool, label: bool = True
) -> None:
    lower, upper = ("low", "high") if band else ("accuracy", "accuracy")
    frames = list(lines)
    low = 100 * min(float(line[lower].min()) for line in frames)
    high = 100 * max(float(line[upper].max()) for line in frames)
    floor = 0.0 if low < 30 else 10 * np.floor(low / 10)
    ceiling = min(100.0, 10 * np.ceil(high / 10 + 1e-9))
    room = 0.03 * (ceiling - floor)
    axes.set_ylim(floor - room, ceiling + room)
    _percent_ticks(axes, label=label)


def _percent_ticks(axes: Axes, *, label: bool) -> None:
    low, high = axes.get_ylim()
    step = 20 if high - low > 62 else 10 if high - low > 24 else 5
    axes.set_yticks(np.arange(step * np.ceil(low / step), high + 1e-9, step))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.tick_params(labelleft=label)
    if label:
        axes.set_ylabel("accuracy, % of problems", labelpad=7)


def _line(
    axes: Axes, line: pd.DataFrame, axis: str, strategy: str, colour: str, *, band: bool
) -> None:
    """Draw a curve; a vote of 2 k adds nothing to one of 2 k - 1, so it is left out beside it."""
    if strategy.startswith(words.MAJORITY):
        budgets = line["budget"]
        line = line[(budgets % 2 == 1) | ~(budgets - 1).isin(budgets)]
    x, y = line[axis].to_numpy(float), 100 * line["accuracy"].to_numpy(float)
    low, high = 100 * line["low"].to_numpy(float), 100 * line["high"].to_numpy(float)
    oracle = strategy.startswith(words.ORACLE)
    if len(x) == 1:
        if band:
            axes.vlines(x, low, high, color=colour, lw=1, alpha=0.5)
        axes.plot(x, y, "D", color=colour, ms=4.5, zorder=4)
        return
    if band:
        axes.fill_between(x, low, high, color=colour, alpha=0.04 if oracle else 0.08, lw=0)
        for edge in (low, high):
            axes.plot(x, edge, color=colour, lw=0.6, alpha=0.45, ls=DASHES if oracle else "-")
    style: dict[str, Any] = {"lw": 1.5, "ls": DASHES} if oracle else {"lw": 2.1}
    axes.plot(x, y, color=colour, zorder=3, **style)


def _ring(axes: Axes, line: pd.DataFrame, row: pd.Series, axis: str, colour: str) -> float | None:
    """Mark the knee on its line; return its height, None where the knee is beyond the grid."""
    knee = words.given(row["knee"])
    if knee is None:
        return None
    x, y = line[axis].to_numpy(float), 100 * line["accuracy"].to_numpy(float)
    height = float(np.interp(np.log(knee), np.log(x), y))
    axes.plot([knee], [height], "o", color=colour, mfc=PAPER, ms=7.0, mew=1.8, zorder=5)
    return height


def _interval(axes: Axes, y: float, spend: pd.Series, row: pd.Series, colour: str) -> None:
    """Draw a knee and its interval; an end that is censored is an arrow at the end of the grid."""
    knee, low, high = (words.given(row[c]) for c in ("knee", "low", "high"))
    start = float(spend.min()) if low is None else low
    stop = float(spend.max()) if high is None else high
    axes.plot([start, stop], [y, y], color=colour, lw=1.8, zorder=3)
    for end, mark, known in ((start, "<", low), (stop, ">", high)):
        if known is None:
            axes.plot([end], [y], mark, color=colour, ms=5, zorder=3, clip_on=False)
        else:
            axes.plot([end], [y], "|", color=colour, ms=6, mew=1.6, zorder=3)
    if knee is not None:
        axes.plot([knee], [y], "o", color=colour, mfc=PAPER, ms=6, mew=1.6, zorder=5)


def _beside(
    axes: Axes,
    y: float,
    text: str,
    colour: str,
    size: float,
    at: float = 1.03,
    weight: str = "normal",
) -> None:
    """Write at the right of a panel."""
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
    axes.text(at, y, text, color=colour, fontsize=size, fontweight=weight, **place)


def _end_labels(axes: Axes, labels: Sequence[Label], *, size: float) -> None:
    """Write the labels at the right of a panel, none over another, each led to by dots."""
    low, high = axes.get_ylim()
    inches = axes.get_window_extent().height / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    gap = _stacked(1, size) * (high - low) / inches
    placed = spread([item.y for item in labels], gap)
    placed -= max(0.0, placed.max() - high)
    placed += max(0.0, low - placed.min())
    right = axes.get_xlim()[1]
    mixed = axes.get_yaxis_transform()
    for item, y in zip(labels, placed, strict=True):
        dots: dict[str, Any] = {"color": item.colour, "lw": 0.8, "ls": DOTS, "zorder": 2}
        axes.plot([item.x, right], [item.y, item.y], **dots)
        axes.plot([1.0, 1.022], [item.y, y], transform=mixed, clip_on=False, **dots)
        written = axes.text(
            1.03, y, item.name, transform=mixed, color=item.colour, fontsize=size,
            fontweight="bold", va="center_baseline",
        )  # fmt: skip
        if item.verdict:
            axes.annotate(
                item.verdict, (1, 0), xycoords=written, xytext=(5, 0), textcoords="offset points",
                va="bottom", fontsize=size, color=QUIET, annotation_clip=False,
            )  # fmt: skip
