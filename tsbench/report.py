"""tsbench report: a fitted run folder as one page that opens offline, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from tsbench import manifest, plots, route_page, words
from tsbench.cells import ALL
from tsbench.compositions import Grid, grids, leading
from tsbench.cost import Price, remembered
from tsbench.findings import Pick, converted, delta, headline, pick, support
from tsbench.heatmap import heatmap
from tsbench.judge_tables import graded_note, headroom_table, judges_table, rates_table
from tsbench.markup import facts, figure, heading, items, number, page, slug, table, td, text, th
from tsbench.thinking_tables import compliance_table, grid_table
from tsbench.thought import thought

CSS = Path(__file__).with_name("report.css")
LABELS = ("task_class", "stratum", "model", "strategy")
NEEDED: Mapping[str, tuple[str, ...]] = {
    "curves.parquet": (*LABELS, "budget", "accuracy", "low", "high", "n_problems"),
    "knees.parquet": (
        *(*LABELS, "axis", "rule", "knee", "low", "high", "verdict", "knee_budget", "chosen"),
        *("accuracy_at_knee", "peak", "peak_accuracy", "p_turnover", "p_beyond", "gain_left"),
        *("half_delta", "double_delta", "n_problems", "family", "params", "flags"),
    ),
}
SAMPLES = [
    *("task_class", "model", "kind", "verifier", "partial", "status"),
    *("prompt_tokens", "cached_tokens", "completion_tokens"),
]
GRADING = ("grade", "baseline")
"""Kinds of replies that were asked for to grade others."""
SIMULATED = "simulated model"
COMPARED = ["strategy", "against", "difference in points", "verdict"]
SPEND = (
    "At equal spend, on the same problems: each strategy against majority vote and best-of-n by "
    "its own verifier or, where neither was run, every best-of-n. Between two of its budgets the "
    "rival tosses a coin for each problem, so that it spends as much. Shown is the largest budget "
    "that the rival can match."
)
BUDGET = (
    "At equal budget, on the same problems: the same number of draws, and what they cost. What "
    "stops early without losing accuracy saves the rest of the rival\u2019s spend."
)

Drawn = dict[str, tuple[Figure, str]]


@dataclass(frozen=True)
class Report:
    """Write `report.html` and `figures/*.png` into the run folder `run`, from what fit left there.

    Raises ValueError where curves.parquet or knees.parquet is absent, empty or lacks a column.
    """

    run: str

    def __call__(self) -> Path:
        """Write the figures and the page; return the page's path."""
        run = read(Path(self.run))
        drawn = figures(run)
        folder = run.folder / "figures"
        folder.mkdir(exist_ok=True)
        for name, (image, _) in drawn.items():
            (folder / f"{name}.png").write_bytes(plots.png(image))
        path = run.folder / "report.html"
        path.write_text(write(run, drawn), encoding="utf-8")
        return path


@dataclass(frozen=True)
class Part:
    """One class of one model: its title, and what its figures' names begin with."""

    title: str
    model: str
    task_class: str
    stem: str


