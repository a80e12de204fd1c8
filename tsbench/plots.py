"""Figures of accuracy against compute: frames in, a matplotlib Figure out, no global state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from tsbench import words

INK, QUIET, GRID, PAPER = "#1f2328", "#5f6873", "#e3e6ea", "#ffffff"
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
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "butt",
    "svg.fonttype": "none",
    "svg.hashsalt": "tsbench",
}
DPI = 160
WIDTH = 9.0
ROW = 0.235
"""Inches of one row of the strip of knees."""


@rc_context(STYLE)
def curve(
    curves: pd.DataFrame, knees: pd.DataFrame, task_class: str, axis: str, *, note: str = ""
) -> Figure:
    """Draw one class: a line and a simultaneous 95 % band a strategy, and the knees below.

    `curves` and `knees` are the tables of `tsbench fit`; `axis` is a spend column, drawn on a log
    scale. A ring marks the knee on its line; the strip below gives its 95 % interval, an arrow
    where an end is censored. `note` is printed at the top right. Raises ValueError for a class
    or an axis that the tables have not.
    """
    lines = _lines(curves, task_class, axis)
    colours = palette(curves["strategy"])
    found = _knees(knees, task_class, axis)
    strip = ROW * len(lines) + 0.30
    main, top, bottom, left, right = 3.35, 0.62, 0.62, 0.62, 2.55
    height = top + main + strip + bottom
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    box = (left / WIDTH, (WIDTH - left - right) / WIDTH)
    upper = figure.add_axes((box[0], (bottom + strip) / height, box[1], main / height))
    lower = figure.add_axes((box[0], bottom / height, box[1], strip / height))
    _title(figure, f"{task_class}: accuracy against {words.AXES[axis].label}", left, height, note)

    _spend_axis([line[axis] for line in lines.values()], axis, upper, lower)
    _accuracy_axis(upper, lines.values(), bands=True)
    labels = []
    for strategy, line in lines.items():
        _line(upper, line, axis, strategy, colours[strategy], band=True)
        row = found.get(strategy)
        verdict = "" if row is None else words.VERDICTS.get(row["verdict"], str(row["verdict"]))
        labels.append((line, words.name(strategy), verdict, colours[strategy]))
    _end_labels(upper, labels, axis, size=9.5)
    _strip(upper, lower, lines, found, colours, axis)
    return figure


@rc_context(STYLE)
def overview(curves: pd.DataFrame, knees: pd.DataFrame, axis: str, *, note: str = "") -> Figure:
    """Draw every class side by side, on one scale of accuracy, each strategy's knee as a ring.

    Parameters as for `curve`. Raises ValueError for an axis that the tables have not.
    """
    classes = _classes(curves, axis)
    colours = palette(curves["strategy"])
    pad, gap, left, right, top, bottom, main = 0.1, 0.98, 0.55, 0.92, 0.62, 0.58, 2.75
    n = len(classes)
    width = max(11.0, 3.4 * n)
    each = (width - left - right - gap * (n - 1) - pad) / n
    height = top + main + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    sheets = {name: _lines(curves, name, axis) for name in classes}
    everything = [line for lines in sheets.values() for line in lines.values()]
    for i, task_class in enumerate(classes):
        lines = sheets[task_class]
        found = _knees(knees, task_class, axis)
        axes = figure.add_axes(
            ((left + i * (each + gap)) / width, bottom / height, each / width, main / height)
        )
        _spend_axis([line[axis] for line in lines.values()], axis, axes)
        _accuracy_axis(axes, everything, bands=False, label=i == 0)
        labels = []
        for strategy, line in lines.items():
            _line(axes, line, axis, strategy, colours[strategy], band=False)
            row = found.get(strategy)
            if row is not None:
                _ring(axes, line, row, axis, colours[strategy])
            labels.append((line, words.name(strategy, short=True), "", colours[strategy]))
        _end_labels(axes, labels, axis, size=9.0)
        axes.set_title(task_class, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    if note:
        _note(figure, note, width, height)
    return figure


@rc_context(STYLE)
def strata(
    curves: pd.DataFrame, knees: pd.DataFrame, task_class: str, axis: str, *, note: str = ""
) -> Figure:
    """Draw one panel a strategy, one line a difficulty level of the class.

    Parameters and errors as for `curve`; also raises ValueError where the class has no levels.
    """
    part = curves[(curves["task_class"] == task_class) & (curves["stratum"] != "all")]
    part = part[part["stratum"].notna()]
    if part.empty:
        raise ValueError(f"curves have no difficulty levels for the class {task_class!r}.")
    levels = sorted(part["stratum"].unique())
    whole = list(_lines(curves, task_class, axis))
    shown = [s for s in whole if part[part["strategy"] == s]["budget"].nunique() > 1]
    if not shown:
        raise ValueError(f"the class {task_class!r} has no strategy with levels and two budgets.")
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    left, right, gap, top, bottom, main, between = 0.55, 0.85, 0.75, 0.95, 0.58, 2.1, 0.85
    width = 11.0
    each = (width - left - right - gap * (columns - 1)) / columns
    height = top + rows * main + (rows - 1) * between + bottom
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    _title(figure, f"{task_class}: accuracy by difficulty", left, height, note)
    shades = _shades(len(levels))
    for i, strategy in enumerate(shown):
        y, x = divmod(i, columns)
        axes = figure.add_axes(
            (
                (left + x * (each + gap)) / width,
                (bottom + (rows - 1 - y) * (main + between)) / height,
                each / width,
                main / height,
            )
        )
        found = knees[
            (knees["task_class"] == task_class)
            & (knees["strategy"] == strategy)
            & (knees["axis"] == axis)
        ].set_index("stratum")
        lines = {
            level: part[(part["strategy"] == strategy) & (part["stratum"] == level)].sort_values(
                axis
            )
            for level in levels
        }
        lines = {level: line for level, line in lines.items() if len(line)}
        _spend_axis([line[axis] for line in lines.values()], axis, axes, label=y == rows - 1)
        axes.set_ylim(-3, 103)
        _percent_ticks(axes, x == 0)
        labels = []
        for level, shade in zip(levels, shades, strict=True):
            if level not in lines:
                continue
            axes.plot(lines[level][axis], 100 * lines[level]["accuracy"], color=shade, lw=1.6)
            verdict = str(found["verdict"].get(level, ""))
            labels.append((lines[level], level, "falls" if verdict == "falls" else "", shade))
        _end_labels(axes, labels, axis, size=8.5)
        axes.set_title(
            words.name(strategy), loc="left", fontsize=10, fontweight="bold", color=INK, pad=7
        )
    return figure


@rc_context(STYLE)
def missing(curves: pd.DataFrame, *, note: str = "") -> Figure | None:
    """Draw the largest cap-hit and missing rate of each strategy; None where all are zero."""
    rates = (
        curves[curves["stratum"].fillna("all") == "all"]
        .groupby(["task_class", "strategy"], sort=False)[["missing_rate", "cap_hit_rate"]]
        .max()
        .fillna(0.0)
    )
    rates = rates[rates.max(axis=1) > 0].iloc[::-1]
    if rates.empty:
        return None
    left, right, top, bottom = 2.9, 0.7, 0.62, 0.58
    main = 0.26 * len(rates) + 0.15
    height = top + main + bottom
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    _title(figure, "Draws without a usable answer", left, height, note)
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, main / height)
    )
    y = np.arange(len(rates))
    axes.hlines(y, 0, 100 * rates.max(axis=1), color=GRID, lw=1.2, zorder=1)
    axes.plot(
        100 * rates["missing_rate"], y, "o", color=INK, mfc=PAPER, ms=6, mew=1.3, label="no answer"
    )
    axes.plot(100 * rates["cap_hit_rate"], y, "o", color=INK, ms=3.4, label="cut by the length cap")
    axes.set_yticks(y, [f"{c} · {words.name(s)}" for c, s in rates.index])
    axes.set_xlim(0, max(5.0, 110 * rates.to_numpy().max()))
    axes.set_ylim(-0.6, len(rates) - 0.4)
    axes.set_xlabel("% of draws, at the budget where it is largest")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.1
    )
    return figure


@rc_context(STYLE)
def png(figure: Figure) -> bytes:
    """Render a figure as PNG at 160 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@rc_context(STYLE)
