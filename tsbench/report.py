"""tsbench report: a fitted run folder as one page that opens offline, and its figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from tsbench import manifest, plots, words
from tsbench.cost import Price

CSS = Path(__file__).with_name("report.css")
NEEDED: Mapping[str, tuple[str, ...]] = {
    "curves.parquet": ("task_class", "stratum", "model", "strategy", "budget", "accuracy", "low")
    + ("high", "n_problems"),
    "knees.parquet": ("task_class", "stratum", "model", "strategy", "axis", "rule", "knee", "low")
    + ("high", "verdict", "knee_budget", "peak", "peak_accuracy", "p_turnover", "gain_left")
    + ("n_problems", "n_samples", "family", "flags", "chosen"),
}
SAMPLES = ("task_class", "model", "kind", "partial", "verifier", "status", "prompt_tokens") + (
    "cached_tokens",
    "completion_tokens",
    "seconds",
)
ALL = "all"
SIMULATED = "simulated model"


@dataclass(frozen=True)
class Report:
    """Write `report.html` and `figures/*.png` into the run folder `run`, from what fit left there.

    Raises ValueError where curves.parquet or knees.parquet is absent or lacks a column.
    """

    run: str

    def __call__(self) -> Path:
        """Write the figures and the page; return the page's path."""
        found = read(Path(self.run))
        drawn = figures(found)
        folder = found.folder / "figures"
        folder.mkdir(exist_ok=True)
        for name, (figure, _) in drawn.items():
            (folder / f"{name}.png").write_bytes(plots.png(figure))
        path = found.folder / "report.html"
        path.write_text(page(found, drawn), encoding="utf-8")
        return path


@dataclass(frozen=True)
class Run:
    """What a run folder holds; `samples` is None and `manifest` empty where it holds none."""

    folder: Path
    curves: pd.DataFrame
    knees: pd.DataFrame
    samples: pd.DataFrame | None
    manifest: Mapping[str, Any]

    @property
    def axes(self) -> list[str]:
        """The axes that knees were located on, the first of them the page's main one."""
        return list(dict.fromkeys(self.knees["axis"]))

    @property
    def simulated(self) -> bool:
        """Whether any reply came from a simulated model."""
        served = [str(m.get("endpoint", "")) for m in self.manifest.get("models", {}).values()]
        jobs = [job.get("model", {}) for job in self.manifest.get("jobs", {}).values()]
        classes = [str(model.get("class", "")) for model in jobs]
        return any(name.lower().startswith("simulated") for name in (*served, *classes))

    @property
    def note(self) -> str:
        """What every figure must say."""
        return SIMULATED if self.simulated else ""

    def groups(self) -> list[tuple[str, str, str]]:
        """Return (name, model, class) of each part of the report; one model needs no naming."""
        pairs = list(
            dict.fromkeys(zip(self.curves["model"], self.curves["task_class"], strict=True))
        )
        several = self.curves["model"].nunique() > 1
        return [(f"{c}, {m}" if several else str(c), str(m), str(c)) for m, c in pairs]


@dataclass(frozen=True)
class Pick:
    """What to use for a class: the strategy and budget that the frontier has at its knee."""

    name: str
    strategy: str
    budget: float
    first: pd.Series
    at: pd.Series
    last: pd.Series
    oracle: float | None
    place: words.Place
    row: pd.Series

    @property
    def delta(self) -> float:
        """The accuracy that a doubling must buy."""
        return float(str(self.row["rule"]).partition("=")[2])


def read(folder: Path) -> Run:
    """Read a run folder; ValueError names the file that is missing and the command that makes it."""
    tables = {}
    for name, columns in NEEDED.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(
                f"run: {path} is missing; `tsbench fit run={folder}` makes it, after "
                f"`tsbench sweep run={folder}`"
            )
        tables[name] = pd.read_parquet(path)
        for column in columns:
            if column not in tables[name]:
                raise ValueError(
                    f"run: {path} has no column {column!r}; `tsbench fit run={folder}` makes it anew"
                )
        if tables[name].empty:
            raise ValueError(f"run: {path} has no row; `tsbench fit run={folder}` makes it anew")
    curves, knees = tables["curves.parquet"], tables["knees.parquet"]
    return Run(
        folder,
        curves.assign(stratum=curves["stratum"].fillna(ALL)),
        knees.assign(stratum=knees["stratum"].fillna(ALL)),
        samples(folder / "samples"),
        manifest.read(folder),
    )