@dataclass(frozen=True)
class Run:
    """What a run folder holds; the optional tables are None and `manifest` empty if it has none."""

    folder: Path
    curves: pd.DataFrame
    knees: pd.DataFrame
    matches: pd.DataFrame | None
    flips: pd.DataFrame | None
    verifiers: pd.DataFrame | None
    roc: pd.DataFrame | None
    compliance: pd.DataFrame | None
    compositions: pd.DataFrame | None
    routes: pd.DataFrame | None
    difficulty: pd.DataFrame | None
    reliability: pd.DataFrame | None
    limits: pd.DataFrame | None
    predictions: pd.DataFrame | None
    headroom: pd.DataFrame | None
    judges: pd.DataFrame | None
    judgements: pd.DataFrame | None
    samples: pd.DataFrame | None
    manifest: Mapping[str, Any]

    @property
    def axes(self) -> list[str]:
        """The axes that knees were located on; the first is the page's main one."""
        return list(dict.fromkeys(self.knees["axis"]))

    @property
    def models(self) -> list[str]:
        """The models, in order of appearance."""
        return list(dict.fromkeys(self.curves["model"]))

    @property
    def simulated(self) -> bool:
        """Whether any reply came from a simulated model."""
        served = [str(m.get("endpoint", "")) for m in self.manifest.get("models", {}).values()]
        jobs = self.manifest.get("jobs", {}).values()
        classes = [str(job.get("model", {}).get("class", "")) for job in jobs]
        return any(name.lower().startswith("simulated") for name in (*served, *classes))

    def stem(self, model: str) -> str:
        """Return what the names of a model's figures begin with; nothing for the only model."""
        return f"{slug(model)}-" if len(self.models) > 1 else ""

    def title(self, model: str, task_class: str) -> str:
        """Return a part's title; the only model is not named."""
        return f"{task_class}, {model}" if len(self.models) > 1 else task_class

    def parts(self) -> list[Part]:
        """Return the classes of every model."""
        pairs = dict.fromkeys(zip(self.curves["model"], self.curves["task_class"], strict=True))
        return [Part(self.title(m, c), m, c, self.stem(m) + slug(c)) for m, c in pairs]

    def of(self, model: str, task_class: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the curves and the knees of one model, or of one of its classes."""
        tables = [table[table["model"] == model] for table in (self.curves, self.knees)]
        if task_class is not None:
            tables = [table[table["task_class"] == task_class] for table in tables]
        return tables[0], tables[1]


def read(folder: Path) -> Run:
    """Read a run folder; ValueError names a missing file and the command that makes it."""
    again = f"`tsbench fit run={folder}` makes it"
    tables = {}
    for name, columns in NEEDED.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"run: {path} is missing; {again}")
        tables[name] = pd.read_parquet(path)
        for column in columns:
            if column not in tables[name]:
                raise ValueError(f"run: {path} has no column {column!r}; {again}")
        if tables[name].empty:
            raise ValueError(f"run: {path} has no row; {again}")
    curves, knees = tables.values()
    known = set(curves[["model", "task_class", "strategy"]].itertuples(index=False, name=None))
    for row in knees[["model", "task_class", "chosen"]].itertuples(index=False, name=None):
        if row not in known:
            raise ValueError(
                f"run: {folder}/knees.parquet has {row[2]!r} for {row[1]}, which curves.parquet "
                f"has not; `tsbench fit run={folder}` makes both"
            )
    return Run(
        folder,
        curves.assign(stratum=curves["stratum"].fillna(ALL)),
        knees.assign(stratum=knees["stratum"].fillna(ALL)),
        optional(folder / "matches.parquet"),
        optional(folder / "flips.parquet"),
        optional(folder / "verifiers.parquet"),
        optional(folder / "roc.parquet"),
        optional(folder / "compliance.parquet"),
        optional(folder / "compositions.parquet"),
        optional(folder / "routes.parquet"),
        optional(folder / "difficulty.parquet"),
        optional(folder / "reliability.parquet"),
        optional(folder / "limits.parquet"),
        optional(folder / "predictions.parquet"),
        optional(folder / "headroom.parquet"),
        optional(folder / "judges.parquet"),
        optional(folder / "judgements.parquet"),
        samples(folder / "samples"),
        manifest.read(folder),
    )


def optional(path: Path) -> pd.DataFrame | None:
    """Read a table, None where it is not there."""
    return pd.read_parquet(path) if path.is_file() else None


def samples(folder: Path) -> pd.DataFrame | None:
    """Read the columns of the samples that are counted, None where the folder holds none."""
    parts = [counted(path) for path in sorted(folder.glob("part-*.parquet"))]
    return pd.concat(parts, ignore_index=True).reindex(columns=SAMPLES) if parts else None


def counted(path: Path) -> pd.DataFrame:
    """Read the columns of one part that are counted; ValueError where it is damaged."""
    try:
        names = pq.read_schema(path).names
        return pd.read_parquet(path, columns=[name for name in SAMPLES if name in names])
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a parquet file that can be read.") from error


def figures(run: Run) -> Drawn:
    """Return every figure of the report by file name, with its description in words."""
    drawn: Drawn = {}
    note, main = SIMULATED if run.simulated else "", run.axes[0]
    for model in run.models:
        curves, knees = run.of(model)
        led = leading(curves, knees, main)
        drawn[f"{run.stem(model)}overview"] = (
            plots.overview(led, knees, main, note=note),
            "Accuracy against compute for every class, with knees as rings",
        )
        lost = plots.missing(curves, note=note)
        if lost is not None:
            drawn[f"{run.stem(model)}missing"] = (lost, "Draws without a usable answer")
    for part in run.parts():
        curves, knees = run.of(part.model, part.task_class)
        for key, (grid, best) in grid_parts(run, part).items():
            drawn[key] = (
                heatmap(grid, best, part.task_class, main, note=note),
                f"{part.title}: {words.grid(grid.selector, grid.kind)}, by thinking budget and "
                "parallel draws",
            )
        curves = leading(curves, knees, main)
        for axis in run.axes:
            if axis in set(knees["axis"]):
                drawn[f"{part.stem}-{axis}"] = (
                    plots.curve(curves, knees, part.task_class, axis, note=note),
                    f"{part.title}: accuracy against {words.AXES[axis].label}",
                )
        levels = curves[curves["stratum"].fillna(ALL) != ALL].groupby(["stratum", "strategy"])[main]
        if any(len(spend) > 1 and (spend > 0).all() for _, spend in levels):
            drawn[f"{part.stem}-difficulty"] = (
                plots.strata(curves, knees, part.task_class, main, note=note),
                f"{part.title}: accuracy by difficulty against {words.AXES[main].label}",
            )
        if run.roc is not None and run.verifiers is not None:
            curve, found = (t[t["model"] == part.model] for t in (run.roc, run.verifiers))
            if part.task_class in set(curve["task_class"]):
                drawn[f"{part.stem}-verifiers"] = (
                    plots.roc(curve, found, part.task_class, note=note),
                    f"{part.title}: how verifiers tell right draws from wrong ones",
                )
        drawn |= route_page.figures(routed(run, part), part.title, part.stem, note)
        rows = of_part(run.headroom, part)
        if rows["capture"].notna().any():
            drawn[f"{part.stem}-headroom"] = (
                plots.captures(rows, part.task_class, note=note),
                f"{part.title}: how much of the headroom selection converts, by draws",
            )
    return drawn


def of_part(table: pd.DataFrame | None, part: Part) -> pd.DataFrame:
    """Return the rows of one class of one model, none of a table that is not there."""
    if table is None:
        return pd.DataFrame(columns=["capture"], dtype=float)
    return table[(table["model"] == part.model) & (table["task_class"] == part.task_class)]


def routed(run: Run, part: Part) -> dict[str, pd.DataFrame]:
    """Return the router's tables of a class, by name; nothing where none was fitted."""
    tables = {"routes": run.routes, "difficulty": run.difficulty}
    tables |= {"reliability": run.reliability, "limits": run.limits}
    tables |= {"predictions": run.predictions}
    mine = {name: of_part(table, part) for name, table in tables.items()}
    return {name: rows for name, rows in mine.items() if len(rows)}


def grid_parts(run: Run, part: Part) -> dict[str, tuple[Grid, pd.DataFrame]]:
    """Return a class's grids of thinking budget and draws, with their best cells, by figure."""
    if run.compositions is None:
        return {}
    mine = (run.compositions["model"] == part.model) & (
        run.compositions["task_class"] == part.task_class
    )
    kinds = run.compositions[mine].groupby(["selector", "kind"], sort=False)
    best = {(str(s), str(k)): rows for (s, k), rows in kinds}
    curves, _ = run.of(part.model, part.task_class)
    return {
        f"{part.stem}-grid-{slug(grid.selector)}-{grid.kind}": (grid, best[names])
        for grid in grids(curves, run.axes[0])
        if (names := (grid.selector, grid.kind)) in best
    }


def write(run: Run, drawn: Drawn) -> str:
    """Return the whole page as HTML."""
    images = {name: plots.svg(image, said) for name, (image, said) in drawn.items()}
    title = f"Where more compute stops paying: {', '.join(run.models)}"
    chosen = {
        part.title: pick(*run.of(part.model), part.task_class, run.axes[0]) for part in run.parts()
    }
    links = [*chosen, "Data quality", "Cost", "How it was run", "How to read this"]
    name = run.folder.name if run.folder.is_absolute() else str(run.folder)
    body = [
        "<header>",
        f"<h1>{text(title)}</h1>",
        f'<p class="quiet">{text(summary(run))}</p>',
        simulated() if run.simulated else "",
        "<nav>" + " ".join(f'<a href="#{slug(k)}">{text(k)}</a>' for k in links) + "</nav>",
        "</header>",
        "<main>",
        answers(run, chosen),
        *(
            figure(
                images[f"{run.stem(model)}overview"],
                "A ring marks the knee of a strategy. Dashes are oracle coverage (pass@k), an "
                "estimate that no one can deploy. Bands and intervals are with each class below."
                + led_note(run, *run.of(model)),
            )
            for model in run.models
        ),
        usage({t: found for t, found in chosen.items() if found and not found.ignored}, run.axes),
        *(section(run, part, images) for part in run.parts()),
        quality(run, [svg for name, svg in images.items() if name.endswith("missing")]),
        totals(run),
        made(run),
        reading(delta(run.knees.iloc[0])),
        "</main>",
        f'<footer class="quiet">Made by tsbench from {text(name)}; the figures are in its folder '
        "figures, too.</footer>",
    ]
    return page(title, CSS.read_text(encoding="utf-8"), body)


def simulated() -> str:
    """Return what a page of a simulated model must say."""
    return (
        f'<p class="simulated">{SIMULATED.capitalize()}: the replies were made up to a known '
        "truth. No figure here is about a language model.</p>"
    )


def summary(run: Run) -> str:
    """Return how much was run, and when."""
    whole = run.curves[run.curves["stratum"] == ALL]
    count = int(whole.groupby(["model", "task_class"])["n_problems"].max().sum())
    classes = len(run.parts())
    said = [f"{count:,} problems in {classes} class{'es' if classes > 1 else ''}"]
    if run.samples is not None:
        graded = run.samples["kind"].isin(GRADING).sum()
        said.append(f"{len(run.samples) - graded:,} replies")
        said += [f"{graded:,} calls that graded"] if graded else []
    if run.manifest.get("calls"):
        said.append(moment(run.manifest["calls"][0]["started"]))
    return " \u00b7 ".join(said)


def answers(run: Run, chosen: Mapping[str, Pick | None]) -> str:
    """Return the headline of each class, with what it rests on."""
    said = []
    parts = {part.title: part for part in run.parts()}
    for title, found in chosen.items():
        if found is None:
            verdict, line, rests = "", "No deployable strategy was run.", ""
        else:
            verdict, line = words.verdict(found.row["verdict"]), headline(found)
            rest = f"{support(found)} {converted(found, of_part(run.headroom, parts[title]))}"
            rests = f'<p class="quiet">{text(rest.strip())}</p>'
        said.append(
            f"<dt>{text(title)}<small>{text(verdict)}</small></dt>"
            f"<dd><p>{text(line)}</p>{rests}</dd>"
        )
    return f'<dl class="answers">{"".join(said)}</dl>'


def usage(chosen: Mapping[str, Pick], axes: Sequence[str]) -> str:
    """Return the table of what to use."""
    rows = []
    for title, found in chosen.items():
        here = found.here
        left = words.given(found.row["gain_left"])
        gap = None if found.oracle is None else found.oracle - here["accuracy"]
        band = f"{100 * here['low']:.0f} to {100 * here['high']:.0f}{words.NARROW}%"
        rows.append(
            [
                th(title),
                td(words.name(found.strategy), found.budget),
                td(words.percent(here["accuracy"]), band),
                *(number(words.quantity(words.given(here[a]), a)) for a in axes),
                number("unknown" if left is None else words.points(left)),
                number("not run" if gap is None else words.points(gap)),
            ]
        )
    spends = [words.AXES[axis].unit for axis in axes]
    caption = (
        "The deployable strategy and budget at each class's knee, or at the largest budget where "
        "the knee lies beyond. Accuracy with its 95 % band; spend is the mean of a problem. Left "
        "to peak: what the best budget tried would add. Left to oracle: what perfect selection "
        "among draws of the same spend would add."
    )
    head = ["class", "use", "accuracy", *spends, "left to peak", "left to oracle"]
    return heading("What to use", "What to use") + table(caption, head, rows, len(axes) + 2)


def section(run: Run, part: Part, images: Mapping[str, str]) -> str:
    """Return a class: its figures and the knees of all its strategies."""
    curves, knees = run.of(part.model, part.task_class)
    main = run.axes[0]
    judged = len(of_part(run.judges, part)) > 0
    count = int(curves.loc[curves["stratum"] == ALL, "n_problems"].max())
    captions = {
        axis: f"The same accuracies against {words.AXES[axis].label}"
        + (" (G is 10\u2079, T is 10\u00b9\u00b2)." if axis == "flops" else ".")
        for axis in run.axes
    }
    captions[main] = (
        f"Mean accuracy over {count:,} problems, with bands that hold for all budgets of a line at "
        "once (95 %). Rings are knees. The strip below gives their 95 % intervals; an arrow is an "
        "end that the smallest or largest budget cuts off."
    ) + led_note(run, curves, knees)
    captions["difficulty"] = (
        "The same problems by difficulty, a line a level: a class's mean can hide a level that "
        "falls. Few problems make a level, so read the shapes and not the wiggles."
    )
    captions["verifiers"] = (
        "The share of right draws that each verifier accepts against that of wrong ones, at every "
        "threshold; a ring is the one that tells most. Within problems is what best-of-n lives on."
    )
    captions["headroom"] = (
        "The share of the headroom that each selector converts: from one draw (0) to the best of "
        "the draws (100). Bands are 95 % intervals, number by number, over problems"
        + ("; dashes are against a best that other verdicts chose." if judged else ".")
    )
    order = [main, *run.axes[1:], "headroom", "difficulty", "verifiers"]
    shown = {key: f"{part.stem}-{key}" for key in order if f"{part.stem}-{key}" in images}
    drawn = {key: figure(images[name], captions[key]) for key, name in shown.items()}
    return "\n".join(
        [
            heading(part.title, part.title),
            f"<p>{text(graded_note(of_part(run.judges, part)))}</p>" if judged else "",
            drawn.pop(main, ""),
            knees_table(run, part),
            strategies_table(run, part),
            *drawn.values(),
            *(
                figure(images[key], grid_caption(grid)) + grid_table(best)
                for key, (grid, best) in grid_parts(run, part).items()
            ),
            thinking_table(run, part),
            *grade_tables(run, part),
            matches_tables(run, part),
            verifiers_table(run, part),
            levels_table(run, part),
            flips_table(run, part),
            route_page.section(routed(run, part), part.stem, images),
        ]
    )


def led_note(run: Run, curves: pd.DataFrame, knees: pd.DataFrame) -> str:
    """Return what a caption says where lines of grids are left out."""
    if len(leading(curves, knees, run.axes[0])) == len(curves):
        return ""
    return (
        " Of thinking budgets before parallel draws only the lines of the one with the best cell "
        "are drawn; the heat maps have all."
    )


def grid_caption(grid: Grid) -> str:
    """Return how to read a heat map."""
    what = words.grid(grid.selector, grid.kind)
    oracle = " It cannot be deployed." if grid.selector.startswith(words.ORACLE) else ""
    return (
        f"{what[0].upper()}{what[1:]}: mean accuracy in %. A line is where a problem costs that "
        "much, by measured means, interpolated between cells; cells left of it and below cost "
        "less. A frame is the most accurate cell within the spends that stand in it, chosen on the "
        f"problems that are shown, so it flatters: the table holds problems out.{oracle}"
    )


def thinking_table(run: Run, part: Part) -> str:
    """Return what was spent of each thinking budget; nothing where it is not known."""
    if run.compliance is None:
        return ""
    mine = run.compliance["model"] == part.model
    return compliance_table(
        run.compliance[mine & (run.compliance["task_class"] == part.task_class)]
    )


def grade_tables(run: Run, part: Part) -> list[str]:
    """Return what selection converts and, where a judge graded, what its grades are worth."""
    tables = (
        (headroom_table, run.headroom),
        (rates_table, run.judgements),
        (judges_table, run.judges),
    )
    found = [(write, of_part(rows, part)) for write, rows in tables]
    return [write(rows) for write, rows in found if len(rows)]


def knees_table(run: Run, part: Part) -> str:
    """Return every strategy's knee on every axis, what was flagged, and the fitted shapes."""
    curves, knees = run.of(part.model, part.task_class)
    curves, knees = curves[curves["stratum"] == ALL], knees[knees["stratum"] == ALL]
    main = run.axes[0]
    led = {words.FRONTIER, *leading(curves, knees, main)["strategy"]}
    knees = knees.sort_values("strategy", key=lambda s: s.map(by_thought), kind="stable")
    shapes: list[list[str]] = []
    shown: dict[bool, list[list[str]]] = {True: [], False: []}
    flagged: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    for strategy, part_rows in knees.groupby("strategy", sort=False):
        by_axis = {str(row["axis"]): row for _, row in part_rows.iterrows()}
        row = by_axis.get(main, part_rows.iloc[0])
        long, chosen = words.name(str(strategy)), str(row["chosen"])
        if row["flags"]:
            flagged[strategy in led].setdefault(str(row["flags"]), []).append(long)
        if words.given(row["peak"]) is None or main not in by_axis:
            continue
        below = f"{words.name(chosen)} at the knee" if strategy == words.FRONTIER else ""
        line = curves[curves["strategy"] == chosen]
        place = words.place(line, row, main)
        knee, _, interval = place.words(chosen).rpartition(" (")
        shown[strategy in led].append(
            [
                th(long, below),
                td(words.verdict(row["verdict"]), f"P(falls) {words.chance(row['p_turnover'])}"),
                td(knee, interval.removesuffix(")")),
                *(spend_cell(by_axis.get(axis), axis) for axis in run.axes),
                number(words.percent(row["accuracy_at_knee"])),
                number(words.percent(row["peak_accuracy"])),
            ]
        )
        shapes.append(
            [
                th(long),
                td(str(row["family"])),
                td(str(row["params"])),
                *(number(other(row[c], main)) for c in ("half_delta", "double_delta")),
            ]
        )
    spends = [words.AXES[axis].unit for axis in run.axes]
    head = ["strategy", "verdict", "knee, 95 % interval", *spends, "accuracy there", "at the peak"]
    caption = "Knees. Accuracies here are those of the fitted curve."
    step = words.points(delta(knees.iloc[0]) / 2), words.points(delta(knees.iloc[0]) * 2)
    more = table(
        "The likeliest single shape with its parameters (x in doublings of spend), and where the "
        f"knee would be, in {spends[0]}, if a doubling had to buy {step[0]} or {step[1]}.",
        ["strategy", "shape", "parameters", step[0], step[1]],
        shapes,
        2,
    )
    knees_of = {
        lead: table(caption, head, shown[lead], 2)
        + items(f"{', '.join(who)}: {flag}" for flag, who in flagged[lead].items())
        for lead in shown
    }
    others = "<details><summary>Knees of the other thinking budgets</summary>"
    return (
        knees_of[True]
        + (f"{others}{knees_of[False]}</details>" if shown[False] or flagged[False] else "")
        + f"<details><summary>Fitted shapes and other thresholds</summary>{more}</details>"
    )


def by_thought(strategy: str) -> float:
    """Return where a strategy stands in a table: after those without a smaller thinking budget."""
    first = thought(strategy)
    return first.budget if first else float("inf") if strategy == words.FRONTIER else -1.0


def strategies_table(run: Run, part: Part) -> str:
    """Return what each strategy reached at its smallest and at its best budget, and for what."""
    curves, _ = run.of(part.model, part.task_class)
    rows = []
    for strategy, line in curves[curves["stratum"] == ALL].groupby("strategy", sort=False):
        line = line.sort_values("budget")
        first, best = line.iloc[0], line.iloc[int(line["accuracy"].to_numpy().argmax())]
        band = f"{100 * best['low']:.0f} to {100 * best['high']:.0f}{words.NARROW}%"
        budgets = [words.budget(str(strategy), float(row["budget"])) for row in (first, best)]
        rows.append(
            [
                th(words.name(str(strategy))),
                td(words.percent(first["accuracy"]), budgets[0]),
                td(words.percent(best["accuracy"]), f"{band}, {budgets[1]}"),
                *(number(words.quantity(words.given(best[axis]), axis)) for axis in run.axes),
            ]
        )
    caption = (
        "Every strategy at its smallest budget, and at the one that did best with what that spent "
        "a problem. The best of several budgets flatters: read its band."
    )
    head = ["strategy", "smallest budget", "best", *(words.AXES[a].unit for a in run.axes)]
    return (
        "<details><summary>What every strategy reached</summary>"
        f"{table(caption, head, rows, len(run.axes))}</details>"
    )


def matches_tables(run: Run, part: Part) -> str:
    """Return a class's strategies against their rivals; nothing where none was compared."""
    if run.matches is None:
        return ""
    main = run.axes[0]
    mine = (run.matches["model"] == part.model) & (run.matches["task_class"] == part.task_class)
    rows = run.matches[mine & (run.matches["axis"] == main)]
    budget = rows[rows["matched"] == "budget"]
    spend = rows.drop(budget.index)
    shown = last(spend), last(budget)
    first = spend_table(shown[0], main, SPEND) + budget_table(shown[1], BUDGET)
    first += items(dict.fromkeys(flag for some in shown for flag in flagged(some)))
    if sum(map(len, shown)) == len(rows):
        return first
    every = spend_table(spend, main, "At equal spend.") + budget_table(budget, "At equal budget.")
    return f"{first}<details><summary>Comparisons at every budget</summary>{every}</details>"


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each pair's comparison at the largest budget, at equal spend where there is one."""
    order = rows.assign(equal=rows["matched"] != "largest").sort_values(["equal", "budget"])
    return order.drop_duplicates(["strategy", "rival"], keep="last").sort_index()


def flagged(rows: pd.DataFrame) -> list[str]:
    """Return what to know of comparisons before they are used."""
    return [
        f"{words.name(row['strategy'])} against {words.name(row['rival'])}: {row['flags']}"
        for _, row in rows[rows["flags"] != ""].iterrows()
    ]


def spend_table(rows: pd.DataFrame, axis: str, caption: str) -> str:
    """Return comparisons at equal spend; nothing for no rows."""
    lines = [
        [
            *compared(row),
            number(words.amount(row["spend"], axis)),
            *(number(words.percent(row[c], 1)) for c in ("accuracy", "rival_accuracy")),
        ]
        for _, row in rows.iterrows()
    ]
    head = [*COMPARED, words.AXES[axis].unit, "accuracy", "rival\u2019s"]
    return table(caption, head, lines, 3) if lines else ""


def budget_table(rows: pd.DataFrame, caption: str) -> str:
    """Return comparisons at equal budget with the share of the spend; nothing for no rows."""
    lines = [
        [
            *compared(row),
            td(words.percent(row["spend_ratio"]), span(row, "ratio", words.percent)),
            *(number(words.percent(row[c], 1)) for c in ("accuracy", "rival_accuracy")),
        ]
        for _, row in rows.iterrows()
    ]
    head = [*COMPARED, "of the rival\u2019s spend", "accuracy", "rival\u2019s"]
    return table(caption, head, lines, 2) if lines else ""


def compared(row: pd.Series) -> list[str]:
    """Return the cells that say who is compared with whom, and how it ends."""
    strategy, rival = str(row["strategy"]), str(row["rival"])
    draws = words.budget(rival, row["rival_budget"])
    if row["matched"] == "largest":
        draws += f", its most, at {words.percent(1 / row['spend_ratio'])} of the spend"
    elif row["rival_budget"] % 1:
        draws = f"{row['rival_budget']:.1f}{words.SPACE}draws on average"
    sure = row["all_low"] > 0 or row["all_high"] < 0
    return [
        th(words.name(strategy), words.budget(strategy, row["budget"])),
        td(words.name(rival), draws),
        td(words.change(row["difference"]), span(row, "", words.change)),
        td(row["verdict"], "in all rows at once" if sure else ""),
    ]


def span(row: pd.Series, of: str, said: Callable[[float], str]) -> str:
    """Return an interval in words, nothing where there is none."""
    low, high = (words.given(row[f"{of}_{end}".strip("_")]) for end in ("low", "high"))
    return "" if low is None or high is None else words.between(said(low), said(high))


def verifiers_table(run: Run, part: Part) -> str:
    """Return what each verifier of a class is worth; nothing where none judged."""
    if run.verifiers is None:
        return ""
    mine = (run.verifiers["model"] == part.model) & (run.verifiers["task_class"] == part.task_class)
    rows = []
    for _, row in run.verifiers[mine].iterrows():
        areas = [td(*words.area(row, name)) for name in ("auc", "auc_within")]
        shares = ("true_accept", "false_accept", "single", "ceiling_within", "reached")
        cells = [number(share(row[name])) for name in shares]
        name = words.verifier(str(row["verifier"]))
        scored = f"{int(row['n_draws']):,} draws, {int(row['missing']):,} without a score"
        rows.append([th(name, scored), *areas, *cells, number(f"{row['n']:g}")])
    if not rows:
        return ""
    caption = (
        "Verifiers. AUC over all draws also rewards knowing easy problems from hard ones; within "
        "problems it is over draws of one problem. Accepts are at the threshold that tells most. "
        "The ceiling is the share of right draws among those accepted; a graded score can pass it, "
        "since best-of-n takes the best one."
    )
    head = ["verifier", "AUC", "within problems", "accepts right", "accepts wrong"]
    head += ["one draw", "ceiling", "best-of-n", "at n"]
    return table(caption, head, rows, 6)


def share(value: object) -> str:
    """Return a share as a percentage, "unknown" where it is."""
    number = words.given(value)
    return "unknown" if number is None else words.percent(number)


def levels_table(run: Run, part: Part) -> str:
    """Return the knees of every difficulty level; nothing where the class has no levels."""
    curves, knees = run.of(part.model, part.task_class)
    main = run.axes[0]
    fitted = knees["peak"].notna() & (knees["strategy"] != words.FRONTIER)
    rows = []
    for _, row in knees[(knees["stratum"] != ALL) & (knees["axis"] == main) & fitted].iterrows():
        strategy = str(row["strategy"])
        line = curves[(curves["strategy"] == strategy) & (curves["stratum"] == row["stratum"])]
        knee, _, interval = words.place(line, row, main).words(strategy).rpartition(" (")
        ends = line.sort_values(main)["accuracy"]
        rows.append(
            [
                th(words.name(strategy), words.level(row["stratum"])),
                td(words.verdict(row["verdict"]), f"P(falls) {words.chance(row['p_turnover'])}"),
                td(knee, interval.removesuffix(")")),
                *(number(words.percent(value)) for value in (ends.iloc[0], row["peak_accuracy"])),
                number(words.percent(ends.iloc[-1])),
            ]
        )
    if not rows:
        return ""
    caption = (
        "Knees by difficulty. Thirds rank the problems on one half of their draws and are "
        "evaluated on the other, so no level is chosen by what it is judged on."
    )
    head = ["strategy and level", "verdict", "knee, 95 % interval", "first", "at the peak", "last"]
    return f"<details><summary>By difficulty</summary>{table(caption, head, rows, 3)}</details>"


def flips_table(run: Run, part: Part) -> str:
    """Return what each step in budget mends and spoils; nothing where no run is 0 or 1."""
    if run.flips is None:
        return ""
    mine = (run.flips["model"] == part.model) & (run.flips["task_class"] == part.task_class)
    rows = [
        [
            th(words.name(str(row["strategy"])), f"{row['before']:g} to {row['after']:g}"),
            *(number(f"{row[c]:,}") for c in ("wrong_to_right", "right_to_wrong", "n")),
            number("" if pd.isna(row["ratio"]) else f"{row['ratio']:.2g}"),
            number(words.chance(row["p_value"]).removeprefix(f"={words.SPACE}")),
        ]
        for _, row in run.flips[mine].iterrows()
    ]
    if not rows:
        return ""
    caption = (
        "Answers that a larger budget mends and spoils. Accuracy falls where the ratio of right to "
        "wrong over wrong to right is above 1; p is McNemar's, two-sided."
    )
    head = ["strategy and step", "mended", "spoiled", "runs", "ratio", "p"]
    return f"<details><summary>Flips</summary>{table(caption, head, rows, 5)}</details>"


def spend_cell(row: pd.Series | None, axis: str) -> str:
    """Return a knee and its interval in spend."""
    if row is None or words.given(row["peak"]) is None:
        return td("no fit")
    knee, low, high = (
        None if words.given(row[c]) is None else words.amount(float(row[c]), axis)
        for c in ("knee", "low", "high")
    )
    return td(knee or "beyond", words.between(low, high))


def other(value: object, axis: str) -> str:
    """Return the spend of a knee under another threshold."""
    spend = words.given(value)
    return "beyond" if spend is None else words.amount(spend, axis)


def quality(run: Run, images: Sequence[str]) -> str:
    """Return what is missing from the data: statuses of draws, and shares without an answer."""
    parts = [heading("Data quality", "Data quality")]
    if run.samples is None:
        parts.append("<p>The folder holds no samples, so their statuses cannot be counted.</p>")
    else:
        draws = run.samples[answer_draws(run.samples)]
        labels = [run.title(str(m), str(c)) for m, c in draws[["model", "task_class"]].to_numpy()]
        counts = pd.crosstab(pd.Series(labels, dtype=str), draws["status"].to_numpy())
        order = ["ok", *(str(c) for c in counts.columns if c != "ok")]
        counts = counts.reindex(columns=order, fill_value=0)
        rows = []
        for title, line in counts.iterrows():
            tally = [int(n) for n in line]
            cells = [number(f"{n:,}") for n in (sum(tally), *tally)]
            rows.append([th(str(title)), *cells, number(words.rate(1 - tally[0] / sum(tally)))])
        head = ["class", "draws", *(status.replace("_", " ") for status in order), "not ok"]
        caption = (
            "Draws by status. Errors and timeouts leave the pool; a draw that was truncated, "
            "unparsed or refused stays in it as a blank, which is not correct and does not vote."
        )
        parts.append(table(caption, head, rows, len(head) - 1))
    parts += [figure(svg, "Blank and capped draws, by class and strategy.") for svg in images]
    if not images:
        parts.append("<p>No strategy lost a draw to the length cap or to a missing answer.</p>")
    return "\n".join(parts)


def answer_draws(rows: pd.DataFrame) -> pd.Series:
    """Return which replies are draws that answer: no verifier calls, no steps of thought."""
    return (rows["kind"].fillna("draw") == "draw") & ~rows["partial"].eq(other=True)


def totals(run: Run) -> str:
    """Return what the whole run cost."""
    parts = [heading("Cost", "Cost")]
    if run.samples is None:
        return "\n".join([*parts, "<p>The folder holds no samples, so the cost is unknown.</p>"])
    known = prices(run)
    lines = {}
    graded = run.samples.assign(grading=run.samples["kind"].isin(GRADING))
    each = ["model", "task_class", "grading"]
    for (model, task_class, grading), asked in graded.groupby(each, sort=False):
        read, cached = asked["prompt_tokens"], asked["cached_tokens"].fillna(0)
        made = asked["completion_tokens"]
        by = [
            known.get(str(judge) if kind == "grade" else str(model), Price(None, None, None))
            for kind, judge in zip(asked["kind"], asked["verifier"], strict=True)
        ]
        flops, dollars = costs_of(by, read, cached, made)
        draws, judged = answer_draws(asked), asked["kind"].eq("judge")
        lines[run.title(str(model), str(task_class)) + (", grading" if grading else "")] = {
            "draws": draws.sum(),
            "steps of thought": 0 if grading else (~draws & ~judged).sum(),
            "verifier calls": judged.sum(),
            "judgements": asked["kind"].eq("grade").sum(),
            "baseline replies": asked["kind"].eq("baseline").sum(),
            "prompt tokens": read.sum(min_count=1),
            "of them cached": cached.sum(),
            "generated tokens": made.sum(min_count=1),
            "FLOPs": flops.sum(min_count=1),
            "dollars": dollars.sum(min_count=1),
            "not counted": made.isna().sum(),
        }
    costs = pd.DataFrame(lines).T.astype(float)
    costs = costs.loc[:, costs.fillna(0).any()]
    if len(costs) > 1:
        costs.loc["all"] = costs.sum(skipna=False)
    rows = [
        [th(str(title)), *(number(cost_cell(str(k), float(v))) for k, v in line.items())]
        for title, line in costs.iterrows()
    ]
    caption = (
        "What the run asked for, from its samples. Replies without a token count are in no sum."
    )
    if graded["grading"].any():
        caption += (
            " Grading is what the judge and the replies that it compares with cost: no strategy's "
            "spend."
        )
    parts.append(table(caption, ["class", *costs.columns], rows, len(costs.columns)))
    calls = run.manifest.get("calls", [])
    if calls:
        took = duration(sum(float(call["seconds"]) for call in calls))
        sweeps = f"{len(calls)} calls of the sweep" if len(calls) > 1 else "The sweep"
        parts.append(f"<p>{sweeps} took {text(took)}.</p>")
    return "\n".join(parts)


def costs_of(
    prices: Sequence[Price], read: pd.Series, cached: pd.Series, made: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """Return the FLOPs and the dollars of replies, each by its own price."""
    flops, dollars = (pd.Series(float("nan"), index=read.index) for _ in range(2))
    for price in dict.fromkeys(prices):
        mine = np.array([each == price for each in prices])
        flops[mine] = price.flops(read[mine], cached[mine], made[mine])
        dollars[mine] = price.dollars(read[mine], made[mine], cached[mine])
    return flops, dollars


def cost_cell(key: str, value: float) -> str:
    """Return a number of the cost table."""
    if pd.isna(value):
        return "unknown"
    if key == "FLOPs":
        return words.quantity(value, "flops", 3)
    return f"{value:,.2f}" if key == "dollars" else f"{value:,.0f}"


def prices(run: Run) -> dict[str, Price]:
    """Return each model's price as the run was configured, and each judge's by its name."""
    configs = [job.get("model", {}) for job in run.manifest.get("jobs", {}).values()]
    found = {}
    for name, served in run.manifest.get("models", {}).items():
        config: Mapping[str, Any] = next((c for c in configs if c.get("name") == name), {})
        found[str(name)] = remembered(served, config)
    for task in run.manifest.get("tasks", {}).values():
        if judge := task.get("judge"):
            served = run.manifest.get("judges", {}).get(judge["name"], {})
            found[judge["name"]] = remembered(served, judge)
    return found


def made(run: Run) -> str:
    """Return how the run was made: model, versions, seeds, settings."""
    parts = [heading("How it was run", "How it was run")]
    known = run.manifest
    if not known:
        return "\n".join([*parts, "<p>The folder holds no manifest.json.</p>"])
    said: list[tuple[str, object]] = []
    for name, served in known.get("models", {}).items():
        size = served.get("params")
        said.append(("model", name + (f", {words.human(size)} parameters" if size else "")))
        said.append(("endpoint", served.get("endpoint", "unknown")))
    calls = known.get("calls", [])
    said += [("started", moment(call["started"], clock=True)) for call in calls[:1]]
    said += [(key, known[key]) for key in ("command", "seed") if key in known]
    said.append(("knee", ", ".join(dict.fromkeys(run.knees["rule"]))))
    if known.get("sandbox"):
        said.append(("sandbox", line_of(known["sandbox"])))
    versions = {k: v for k, v in known.get("versions", {}).items() if v}
    said.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
    parts.append(facts(said))
    jobs = {label: manifest.flat(job) for label, job in known.get("jobs", {}).items()}
    if jobs:
        keys = next(iter(jobs.values()))
        same = {k: v for k, v in keys.items() if all(job.get(k, ...) == v for job in jobs.values())}
        own = {
            label: line_of({k: v for k, v in job.items() if k not in same})
            for label, job in jobs.items()
        }
        parts.append(
            "<details><summary>Settings</summary><h3>Shared by all jobs</h3>"
            f"{facts(same.items())}<h3>Of each job</h3>{facts(own.items())}</details>"
        )
    return "\n".join(parts)


def line_of(config: object) -> str:
    """Return a config in a line."""
    return ", ".join(f"{k} = {v}" if k else str(v) for k, v in manifest.flat(config).items())


def reading(step: float) -> str:
    """Return how to read the page."""
    little = words.points(step)
    lines = {
        "The knee": "is the spend that maximises accuracy minus "
        f"{little} for each doubling of spend. On a curve that flattens it is where one more "
        f"doubling starts to buy less than {little}; on curves that jump, stay flat or fall it is "
        "as well defined.",
        "Its interval": "covers, with 95 % probability, the knee that this model has on problems "
        "of this kind, averaged over the shapes that fit the curve. It says nothing of another "
        "model, prompt or kind of problem. Where it reaches the smallest or largest budget it is "
        "cut off there, and reads \u201c9 or more\u201d.",
        "Verdicts.": "Still rising: the knee lies beyond the largest budget with P \u2265 0.9. "
        "Flattens: with P \u2264 0.1. Falls: the fitted curve ends more than a point below its "
        "peak, and a test that looked at every budget has p < 0.05. Else these data cannot tell. "
        "\u201cFlattens\u201d does not exclude a small fall: read P(falls) beside it.",
        "Bands": "hold for all budgets of a line at once, and are over problems, not over draws.",
        "Oracle coverage": "(pass@k) counts a problem as solved when any of k draws is right: what "
        "perfect selection would reach. It is an estimate and cannot be deployed.",
        "Better and worse": "are differences whose 95 % interval, over the same problems, leaves "
        "out zero. \u201cCannot tell\u201d is not \u201cequal\u201d: read the interval. Each "
        "stands by itself, so of twenty comparisons without a difference one is said to have one; "
        "\u201cin all rows at once\u201d holds for all comparisons of the class together.",
        "The frontier": "is the best deployable strategy at each spend, chosen on one half of the "
        "problems and valued on the other. What to use is its choice at its knee.",
        "Spend": "is measured, not nominal: verifier calls and discarded draws count. FLOPs are "
        "two for each parameter and each token that was generated, or read and not cached.",
    }
    listed = "".join(f"<li><b>{text(k)}</b> {text(v)}</li>" for k, v in lines.items())
    return f"{heading('How to read this', 'How to read this')}<ul>{listed}</ul>"


def moment(seconds: float, *, clock: bool = False) -> str:
    """Return a time as a date, in UTC."""
    when = datetime.fromtimestamp(float(seconds), UTC)
    return f"{when.day} {when:%B %Y}" + (f", {when:%H:%M} UTC" if clock else "")


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{seconds:.0f}{words.SPACE}seconds"
    if seconds < 5400:
        return f"{seconds / 60:.1f}{words.SPACE}minutes"
    return f"{seconds / 3600:.1f}{words.SPACE}hours"