def svg(figure: Figure, description: str) -> str:
    """Render a figure as an SVG element for a page: text as text, colours as CSS variables.

    The page may set the variables --ink, --quiet, --grid and --paper, and --c-<hex> for the
    colour of a line; each falls back to the colour of the PNG.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    for variable, colour in (("ink", INK), ("quiet", QUIET), ("grid", GRID), ("paper", PAPER)):
        text = text.replace(f": {colour}", f": var(--{variable}, {colour})")
    for colour in (*COLOURS.values(), *OTHERS):
        text = text.replace(f": {colour}", f": var(--c-{colour[1:]}, {colour})")
    return text.replace(
        "<svg ", f'<svg role="img" aria-label="{escape(description, quote=True)}" ', 1
    )


def palette(strategies: Iterable[str]) -> dict[str, str]:
    """Return a colour for each strategy: its own where it is known, else one of OTHERS in order."""
    unknown = sorted({s for s in strategies if s not in COLOURS})
    spare = {s: OTHERS[i % len(OTHERS)] for i, s in enumerate(unknown)}
    return {s: COLOURS.get(s) or spare[s] for s in strategies}


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, even on a log scale: 1, 3, 10, or 1, 2, 5, 10."""
    decades = np.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 4 else (1.0,)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high * (1 + 1e-9)]