def samples(folder: Path) -> pd.DataFrame | None:
    """Read the few columns that are counted, None where the folder holds no samples."""
    parts = []
    for path in sorted(folder.glob("part-*.parquet")):
        there = pq.read_schema(path).names
        parts.append(pd.read_parquet(path, columns=[c for c in SAMPLES if c in there]))
    return pd.concat(parts, ignore_index=True) if parts else None


def figures(run: Run) -> dict[str, tuple[plots.Figure, str]]:
    """Return every figure of the report by file name, with its description in words."""
    drawn: dict[str, tuple[plots.Figure, str]] = {}
    models = list(dict.fromkeys(run.curves["model"]))
    for model in models:
        curves, knees = of_model(run, model)
        prefix = f"{slug(model)}-" if len(models) > 1 else ""
        main = run.axes[0]
        drawn[f"{prefix}overview"] = (
            plots.overview(curves, knees, main, note=run.note),
            "Accuracy against compute for every class, knees as rings",
        )
        for task_class in dict.fromkeys(curves["task_class"]):
            part = curves[curves["task_class"] == task_class]
            for axis in run.axes:
                if part[axis].notna().any():
                    drawn[f"{prefix}{slug(task_class)}-{axis}"] = (
                        plots.curve(curves, knees, task_class, axis, note=run.note),
                        f"{task_class}: accuracy against {words.AXES[axis].label}",
                    )
            if (part["stratum"] != ALL).any():
                drawn[f"{prefix}{slug(task_class)}-difficulty"] = (
                    plots.strata(curves, knees, task_class, main, note=run.note),
                    f"{task_class}: accuracy by difficulty against {words.AXES[main].label}",
                )
        lost = plots.missing(curves, note=run.note)
        if lost is not None:
            drawn[f"{prefix}missing"] = (lost, "Draws without a usable answer, by strategy")
    return drawn


