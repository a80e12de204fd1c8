"""The page of a validation study: from its results, a row per dataset and method, alone.

Measures, then tables, then figures. Every share has its 95 % Wilson interval, every RMSE and
bias its Monte Carlo standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import binomtest

from tsbench.knee import FALL_MARGIN
from tsbench.plots import DASHES, DOTS, GRID, INK, PAPER, QUIET, STYLE, WIDE, WIDTH, png, spread
from tsbench.simulate import Scenario, pool_size, scenarios

Array = NDArray[np.float64]

OURS = "tsbench"
COLOURS: Mapping[str, str] = {
    OURS: "#0072b2",
    "kneed": "#6e7781",
    "power law": "#d55e00",
    "AICc": "#b0509a",
    "raw argmax": "#00855f",
}
RMSE_BARS = {100: 0.75, 300: 0.38, 1000: 0.25}
COVERAGE_BARS = (0.93, 0.99)
ALARM_BAR = 0.06
POWER_BAR, POWER_DEPTH, POWER_QUERIES = 0.90, (6.5, 8.0), 100
RESAMPLES = 400
VERDICTS = ("rising", "flat", "falls", "cannot tell")


@dataclass(frozen=True)
class Bar:
    """What was promised, what was found, and whether it is met; None where it was not run."""

    what: str
    bar: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Share:
    """A share of `trials` with its 95 % Wilson interval."""

    hits: int
    trials: int

    @property
    def rate(self) -> float:
        """Hits over trials."""
        return self.hits / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval."""
        found = binomtest(self.hits, self.trials).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.rate:.3g} ({100 * low:.0f}\u2013{100 * high:.0f})"


@dataclass(frozen=True)
class Merit:
    """What a method did on some datasets; errors in doublings, a censored knee at the grid's end.

    `coverage` is None where the method has no interval, `falls` where it calls no turnover.
    """

    datasets: int
    rmse: float
    rmse_error: float
    bias: float
    bias_error: float
    coverage: Share | None
    width: float
    beyond: Share
    falls: Share | None


def merit(rows: pd.DataFrame) -> Merit:
    """Measure the rows of one method.

    The standard error of the RMSE is that of a bootstrap over the datasets of each scenario.
    """
    error = (rows["knee"] - rows["truth"]).to_numpy()
    square = error**2
    rng = np.random.default_rng(0)
    total = np.zeros(RESAMPLES)
    variance = 0.0
    for part in rows.reset_index(drop=True).groupby("scenario", sort=False).indices.values():
        n = len(part)
        total += square[part][rng.integers(n, size=(RESAMPLES, n))].sum(axis=1)
        variance += n * float(error[part].var())
    return Merit(
        datasets=len(rows),
        rmse=float(np.sqrt(square.mean())),
        rmse_error=float(np.sqrt(total / len(rows)).std()),
        bias=float(error.mean()),
        bias_error=float(np.sqrt(variance) / len(rows)),
        coverage=covered(rows) if rows["low"].notna().all() else None,
        width=float((rows["high"] - rows["low"]).median()),
        beyond=Share(int((rows["knee"] >= rows["end"]).sum()), len(rows)),
        falls=called(rows) if rows["falls"].notna().all() else None,
    )


def covered(rows: pd.DataFrame) -> Share:
    """Return the share of the rows whose interval covers the truth, both cut to the grid."""
    around = (rows["low"] <= rows["truth"] + 1e-9) & (rows["high"] >= rows["truth"] - 1e-9)
    return Share(int(around.sum()), len(rows))


def called(rows: pd.DataFrame) -> Share:
    """Return the share of the rows that are called falling."""
    return Share(int(rows["falls"].sum()), len(rows))