def spread(wanted: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Move positions apart to at least `gap`, keeping their order, by the least sum of squares.

    With z_i = y_i - i gap the constraint is that z does not fall: isotonic regression.
    """
    values = np.asarray(wanted, dtype=float)
    order = np.argsort(values, kind="stable")
    step = gap * np.arange(values.size)
    placed = np.empty_like(values)
    placed[order] = isotonic_regression(values[order] - step).x + step
    return placed


def _classes(curves: pd.DataFrame, axis: str) -> list[str]:
    if axis not in curves:
        raise ValueError(f"curves have no column {axis!r}; found {', '.join(curves.columns)}.")
    known = curves[curves[axis].notna()]
    return list(dict.fromkeys(known["task_class"].astype(str)))


def _lines(curves: pd.DataFrame, task_class: str, axis: str) -> dict[str, pd.DataFrame]:
    """Return the whole class's curves by strategy, the best at its last budget first."""
    classes = _classes(curves, axis)
    if task_class not in classes:
        raise ValueError(
            f"curves have no class {task_class!r} with {axis}; found {', '.join(classes)}."
        )
    part = curves[(curves["task_class"] == task_class) & (curves["stratum"].fillna("all") == "all")]
    part = part[part[axis] > 0]
    lines = {str(s): rows.sort_values(axis) for s, rows in part.groupby("strategy", sort=False)}
    return dict(sorted(lines.items(), key=lambda item: -item[1]["accuracy"].iloc[-1]))


def _knees(knees: pd.DataFrame, task_class: str, axis: str) -> dict[str, pd.Series]:
    part = knees[
        (knees["task_class"] == task_class)
        & (knees["axis"] == axis)
        & (knees["stratum"].fillna("all") == "all")
    ]
    return {str(row["strategy"]): row for _, row in part.iterrows()}


def _shades(n: int) -> list[str]:
    """Return n colours from a light to a dark blue-green."""
    light, dark = np.array([0x7C, 0xC0, 0xC4]), np.array([0x14, 0x2F, 0x55])
    mixes = [light + (dark - light) * t for t in np.linspace(0, 1, n)]
    return ["#" + "".join(f"{round(c):02x}" for c in mix) for mix in mixes]


def _title(figure: Figure, text: str, left: float, height: float, note: str) -> None:
    width = figure.get_figwidth()
    figure.text(
        left / width, 1 - 0.2 / height, text, fontsize=12, fontweight="bold", va="top", color=INK
    )
    if note:
        _note(figure, note, width, height)


def _note(figure: Figure, note: str, width: float, height: float) -> None:
    figure.text(
        1 - 0.12 / width, 1 - 0.2 / height, note, ha="right", va="top", color=QUIET, style="italic"
    )


def _spend_axis(spends: Sequence[pd.Series], axis: str, *stack: Axes, label: bool = True) -> None:
    """Give a stack of axes one log scale, with labels under the last."""
    low = min(float(s.min()) for s in spends)
    high = max(float(s.max()) for s in spends)
    margin = max(high / low, 2.0) ** 0.04
    low, high = low / margin, high * margin
    marks = ticks(low, high)
    for axes in stack:
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(marks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FixedFormatter([""] * len(marks)))
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color=GRID, lw=0.6)
        for side in axes.spines.values():
            side.set_visible(False)
    last = stack[-1]
    last.xaxis.set_major_formatter(FixedFormatter([words.human(m) for m in marks]))
    if label:
        last.set_xlabel(words.AXES[axis].label, labelpad=6)