def of_model(run: Run, model: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one model's curves and knees."""
    return run.curves[run.curves["model"] == model], run.knees[run.knees["model"] == model]


def pick(run: Run, name: str, model: str, task_class: str) -> Pick | None:
    """Return what to use for a class; None where no deployable strategy was run."""
    axis = run.axes[0]
    curves, knees = of_model(run, model)
    whole = curves[(curves["task_class"] == task_class) & (curves["stratum"] == ALL)]
    rows = knees[
        (knees["task_class"] == task_class)
        & (knees["stratum"] == ALL)
        & (knees["axis"] == axis)
        & (knees["strategy"] == words.FRONTIER)
    ]
    if rows.empty:
        return None
    row = rows.iloc[0]
    line = whole[whole["strategy"] == row["chosen"]].sort_values("budget")
    at = line.iloc[int((line["budget"] - row["knee_budget"]).abs().argmin())]
    oracle = whole[(whole["strategy"] == words.ORACLE) & (whole[axis] <= at[axis] * 1.001)]
    return Pick(
        name,
        str(row["chosen"]),
        float(at["budget"]),
        line.iloc[0],
        at,
        line.iloc[-1],
        float(oracle["accuracy"].max()) if len(oracle) else None,
        words.place(line, row, axis),
        row,
    )


def headline(pick: Pick, axis: str) -> str:
    """Return the finding for a class as one or two sentences of plain text."""
    row, who = pick.row, words.name(pick.strategy)
    start = words.percent(pick.first["accuracy"])
    value = words.percent(pick.at["accuracy"])
    here = words.budget(pick.strategy, pick.budget)
    spend = words.quantity(words.given(pick.at[axis]), axis)
    most = words.budget(pick.strategy, float(pick.last["budget"]))
    little = words.points(pick.delta)
    began = words.budget(pick.strategy, float(pick.first["budget"]))
    moved = pick.at["accuracy"] - pick.first["accuracy"]
    path = (
        f"{who} stays at {value}"
        if abs(moved) < 0.005
        else f"{who} {'rises' if moved > 0 else 'goes'} from {start} with {began} to {value}"
    )
    path = path[0].upper() + path[1:]
    interval = pick.place.interval()
    beyond = chance(row.get("p_beyond"))
    if row["verdict"] == "rising":
        return (
            f"{path} with {here}, about {spend} a problem, and is still rising: the knee lies "
            f"beyond the largest budget tried (P = {beyond})."
        )
    if row["verdict"] == "cannot tell":
        if pick.place.knee is None:
            return (
                f"{path} with {here}, about {spend} a problem. The knee may lie beyond the largest "
                f"budget tried (P = {beyond}), but these data cannot tell; its 95 % interval is "
                f"{interval}."
            )
        return (
            f"{path} with {here}, about {spend} a problem. That is the best estimate of the knee, "
            f"but its 95 % interval, {interval}, is too wide to tell whether the curve has "
            f"flattened."
        )
    knee = f"{path} at its knee of {here} (95 % interval {interval}), about {spend} a problem"
    if row["verdict"] == "falls":
        end = words.percent(pick.last["accuracy"])
        return f"{knee}, and then falls: with {most} it is at {end}. Spending more does harm."
    return f"{knee}; beyond it a doubling of compute buys less than {little}."


def chance(value: object) -> str:
    """Return a probability with two decimals, never as a certainty."""
    number = words.given(value)
    if number is None:
        return "unknown"
    return "> 0.99" if number > 0.995 else "< 0.01" if number < 0.005 else f"{number:.2f}"


def page(run: Run, drawn: Mapping[str, tuple[plots.Figure, str]]) -> str:
    """Return the whole page as HTML."""
    several = run.curves["model"].nunique() > 1
    groups = run.groups()
    chosen = [(group, pick(run, *group)) for group in groups]
    images = {name: image(figure, text) for name, (figure, text) in drawn.items()}
    models = ", ".join(dict.fromkeys(run.curves["model"]))
    title = f"Where more compute stops paying: {models}"
    prefixes = [f"{slug(m)}-" if several else "" for m in dict.fromkeys(run.curves["model"])]
    links = [*((slug(name), name) for name, _, _ in groups)]
    links += [("quality", "data quality"), ("cost", "cost"), ("run", "how it was run")]
    links += [("reading", "how to read this")]
    body = [
        "<header>",
        f"<h1>{text(title)}</h1>",
        f'<p class="simulated">{SIMULATED.capitalize()}: every figure here comes from a model '
        "whose accuracy was made up, not from a language model.</p>"
        if run.simulated
        else "",
        f'<p class="quiet">{text(subtitle(run))}</p>',
        "<nav>" + "".join(f'<a href="#{key}">{text(name)}</a>' for key, name in links) + "</nav>",
        "</header>",
        "<main>",
        answers(chosen, run.axes[0]),
        *(
            figure(
                images[f"{prefix}overview"],
                "A ring marks the knee; dashes are oracle coverage (pass@k), which no one can "
                "deploy. Bands and intervals are in the figures of each class.",
            )
            for prefix in prefixes
        ),
        "<h2>What to use</h2>",
        usage([p for _, p in chosen if p is not None], run.axes),
    ]
    for name, model, task_class in groups:
        stem = (f"{slug(model)}-" if several else "") + slug(task_class)
        body.append(section(run, name, model, task_class, stem, images))
    body += [
        quality(run, [images[f"{p}missing"] for p in prefixes if f"{p}missing" in images]),
        totals(run),
        made(run),
        reading(run),
        "</main>",
        f'<footer class="quiet">Made by tsbench report from {text(shown(run.folder))}. '
        "The same figures are in its folder figures.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}</style>\n"
        "</head>\n<body>\n" + "\n".join(part for part in body if part) + "\n</body>\n</html>\n"
    )


def subtitle(run: Run) -> str:
    """Return what was run, when, on how much."""
    problems = run.curves[run.curves["stratum"] == ALL].groupby(["model", "task_class"])
    n = int(problems["n_problems"].max().sum())
    parts = [f"{n:,} problems in {run.curves['task_class'].nunique()} classes"]
    if run.samples is not None:
        parts.append(f"{len(run.samples):,} replies")
    calls = run.manifest.get("calls", [])
    if calls:
        parts.append(f"run {day(calls[0]['started'])}")
    return " · ".join(parts)


def answers(chosen: Sequence[tuple[tuple[str, str, str], Pick | None]], axis: str) -> str:
    """Return the headline of each class, with what it rests on."""
    items = []
    for (name, _, _), found in chosen:
        if found is None:
            said, rests = "No deployable strategy was run, so there is nothing to recommend.", ""
        elif words.given(found.row["peak"]) is None:
            said, rests = f"No knee could be fitted: {found.row['flags']}.", ""
        else:
            said, rests = headline(found, axis), support(found)
        items.append(
            f'<dt>{text(name)}</dt><dd><p>{text(said)}</p><p class="quiet">{text(rests)}</p></dd>'
        )
    return f'<dl class="answers">{"".join(items)}</dl>'


def support(pick: Pick) -> str:
    """Return the figures behind a headline."""
    row = pick.row
    return (
        f"Verdict: {words.VERDICTS.get(str(row['verdict']), str(row['verdict']))}. "
        f"P(falls) = {chance(row['p_turnover'])}, "
        f"P(knee beyond the largest budget) = {chance(row.get('p_beyond'))}; "
        f"{row['n_problems']:,} problems, {row['n_samples']:,} draws."
    )


def usage(picks: Sequence[Pick], axes: Sequence[str]) -> str:
    """Return the table of what to use."""
    head = ["class", "use", "budget", "accuracy, 95 % band", *(words.AXES[a].unit for a in axes)]
    head += ["left to the peak", "left to the oracle"]
    rows = []
    for p in picks:
        gap = None if p.oracle is None else p.oracle - p.at["accuracy"]
        left = words.given(p.row["gain_left"])
        rows.append(
            [
                th(p.name),
                td(words.name(p.strategy)),
                td(words.budget(p.strategy, p.budget)),
                td(band(p.at)),
                *(td(words.quantity(words.given(p.at[a]), a), n=True) for a in axes),
                td("unknown" if left is None else words.points(left), n=True),
                td(words.points(gap), n=True),
            ]
        )
    note = (
        "The deployable strategy and budget at the knee of each class. Spend is a problem's mean. "
        "Left to the peak: what the best budget tried would add (unknown where the knee is beyond). "
        "Left to the oracle: pass@k at the same spend, the most that better selection could add."
    )
    return table(note, head, rows, numeric=len(axes) + 2)


def section(
    run: Run, name: str, model: str, task_class: str, stem: str, images: Mapping[str, str]
) -> str:
    """Return a class: its figures and the knees of all its strategies."""
    n = run.curves[
        (run.curves["model"] == model)
        & (run.curves["task_class"] == task_class)
        & (run.curves["stratum"] == ALL)
    ]["n_problems"].max()
    parts = [f'<h2 id="{slug(name)}">{text(name)}</h2>']
    captions = {
        "tokens": f"Mean accuracy over {n:,} problems with simultaneous 95 % bands. Rings are "
        "knees, the strip their 95 % intervals; an arrow is an end that the largest or smallest "
        "budget cuts off.",
    }
    for axis in run.axes:
        if f"{stem}-{axis}" in images:
            said = captions.get(axis, f"The same curves against {words.AXES[axis].label}.")
            parts.append(figure(images[f"{stem}-{axis}"], said))
        if axis == run.axes[0]:
            parts.append(knees_table(run, model, task_class))
    if f"{stem}-difficulty" in images:
        parts.append(
            figure(
                images[f"{stem}-difficulty"],
                "The same curves by difficulty level: a class's mean can hide a level that falls. "
                "Few problems make a level, so bands would be wide; read these for shape only.",
            )
        )
    return "\n".join(parts)


def knees_table(run: Run, model: str, task_class: str) -> str:
    """Return every strategy's knee on every axis, and what was flagged."""
    curves, knees = of_model(run, model)
    whole = curves[(curves["task_class"] == task_class) & (curves["stratum"] == ALL)]
    part = knees[(knees["task_class"] == task_class) & (knees["stratum"] == ALL)]
    axis = run.axes[0]
    rows, flags = [], []
    for _, row in part[part["axis"] == axis].iterrows():
        strategy = str(row["strategy"])
        line = whole[whole["strategy"] == row["chosen"]]
        others = part[part["strategy"] == strategy].set_index("axis")
        fitted = words.given(row["peak"]) is not None
        said = words.name(strategy)
        if strategy == words.FRONTIER:
            said += f", by {words.name(str(row['chosen']), short=True)}"
        if str(row["flags"]):
            flags.append(f"{words.name(strategy)}: {row['flags']}")
        if not fitted:
            rows.append([th(said), *[td("no fit")], *[td("")] * (len(run.axes) + 6)])
            continue
        knee = words.place(line, row, axis).words(str(row["chosen"]))
        rows.append(
            [
                th(said),
                td(words.VERDICTS.get(str(row["verdict"]), str(row["verdict"]))),
                td(knee),
                *(td(spend_interval(others, a), html=True) for a in run.axes),
                td(words.percent(words.given(row["accuracy_at_knee"])), n=True),
                td(
                    f"{words.percent(row['peak_accuracy'])} at "
                    f"{words.quantity(words.given(row['peak']), axis)}",
                    n=True,
                ),
                td(chance(row["p_turnover"]), n=True),
                td(str(row["family"])),
            ]
        )
    head = ["strategy", "verdict", "knee (95 % interval)", *(words.AXES[a].unit for a in run.axes)]
    head += ["accuracy there", "peak", "P(falls)", "shape"]
    listed = "".join(f"<li>{text(flag)}</li>" for flag in flags)
    return table("Knees of all strategies, by " + words.AXES[axis].label + ".", head, rows, 0) + (
        f'<ul class="quiet">{listed}</ul>' if listed else ""
    )


def spend_interval(rows: pd.DataFrame, axis: str) -> str:
    """Return a knee and its interval in spend, as HTML."""
    if axis not in rows.index:
        return "unknown"
    row = rows.loc[axis]
    knee, low, high = (words.given(row[c]) for c in ("knee", "low", "high"))
    ends = words.between(*(None if v is None else short(v, axis) for v in (low, high)))
    return f"{text('beyond' if knee is None else short(knee, axis))}<small>{text(ends)}</small>"


def short(value: float, axis: str) -> str:
    """Return a spend without its unit, for a column that names it."""
    return (
        words.quantity(value, axis).rpartition(words.NARROW)[0]
        if axis != "flops"
        else (words.quantity(value, axis).removesuffix("FLOPs").strip())
    )


def quality(run: Run, images: Iterable[str]) -> str:
    """Return what is missing from the data: statuses of draws, blank and capped shares."""
    parts = ['<h2 id="quality">Data quality</h2>']
    if run.samples is None or "status" not in run.samples:
        parts.append("<p>This folder holds no samples, so their statuses cannot be counted.</p>")
    else:
        kept = run.samples
        if "kind" in kept:
            kept = kept[kept["kind"] == "draw"]
        if "partial" in kept:
            kept = kept[~kept["partial"].fillna(value=False).astype(bool)]
        counts = (
            kept.groupby(["model", "task_class"])["status"].value_counts().unstack(fill_value=0)
        )
        order = ["ok", *sorted(c for c in counts if c != "ok")]
        counts = counts.reindex(columns=order, fill_value=0)
        several = run.curves["model"].nunique() > 1
        rows = [
            [
                th(f"{c}, {m}" if several else str(c)),
                td(f"{int(row.sum()):,}", n=True),
                *(td(f"{int(row[s]):,}", n=True) for s in order),
                td(words.rate(1 - row["ok"] / row.sum()), n=True),
            ]
            for (m, c), row in counts.iterrows()
        ]
        head = ["class", "draws", *(s.replace("_", " ") for s in order), "not ok"]
        parts.append(table("Draws by status. A draw that is not ok is never read as a wrong answer "
            "in silence: errors and timeouts leave the pool, the others stay in it as blanks.",
            head, rows, len(head) - 1))  # fmt: skip
    shown_images = list(images)
    if shown_images:
        said = "The share of draws without an answer, and of those cut by the length cap."
        parts += [figure(svg, said) for svg in shown_images]
    else:
        parts.append("<p>No strategy lost a draw to the length cap or to a missing answer.</p>")
    return "\n".join(parts)


def totals(run: Run) -> str:
    """Return what the whole run cost."""
    parts = ['<h2 id="cost">Cost</h2>']
    if run.samples is None or "completion_tokens" not in run.samples:
        return "\n".join([*parts, "<p>This folder holds no samples, so its cost is unknown.</p>"])
    priced = prices(run)
    rows = []
    several = run.curves["model"].nunique() > 1
    sums = []
    for (model, task_class), part in run.samples.groupby(["model", "task_class"]):
        read, made = part["prompt_tokens"], part["completion_tokens"]
        cached = part["cached_tokens"].fillna(0)
        price = priced.get(str(model), Price(None, None, None))
        line = {
            "replies": len(part),
            "uncounted": int(made.isna().sum()),
            "prompt tokens": read.sum(),
            "of them cached": cached.sum(),
            "generated tokens": made.sum(),
            "FLOPs": price.flops(read, cached, made).sum(min_count=1),
            "dollars": price.dollars(read, made).sum(min_count=1),
        }
        sums.append(line)
        rows.append(cost_row(f"{task_class}, {model}" if several else str(task_class), line))
    whole = pd.DataFrame(sums).sum(min_count=1).to_dict()
    if len(sums) > 1:
        rows.append(cost_row("all", {str(k): v for k, v in whole.items()}))
    head = ["class", *(str(k) for k in whole)]
    parts.append(table("What the run asked for, from its samples; uncounted replies have no token "
                       "count and are in no sum.", head, rows, len(head) - 1))  # fmt: skip
    calls = run.manifest.get("calls", [])
    if calls:
        seconds = sum(float(call["seconds"]) for call in calls)
        parts.append(
            f"<p>{len(calls)} call{'s' if len(calls) > 1 else ''} of the sweep took "
            f"{text(duration(seconds))} of wall time in all.</p>"
        )
    return "\n".join(parts)


def prices(run: Run) -> dict[str, Price]:
    """Return each model's price as the run was configured."""
    found = {}
    configs = [job.get("model", {}) for job in run.manifest.get("jobs", {}).values()]
    for name, served in run.manifest.get("models", {}).items():
        config = next((c for c in configs if c.get("name") == name), {})
        dollars = (config.get("dollars_in"), config.get("dollars_out"))
        found[str(name)] = Price(served.get("params"), *dollars)
    return found


def cost_row(name: str, line: Mapping[str, float]) -> list[str]:
    """Return a row of the cost table."""

    def cell(key: str, value: float) -> str:
        if pd.isna(value):
            return "unknown"
        if key == "FLOPs":
            return words.quantity(value, "flops", 3)
        return f"{value:,.2f}" if key == "dollars" else f"{value:,.0f}"

    return [th(name), *(td(cell(key, value), n=True) for key, value in line.items())]


def made(run: Run) -> str:
    """Return how the run was made: model, versions, seeds, settings."""
    parts = ['<h2 id="run">How it was run</h2>']
    known = run.manifest
    if not known:
        return "\n".join([*parts, "<p>This folder holds no manifest.json.</p>"])
    facts: list[tuple[str, str]] = []
    for name, served in known.get("models", {}).items():
        size = served.get("params")
        facts.append(("model", name + (f", {words.human(size)} parameters" if size else "")))
        facts.append(("endpoint", str(served.get("endpoint", "unknown"))))
    if "command" in known:
        facts.append(("command", str(known["command"])))
    facts.append(("seed", str(known.get("seed", "unknown"))))
    calls = known.get("calls", [])
    facts += [("started", day(call["started"], clock=True)) for call in calls[:1]]
    rules = ", ".join(dict.fromkeys(run.knees["rule"]))
    facts.append(("rule of the knee", rules))
    if known.get("sandbox"):
        facts.append(("sandbox", settings(known["sandbox"])))
    found = {k: v for k, v in known.get("versions", {}).items() if v}
    facts.append(("versions", ", ".join(f"{k} {v}" for k, v in found.items())))
    parts.append(definitions(facts))
    jobs = {label: manifest.flat(job) for label, job in known.get("jobs", {}).items()}
    if jobs:
        first = next(iter(jobs.values()))
        same = {k: v for k, v in first.items() if all(j.get(k, ...) == v for j in jobs.values())}
        own = [
            (label, settings({k: v for k, v in job.items() if k not in same}))
            for label, job in jobs.items()
        ]
        parts.append(
            "<details><summary>Settings</summary><h3>Of every job</h3>"
            + definitions([(k, str(v)) for k, v in same.items()])
            + "<h3>Of each job</h3>"
            + definitions(own)
            + "</details>"
        )
    return "\n".join(parts)


def reading(run: Run) -> str:
    """Return how to read the page."""
    delta = float(str(run.knees["rule"].iloc[0]).partition("=")[2])
    little = text(words.points(delta))
    return f"""<h2 id="reading">How to read this</h2>
<ul>
<li><b>The knee</b> is the spend x, in doublings, that maximises accuracy minus {little} for each
doubling. On a curve that flattens it is where one more doubling starts to buy less than
{little}; it is as well defined on a curve that jumps, stays flat or falls.</li>
<li><b>The interval</b> covers the knee that this model would show on other problems of the same
kind, with 95 % probability, averaged over the shapes that fit the curve. It does not cover another
model, another prompt or another kind of problem. An end that reaches the largest budget is cut off
there: &#8220;9 or more&#8221;.</li>
<li><b>Verdicts.</b> Still rising: the knee lies beyond the largest budget with P &#8805; 0.9.
Flattens: with P &#8804; 0.1. Falls: accuracy at the peak is above the last budget by more than half
a point with P &gt; 0.6 and a paired test at p &lt; 0.025 agrees. Else the data cannot tell.
&#8220;Flattens&#8221; does not exclude a small fall: read P(falls) beside it.</li>
<li><b>Bands</b> hold for all budgets of a curve at once, and are over problems, not over draws.</li>
<li><b>Oracle coverage (pass@k)</b> counts a problem as solved when any of k draws is right. It is an
estimate of what perfect selection would reach, dashed because no one can deploy it.</li>
<li><b>The frontier</b> is the best deployable strategy at each spend, chosen on one half of the
problems and valued on the other.</li>
<li><b>Tokens</b> are all that the model generated, verifier calls and discarded draws with them.
<b>FLOPs</b> are twice the model&#8217;s parameters for each token generated, or read and not
cached.</li>
</ul>"""


def image(drawn: plots.Figure, description: str) -> str:
    """Return a figure as an SVG element."""
    return plots.svg(drawn, description)


def figure(svg: str, caption: str) -> str:
    """Return an image with its caption."""
    return f"<figure>\n{svg}<figcaption>{text(caption)}</figcaption>\n</figure>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], numeric: int) -> str:
    """Return a table; the last `numeric` columns are aligned at the right."""
    first = len(head) - numeric
    cells = "".join(
        f'<th scope="col"{" class=n" if i >= first else ""}>{text(name)}</th>'
        for i, name in enumerate(head)
    )
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table>\n<caption>{text(caption)}</caption>\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def th(value: str) -> str:
    """Return a row's heading."""
    return f'<th scope="row">{text(value)}</th>'


def td(value: str, *, n: bool = False, html: bool = False) -> str:
    """Return a cell; `n` aligns a number at the right, `html` takes the value as it is."""
    return f"<td{' class=n' if n else ''}>{value if html else text(value)}</td>"


def definitions(facts: Sequence[tuple[str, str]]) -> str:
    """Return pairs of name and value as a list."""
    items = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in facts)
    return f'<dl class="facts">{items}</dl>'