def inside(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the scenarios whose true knee lies strictly inside the grid."""
    return rows[(rows["truth"] > 0.0) & (rows["truth"] < rows["end"])]


def tagged(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the rows of the scenarios with the tag `kind`."""
    return rows[[kind in tags.split() for tags in rows["kind"]]]


def bars(rows: pd.DataFrame) -> list[Bar]:
    """Hold the rows, at the main number of draws, against what the estimator promises."""
    ours = rows[rows["method"] == OURS]
    interior = inside(ours)
    found = []
    for Q, most in RMSE_BARS.items():
        part = interior[interior["queries"] == Q]
        what, bar = f"RMSE of an interior knee, {Q} queries", f"at most {most:.2f}"
        if part.empty:
            found.append(Bar(what, bar, "not run", None))
            continue
        m = merit(part)
        found.append(Bar(what, bar, _plus_minus(m.rmse, m.rmse_error), m.rmse <= most))
    low, high = COVERAGE_BARS
    for Q in _values(interior["queries"]):
        share = covered(interior[interior["queries"] == Q])
        what = f"coverage of the 95 % interval, {Q} queries, %"
        met = low <= share.rate <= high
        found.append(Bar(what, f"{100 * low:.0f} to {100 * high:.0f}", str(share), met))
    found.append(
        _extreme(
            tagged(ours, "null"),
            "false turnovers, the worst null scenario, %",
            f"at most {100 * ALARM_BAR:.0f}",
            max,
            lambda rate: rate <= ALARM_BAR,
        )
    )
    deep = tagged(ours, "fall")
    deep = deep[deep["depth"].between(*POWER_DEPTH) & (deep["queries"] == POWER_QUERIES)]
    found.append(
        _extreme(
            deep,
            f"power on a 7-point fall, {POWER_QUERIES} queries, the worst scenario, %",
            f"at least {100 * POWER_BAR:.0f}",
            min,
            lambda rate: rate >= POWER_BAR,
        )
    )
    return found


def _extreme(
    rows: pd.DataFrame,
    what: str,
    bar: str,
    choose: Callable[..., tuple[Share, str]],
    holds: Callable[[float], bool],
) -> Bar:
    """Return a bar on the share of "falls" in the worst cell of scenario and queries."""
    groups = rows.groupby(["scenario", "queries"], sort=False)
    cells = [(called(part), f"{name}, {Q} queries") for (name, Q), part in groups]
    if not cells:
        return Bar(what, bar, "not run", None)
    share, place = choose(cells, key=lambda cell: cell[0].rate)
    return Bar(what, bar, f"{share}: {place}", holds(share.rate))


def write_page(rows: pd.DataFrame, folder: Path) -> Path:
    """Write validation.md and figures/validation-*.png of the study's `rows`; return the page.

    `rows.attrs` holds the `command` of the study, its `delta` and its main number of `draws`.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    main = rows[rows["draws"] == rows.attrs["draws"]]
    drawn = {
        "truth": truth_figure(main, rows.attrs["delta"]),
        "rmse": rmse_figure(main),
        "coverage": coverage_figure(main),
        "turnovers": turnover_figure(main),
        "calibration": calibration_figure(main),
    }
    for name, figure in drawn.items():
        (figures / f"validation-{name}.png").write_bytes(png(figure))
    page = folder / "validation.md"
    page.write_text(text(rows), encoding="utf-8")
    return page


INTRODUCTION = """\
# Validation on simulated data

Every figure on this page comes from simulated data, whose true curve is known. It says how far the
knees, intervals and verdicts of `tsbench fit` can be trusted, and it shows a regression when a
change makes them worse.

{scenarios} scenarios, {datasets} datasets of each at each number of queries. In most scenarios
every budget is drawn anew, {draws} draws a query; pass@k, votes and best-of-k are read off one pool
of {pool} draws a query by the estimators of `tsbench fit`. Queries differ strongly in ease: most
are nearly always or nearly never solved.

The knee is where a doubling of spend stops buying {price}; errors are in
doublings, so an RMSE of 1 is a factor of two in spend. A knee beyond the largest budget counts as
that budget, in the truth and in the estimate. A 95 % interval should cover the truth 95 times in
100; one that reaches an end of the grid covers all beyond it. A false turnover is the verdict
"falls" where the truth never falls, power is the share of that verdict where it does. After \u00b1
stands the standard error of the simulation, in brackets the 95 % Wilson interval of a share; the
thin lines at the dots of a figure are 95 % intervals too.

![True curves of the scenarios](figures/validation-truth.png)"""

POOLED = """\
## By the number of queries

Pooled over the scenarios whose knee lies inside the grid. "Usual shapes" leaves out step, two
stages, dip and cliff, which are unlike any shape that is fitted."""

RIVALRY = """\
## Beside the usual ways

The same data and the same errors. kneed takes the point farthest from the chord of the observed
range and knows no price of a doubling; the power law and the family selected by AICc are fitted by
least squares, and the raw argmax is the best budget of mean accuracy less the price, each with a
bootstrap over queries. RMSE and coverage are pooled over the knees inside the grid, false turnovers
over all scenarios without a fall, power over all with one. A power law cannot fall."""

VERDICT = """\
## Bias, width and verdicts by scenario, {Q} queries

Bias and median width of the interval in doublings; knees placed beyond the grid, and verdicts, in %
of datasets."""

DRAWS = """\
## By the number of draws

Draws a query at each budget; a pool holds 16 times as many, at least 128. Pooled as above."""

CALIBRATION = """\
## Calibration of P(fall)

How often the true curve falls by more than a point, by the `p_fall` that was printed, over all
scenarios and numbers of queries. It depends on the mix of scenarios: a check for gross errors.

![Calibration of P(fall)](figures/validation-calibration.png)"""

AGAIN = """\
## Run it again

    {command}

`results=FILE` writes this page from a finished study; `tsbench.validate.draw` makes any one dataset
again."""


def text(rows: pd.DataFrame) -> str:
    """Return the page in Markdown; parameters as for `write_page`."""
    n, delta = rows.attrs["draws"], rows.attrs["delta"]
    main = rows[rows["draws"] == n]
    ours = main[main["method"] == OURS]
    introduction = INTRODUCTION.format(
        scenarios=ours["scenario"].nunique(),
        datasets=ours["dataset"].nunique(),
        draws=n,
        pool=pool_size(n),
        price=f"{100 * delta:g} points" if delta != 0.01 else "one accuracy point",
    )
    parts = [introduction, _promises(main), _by_queries(ours)]
    if set(main["method"]) != {OURS}:
        parts.append(_beside_rivals(main))
    parts += [
        "![RMSE against queries](figures/validation-rmse.png)",
        "![Coverage against queries](figures/validation-coverage.png)",
        *_by_scenario(ours),
        "![Power and false turnovers](figures/validation-turnovers.png)",
        _verdicts(ours),
        CALIBRATION,
    ]
    if set(rows["draws"]) != {n}:
        parts.append(_by_draws(rows[rows["method"] == OURS], n))
    parts.append(AGAIN.format(command=rows.attrs["command"]))
    return "\n\n".join(parts) + "\n"


def _promises(main: pd.DataFrame) -> str:
    said = {True: "met", False: "**not met**", None: ""}
    lines = [(bar.what, bar.bar, bar.found, said[bar.met]) for bar in bars(main)]
    return f"## What is promised\n\n{_table(('', 'bar', 'found', ''), lines)}"


def _by_queries(ours: pd.DataFrame) -> str:
    pool = inside(ours)
    unusual = tagged(pool, "outside").index
    pools = {"all": pool, "usual shapes": pool.drop(unusual)}
    lines = []
    for Q in _values(ours["queries"]):
        for name, rows in pools.items():
            if len(part := rows[rows["queries"] == Q]):
                m = merit(part)
                bias = _plus_minus(m.bias, m.bias_error, sign="+")
                cells = (_rmse(m), bias, str(m.coverage), f"{m.width:.1f}", str(m.beyond))
                lines.append((str(Q), name, *cells))
    header = ("queries", "scenarios", "RMSE", "bias", "coverage, %", "median width", "beyond, %")
    return f"{POOLED}\n\n{_table(header, lines)}"


def _beside_rivals(main: pd.DataFrame) -> str:
    lines = [
        (str(Q), method, *_pooled_cells(part))
        for (Q, method), part in _groups(main, ["queries", "method"])
    ]
    header = ("queries", "method", "RMSE", "coverage, %", "false turnovers, %", "power, %")
    return f"{RIVALRY}\n\n{_table(header, lines)}"


def _by_draws(ours: pd.DataFrame, main: int) -> str:
    compared = set(ours.loc[ours["draws"] != main, "queries"])
    lines = [
        (str(Q), str(n), str(part["dataset"].nunique()), *_pooled_cells(part))
        for (Q, n), part in _groups(ours[ours["queries"].isin(compared)], ["queries", "draws"])
    ]
    header = (
        "queries",
        "draws",
        "datasets",
        "RMSE",
        "coverage, %",
        "false turnovers, %",
        "power, %",
    )
    return f"{DRAWS}\n\n{_table(header, lines)}"


def _by_scenario(ours: pd.DataFrame) -> list[str]:
    """Return a table each of RMSE, coverage and turnovers, a line a scenario."""
    numbers = [f"{Q} queries" for Q in _values(ours["queries"])]
    knees, covers, turns = [], [], []
    for name, rows in ours.groupby("scenario", sort=False):
        cells = [merit(part) for _, part in rows.groupby("queries")]
        first = rows.iloc[0]
        beyond = first["truth"] >= first["end"]
        knees.append(
            (str(name), "beyond" if beyond else f"{first['truth']:.2f}", *map(_rmse, cells))
        )
        covers.append((str(name), *(str(m.coverage) for m in cells)))
        turns.append((str(name), f"{first['depth']:.1f}", *(str(m.falls) for m in cells)))
    return [
        f"## RMSE by scenario\n\n{_table(('', 'true knee', *numbers), knees)}",
        f"## Coverage by scenario, %\n\n{_table(('', *numbers), covers)}",
        f'## Verdict "falls" by scenario, %\n\n{_table(("", "true fall", *numbers), turns)}',
    ]


def _verdicts(ours: pd.DataFrame) -> str:
    Q = min(set(ours["queries"]), key=lambda number: abs(np.log(number / 100)))
    lines = []
    for name, part in ours[ours["queries"] == Q].groupby("scenario", sort=False):
        m = merit(part)
        shares = [f"{100 * (part['verdict'] == verdict).mean():.0f}" for verdict in VERDICTS]
        bias = _plus_minus(m.bias, m.bias_error, sign="+")
        lines.append((str(name), bias, f"{m.width:.1f}", f"{100 * m.beyond.rate:.0f}", *shares))
    header = ("", "bias", "median width", "knee beyond", *VERDICTS)
    return f"{VERDICT.format(Q=Q)}\n\n{_table(header, lines)}"


def _pooled_cells(rows: pd.DataFrame) -> tuple[str, str, str, str]:
    """Return RMSE and coverage of the knees inside the grid, false turnovers and power."""
    knees, null, fall = inside(rows), tagged(rows, "null"), tagged(rows, "fall")
    near, flat, deep = (merit(part) if len(part) else None for part in (knees, null, fall))
    return (
        _rmse(near) if near else "",
        str(near.coverage or "none") if near else "",
        str(flat.falls or "none") if flat else "",
        str(deep.falls or "none") if deep else "",
    )


def _groups(rows: pd.DataFrame, by: list[str]) -> list[tuple[Any, pd.DataFrame]]:
    """Return groups in order of number, methods in that of COLOURS."""
    methods = list(COLOURS)

    def place(group: tuple[Any, pd.DataFrame]) -> list[int]:
        return [methods.index(key) if isinstance(key, str) else key for key in group[0]]

    return sorted(rows.groupby(by), key=place)


def _values(column: pd.Series) -> list[int]:
    return sorted(set(column))


def _rmse(m: Merit) -> str:
    return _plus_minus(m.rmse, m.rmse_error)


def _plus_minus(value: float, error: float, sign: str = "") -> str:
    return f"{value:{sign}.2f} \u00b1 {error:.2f}"


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@rc_context(STYLE)
def truth_figure(rows: pd.DataFrame, delta: float) -> Figure:
    """Draw the true curve of each scenario in `rows`, its budgets as dots, its knee as a ring."""
    shown = [s for s in scenarios() if s.name in set(rows["scenario"])]
    columns = 7
    lines = -(-len(shown) // columns)
    left, right, top, bottom, gap, between, high = 0.62, 0.12, 0.85, 0.58, 0.16, 0.34, 0.95
    wide = (WIDE - left - right - gap * (columns - 1)) / columns
    height = top + lines * high + (lines - 1) * between + bottom
    figure = _sheet("True curves, with the knee of each", WIDE, height)
    for i, scenario in enumerate(shown):
        row, column = divmod(i, columns)
        corner = left + column * (wide + gap), bottom + (lines - 1 - row) * (high + between)
        axes = _axes(figure, *corner, wide, high)
        _true_curve(axes, scenario, delta)
        axes.set_title(scenario.name, loc="left", fontsize=8.5, fontweight="bold", pad=5)
        axes.tick_params(labelleft=column == 0, labelbottom=i + columns >= len(shown), labelsize=8)
        if column == row == 0:
            axes.set_ylabel("accuracy, %", labelpad=5, fontsize=8.5)
        if column == 0 and row == lines - 1:
            axes.set_xlabel("doublings of spend", labelpad=5, fontsize=8.5, loc="left")
    _key(figure, [("o", PAPER, "knee"), (">", INK, "beyond the grid")])
    return figure


def _true_curve(axes: Axes, scenario: Scenario, delta: float) -> None:
    end = float(scenario.x[-1])
    knee = scenario.knee(delta)
    fine = np.linspace(0.0, end, 400)
    axes.plot(fine, 100 * scenario.truth(fine), color=COLOURS[OURS], lw=1.6)
    axes.plot(scenario.x, 100 * scenario.truth(scenario.x), "o", color=COLOURS[OURS], ms=2.8)
    mark, face = (">", INK) if knee >= end else ("o", PAPER)
    place = [knee], [100 * float(scenario.truth(knee))]
    axes.plot(*place, mark, color=INK, mfc=face, ms=6, mew=1.4, zorder=5, clip_on=False)
    axes.set_xlim(-0.4, 7.4)
    axes.set_ylim(-3, 105)
    axes.set_xticks([0, 2, 4, 6])
    axes.set_yticks([0, 50, 100])
    axes.grid(color=GRID, lw=0.6)


@rc_context(STYLE)
def rmse_figure(rows: pd.DataFrame) -> Figure:
    """Draw the RMSE of the knees inside the grid against queries, a line a method."""
    figure = _sheet("Error of the knee", WIDTH, 4.4)
    axes = _axes(figure, 0.75, 0.62, WIDTH - 2.15, 3.15)
    ends = {}
    for method, numbers, merits in _per_method(inside(rows)):
        value = np.array([m.rmse for m in merits])
        error = 1.96 * np.array([m.rmse_error for m in merits])
        _series(axes, numbers, value, (value - error, value + error), COLOURS[method])
        ends[method] = float(value[-1])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("RMSE of knees inside the grid, doublings", labelpad=7)
    _query_axis(axes, rows)
    _end_names(axes, ends)
    return figure


@rc_context(STYLE)
def coverage_figure(rows: pd.DataFrame) -> Figure:
    """Draw the coverage of the 95 % intervals against queries, a line a method that has one."""
    figure = _sheet("Coverage of the 95 % interval", WIDTH, 4.4)
    axes = _axes(figure, 0.75, 0.62, WIDTH - 2.15, 3.15)
    ends = {}
    for method, numbers, merits in _per_method(inside(rows)):
        shares = [m.coverage for m in merits if m.coverage]
        if shares:
            rate = 100 * np.array([share.rate for share in shares])
            low, high = 100 * np.array([share.interval for share in shares]).T
            _series(axes, numbers, rate, (low, high), COLOURS[method])
            ends[method] = float(rate[-1])
    axes.axhline(95, color=INK, lw=0.9, ls=DASHES, zorder=1)
    axes.set_ylim(min(40.0, axes.get_ylim()[0]), 102)
    axes.set_ylabel("knees inside the grid that it covers, %", labelpad=7)
    _query_axis(axes, rows)
    _end_names(axes, ends)
    return figure


@rc_context(STYLE)
def turnover_figure(rows: pd.DataFrame) -> Figure:
    """Draw power against the depth of the true fall, and false turnovers a null scenario."""
    ours = rows[rows["method"] == OURS]
    null, fall = tagged(ours, "null"), tagged(ours, "fall")
    names = list(dict.fromkeys(null["scenario"]))
    numbers = _values(ours["queries"])
    high = max(3.0, 0.24 * len(names))
    figure = _sheet('The verdict "falls"', WIDE, high + 1.55)
    power = _axes(figure, 0.75, 0.62, 4.1, high)
    alarms = _axes(figure, 6.75, 0.62, WIDE - 6.95, high)
    shades = dict(zip(numbers, _shades(len(numbers)), strict=True))
    for i, (Q, shade) in enumerate(shades.items()):
        aside = i - (len(numbers) - 1) / 2
        for _, part in fall[fall["queries"] == Q].groupby("scenario"):
            _dot(power, part, float(part["depth"].iloc[0]) + 0.12 * aside, shade, across=False)
        for name, part in null[null["queries"] == Q].groupby("scenario"):
            _dot(alarms, part, names.index(str(name)) + 0.17 * aside, shade, across=True)
    power.axhline(100 * POWER_BAR, color=INK, lw=0.9, ls=DASHES, zorder=1)
    power.set_ylim(-3, 103)
    power.set_xlim(left=0)
    power.grid(color=GRID, lw=0.6)
    power.set_xlabel("true fall, points", labelpad=6)
    power.set_ylabel("datasets called falling, %", labelpad=7)
    power.set_title("Power", loc="left", fontsize=10, fontweight="bold", pad=8)
    alarms.axvline(100 * ALARM_BAR, color=INK, lw=0.9, ls=DASHES, zorder=1)
    alarms.set_ylim(len(names) - 0.4, -0.6)
    alarms.set_xlim(left=-0.2)
    alarms.set_yticks(range(len(names)), names)
    alarms.grid(axis="x", color=GRID, lw=0.6)
    alarms.set_xlabel("datasets called falling, %", labelpad=6)
    alarms.set_title("False turnovers", loc="left", fontsize=10, fontweight="bold", pad=8)
    alarms.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _key(figure, [("o", shade, f"{Q} queries") for Q, shade in shades.items()])
    return figure


@rc_context(STYLE)
def calibration_figure(rows: pd.DataFrame) -> Figure:
    """Draw how often the truth falls against P(fall), in ten ranges of it."""
    ours = rows[rows["method"] == OURS]
    tenth = np.minimum(ours["p_fall"] * 10, 9).astype(int)
    figure = _sheet("Calibration of P(fall)", 5.0, 4.6)
    axes = _axes(figure, 0.75, 0.62, 3.7, 3.35)
    axes.plot([0, 100], [0, 100], color=INK, lw=0.9, ls=DASHES, zorder=1)
    for _, part in ours.groupby(tenth):
        share = Share(int((part["depth"] > 100 * FALL_MARGIN).sum()), len(part))
        at = 100 * float(part["p_fall"].mean())
        low, high = share.interval
        axes.vlines(at, 100 * low, 100 * high, color=COLOURS[OURS], lw=1.3)
        axes.plot([at], [100 * share.rate], "o", color=COLOURS[OURS], ms=5)
        axes.annotate(
            f"{len(part):,}", (at, 100 * share.rate), xytext=(6, -3), textcoords="offset points",
            fontsize=8, color=QUIET, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.grid(color=GRID, lw=0.6)
    axes.set_xlabel("P(fall) that was printed, %", labelpad=6)
    axes.set_ylabel("truth falls, % of datasets", labelpad=7)
    return figure


def _per_method(rows: pd.DataFrame) -> Iterator[tuple[str, list[int], list[Merit]]]:
    for (method,), part in _groups(rows, ["method"]):
        numbers = _values(part["queries"])
        yield method, numbers, [merit(part[part["queries"] == Q]) for Q in numbers]


def _series(
    axes: Axes, numbers: Sequence[int], value: Array, ends: tuple[Array, Array], colour: str
) -> None:
    axes.plot(numbers, value, "o-", color=colour, lw=2.0, ms=4.5, zorder=3)
    axes.vlines(numbers, *ends, color=colour, lw=1.2, zorder=2)


def _dot(axes: Axes, part: pd.DataFrame, place: float, colour: str, *, across: bool) -> None:
    """Draw the share of "falls" with its interval, along x or along y."""
    share = called(part)
    low, high = share.interval
    lines, at = (
        (axes.hlines, (100 * share.rate, place))
        if across
        else (axes.vlines, (place, 100 * share.rate))
    )
    lines(place, 100 * low, 100 * high, color=colour, lw=1.3, zorder=2)
    axes.plot(*([c] for c in at), "o", color=colour, ms=4, zorder=3)


def _query_axis(axes: Axes, rows: pd.DataFrame) -> None:
    numbers = _values(rows["queries"])
    axes.set_xscale("log")
    axes.set_xlim(numbers[0] / 1.15, numbers[-1] * 1.15)
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color=GRID, lw=0.6)
    axes.set_xlabel("queries", labelpad=6)


def _end_names(axes: Axes, ends: Mapping[str, float]) -> None:
    """Write each line's name at its right end, none over another."""
    into = axes.transData + axes.transAxes.inverted()
    heights = [into.transform((1.0, value))[1] for value in ends.values()]
    for (method, _), here, y in zip(ends.items(), heights, spread(heights, 0.06), strict=True):
        colour = COLOURS[method]
        line: dict[str, Any] = {"color": colour, "lw": 0.8, "ls": DOTS, "clip_on": False}
        axes.plot([1.0, 1.02], [here, y], transform=axes.transAxes, **line)
        axes.text(
            1.03, y, method, transform=axes.transAxes, color=colour, fontweight="bold",
            va="center_baseline",
        )  # fmt: skip


def _shades(n: int) -> list[str]:
    """Return n blues, the darkest last."""
    light, dark = np.array([0xA5, 0xD3, 0xE6]), np.array([0x16, 0x2B, 0x52])
    mixes = [dark + (light - dark) * i / max(n - 1, 1) for i in reversed(range(n))]
    return ["#" + "".join(f"{round(c):02x}" for c in mix) for mix in mixes]


def _key(figure: Figure, items: Sequence[tuple[str, str, str]]) -> None:
    """Write (mark, face, meaning) in a line at the top right."""
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker=mark,
            color=INK if face == PAPER else face,
            mfc=face,
            ms=5.5,
            label=label,
        )
        for mark, face, label in items
    ]
    figure.legend(
        handles=handles, loc="upper right", ncols=len(items), frameon=False, labelcolor=QUIET,
        handletextpad=0.1, columnspacing=1.1, borderaxespad=0.4, fontsize=9,
    )  # fmt: skip


def _sheet(title: str, width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    figure.text(0.12 / width, 1 - 0.2 / height, title, fontsize=12.5, fontweight="bold", va="top")
    return figure


def _axes(figure: Figure, left: float, bottom: float, wide: float, high: float) -> Axes:
    """Return bare axes at a place in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    return axes