def _accuracy_axis(
    axes: Axes, lines: Iterable[pd.DataFrame], *, bands: bool, label: bool = True
) -> None:
    lower, upper = ("low", "high") if bands else ("accuracy", "accuracy")
    frames = list(lines)
    low = 100 * min(float(line[lower].min()) for line in frames)
    high = 100 * max(float(line[upper].max()) for line in frames)
    floor = 0.0 if low < 30 else 10 * np.floor(low / 10)
    ceiling = min(100.0, 10 * np.ceil(high / 10))
    room = 0.03 * (ceiling - floor)
    axes.set_ylim(floor - room, ceiling + room)
    _percent_ticks(axes, label)


def _percent_ticks(axes: Axes, label: bool) -> None:
    low, high = axes.get_ylim()
    step = 20 if high - low > 62 else 10 if high - low > 24 else 5
    axes.set_yticks(np.arange(step * np.ceil(low / step), high + 1e-9, step))
    axes.grid(axis="y", color=GRID, lw=0.8)
    if label:
        axes.set_ylabel("accuracy, % of problems", labelpad=7)


def _line(
    axes: Axes, line: pd.DataFrame, axis: str, strategy: str, colour: str, *, band: bool
) -> None:
    x, y = line[axis].to_numpy(float), 100 * line["accuracy"].to_numpy(float)
    oracle = strategy.startswith(words.ORACLE)
    if len(x) == 1:
        if band:
            axes.vlines(x, 100 * line["low"], 100 * line["high"], color=colour, lw=1, alpha=0.6)
        axes.plot(x, y, "D", color=colour, ms=4.5, zorder=4)
        return
    if band:
        low, high = 100 * line["low"], 100 * line["high"]
        axes.fill_between(x, low, high, color=colour, alpha=0.07 if oracle else 0.11, lw=0)
    axes.plot(
        x, y, color=colour, lw=1.5 if oracle else 2.0, ls=(0, (4, 2.2)) if oracle else "-", zorder=3
    )


def _ring(axes: Axes, line: pd.DataFrame, row: pd.Series, axis: str, colour: str) -> float | None:
    """Mark the knee on its line; return its height, None where the knee is beyond the grid."""
    knee = words.given(row["knee"])
    if knee is None:
        return None
    x, y = line[axis].to_numpy(float), 100 * line["accuracy"].to_numpy(float)
    height = float(np.interp(np.log(knee), np.log(x), y))
    axes.plot([knee], [height], "o", color=colour, mfc=PAPER, ms=7.0, mew=1.8, zorder=5)
    return height