def settings(values: Mapping[str, object]) -> str:
    """Return a flat config in a line."""
    return ", ".join(f"{k} = {v}" for k, v in manifest.flat(values).items())


def band(at: pd.Series) -> str:
    """Return an accuracy with its band."""
    low, high = 100 * at["low"], 100 * at["high"]
    return f"{words.percent(at['accuracy'])} ({low:.0f} to {high:.0f})"


def text(value: str) -> str:
    """Return text for HTML: escaped, and without the folders of a machine's paths."""
    return escape(without_folders(value), quote=True)


def without_folders(value: str) -> str:
    """Replace the folders of absolute paths by an ellipsis; addresses of endpoints stay."""
    return re.sub(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:,'\"<>|]+[/\\])+", "\u2026/", value)


def shown(folder: Path) -> str:
    """Return a folder's name as a page may show it."""
    return folder.name if folder.is_absolute() else str(folder)


def slug(name: str) -> str:
    """Return a name for files and anchors."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "unnamed"


def day(seconds: float, *, clock: bool = False) -> str:
    """Return a time as a date, in UTC."""
    moment = datetime.fromtimestamp(float(seconds), UTC)
    return f"{moment:%d %B %Y}" + (f", {moment:%H:%M} UTC" if clock else "")


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{seconds:.0f}{words.NARROW}seconds"
    if seconds < 5400:
        return f"{seconds / 60:.1f}{words.NARROW}minutes"
    return f"{seconds / 3600:.1f}{words.NARROW}hours"