def _end_labels(
    axes: Axes, labels: Sequence[tuple[pd.DataFrame, str, str, str]], axis: str, *, size: float
) -> None:
    """Write (curve, name, verdict, colour) at the right of each line's end, none over another."""
    low, high = axes.get_ylim()
    figure = axes.figure
    inches = axes.get_position().height * figure.get_figheight()
    gap = 1.32 * size / 72 * (high - low) / inches
    ends = [100 * float(line["accuracy"].iloc[-1]) for line, *_ in labels]
    placed = spread(ends, gap)
    placed = placed - max(0.0, placed.max() - high) if len(placed) else placed
    right = axes.get_xlim()[1]
    mixed = blended_transform_factory(axes.transAxes, axes.transData)
    for (line, text, verdict, colour), end, y in zip(labels, ends, placed, strict=True):
        start = float(line[axis].iloc[-1])
        axes.plot([start, right], [end, end], color=colour, lw=0.8, ls=(0, (1, 2.2)), zorder=2)
        axes.plot(
            [1.0, 1.022],
            [end, y],
            transform=mixed,
            color=colour,
            lw=0.8,
            ls=(0, (1, 2.2)),
            clip_on=False,
        )
        written = axes.text(
            1.03,
            y,
            text,
            transform=mixed,
            color=colour,
            fontsize=size,
            fontweight="bold",
            va="center_baseline",
        )
        if verdict:
            axes.annotate(
                f"  {verdict}",
                xy=(1, 0),
                xycoords=written,
                va="bottom",
                ha="left",
                fontsize=size,
                color=QUIET,
                annotation_clip=False,
            )


def _strip(
    upper: Axes,
    lower: Axes,
    lines: Mapping[str, pd.DataFrame],
    found: Mapping[str, pd.Series],
    colours: Mapping[str, str],
    axis: str,
) -> None:
    """Draw a row a strategy under the curves: the knee, its 95 % interval, and both in words."""
    lower.set_ylim(len(lines) - 0.4, -1.7)
    lower.set_yticks([])
    lower.text(
        0.0, -1.05, "knee and its 95 % interval", transform=lower.get_yaxis_transform(),
        color=QUIET, fontsize=8.5, va="center", backgroundcolor=PAPER,
    )  # fmt: skip
    left, right = lower.get_xlim()
    for y, (strategy, line) in enumerate(lines.items()):
        row = found.get(strategy)
        if row is None or not words.given(row["n_problems"]):
            continue
        colour = colours[strategy]
        knee, low, high = (words.given(row[c]) for c in ("knee", "low", "high"))
        first, last = float(line[axis].min()), float(line[axis].max())
        start, stop = low or first, high or last
        lower.plot([start, stop], [y, y], color=colour, lw=2.0, alpha=0.75, zorder=3)
        if low is None:
            lower.plot([start], [y], "<", color=colour, ms=4.5, zorder=3)
        if high is None:
            lower.plot([stop], [y], ">", color=colour, ms=4.5, zorder=3)
        height = _ring(upper, line, row, axis, colour)
        if knee is not None and height is not None:
            lower.plot([knee], [y], "o", color=colour, mfc=PAPER, ms=6.0, mew=1.6, zorder=5)
            upper.plot(
                [knee, knee], [upper.get_ylim()[0], height], color=colour, lw=0.7, ls=":", zorder=2
            )
            lower.plot([knee, knee], [-1.7, y], color=colour, lw=0.7, ls=":", zorder=2)
        lower.text(
            1.03, y, words.place(line, row, axis).words(strategy),
            transform=lower.get_yaxis_transform(), color=colour, fontsize=8.5,
            va="center_baseline",
        )  # fmt: skip
    lower.set_xlim(left, right)
