"""The report's part on the router: where compute pays, what policies save, and on what grounds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from tsbench import route_plots, words
from tsbench.contest import BOUND, ROUTED
from tsbench.markup import figure, items, number, slug, table, td, text, th
from tsbench.route_plots import best

Tables = Mapping[str, pd.DataFrame]
"""One class's routes, difficulty, reliability and limits, by name; those that there are."""

POLICIES = (
    "Policies that choose by how hard a problem looks, or stop early, in place of {target}. Each "
    "was fitted on four fifths of the problems and valued on the other, five times over; pilot "
    "draws and judges that an estimate needs are paid for. Of each policy its best estimate is "
    "shown, which flatters; routed is the choice among all of them, held out too, and what "
    "policy.json has. The saving is against the cheapest uniform budget, of any strategy, that is "
    "as accurate as the policy; the gain, fitted for equal spend, is over the most accurate one "
    "that spends as much."
)
ESTIMATES = (
    "How well difficulty is guessed before it is known. AUC is that of the chance that one pass is "
    "right, and the error its expected calibration error, both out of fold. An estimate costs one "
    "pass so much more where it routes; an arm that would have made the pilot's draws anyway pays "
    "nothing."
)


def targets(tables: Tables) -> list[str]:
    """Return the uniform budgets that a class's policies match in accuracy."""
    if "routes" not in tables:
        return []
    rows = tables["routes"]
    return list(dict.fromkeys(rows.loc[rows["matched"] == "accuracy", "target"]))


def figures(tables: Tables, title: str, stem: str, note: str) -> dict[str, tuple[Figure, str]]:
    """Return a class's figures of policies and of estimates, each with its description."""
    drawn = {}
    for target in targets(tables):
        routes = tables["routes"]
        drawn[f"{stem}-policies-{slug(target)}"] = (
            route_plots.policies(routes, routes["task_class"].iloc[0], target, note=note),
            f"{title}: what policies save in place of {target}",
        )
    if {"difficulty", "reliability"} <= set(tables):
        bins, difficulty = tables["reliability"], tables["difficulty"]
        drawn[f"{stem}-reliability"] = (
            route_plots.reliability(bins, difficulty, difficulty["task_class"].iloc[0], note=note),
            f"{title}: how calibrated estimates of difficulty are",
        )
    return drawn


def section(tables: Tables, stem: str, images: Mapping[str, str]) -> str:
    """Return a class's router: where compute pays, policies, estimates; nothing without one."""
    if not tables:
        return ""
    said = ["<h3>Router</h3>"]
    if "limits" in tables:
        said.append(limits_lines(tables["limits"]))
    for target in targets(tables):
        said.append(
            figure(
                images[f"{stem}-policies-{slug(target)}"],
                f"Each policy fitted to the accuracy of {target} and held out, in its place: how "
                "accuracy changes and what is spared, with 95 % intervals. The hollow oracle sees "
                "each problem\u2019s own curve.",
            )
        )
        said.append(policies_table(tables["routes"], target))
    if "predictions" in tables:
        said.append(predictions_table(tables["predictions"]))
    if f"{stem}-reliability" in images:
        caption = (
            "What each estimate claims, out of fold, against the share of passes that are right. A "
            "dot\u2019s area is the share of visits in its bin; lines are 95 % intervals."
        )
        said.append(figure(images[f"{stem}-reliability"], caption))
        said.append(estimates_table(tables["difficulty"]))
    return "\n".join(said)


def limits_lines(limits: pd.DataFrame) -> str:
    """Return where more compute pays, and where routing does, in words."""
    lines = []
    for _, row in limits.iterrows():
        lines.append(f"More {words.AXES[row['axis']].unit} pay: {row['pays']}; {row['reason']}.")
        lines.append(f"Routing pays: {row['routing_pays']}; {row['routing_reason']}.")
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def policies_table(routes: pd.DataFrame, target: str) -> str:
    """Return the policies of one target: at equal accuracy, and at equal spend."""
    mine = routes[routes["target"] == target]
    equal, spend = (mine[mine["matched"] == kind] for kind in ("accuracy", "spend"))
    rows = []
    for _, row in best(equal).iterrows():
        same = (spend["policy"] == row["policy"]) & (spend["estimate"] == row["estimate"])
        if row["policy"] in (ROUTED, BOUND):
            same = spend["policy"] == row["policy"]
        other = spend[same].iloc[0] if same.any() else None
        rows.append(
            [
                th(str(row["policy"]), str(row["estimate"])),
                number(words.percent(row["accuracy"], 1)),
                number(words.amount(row["spend"], row["axis"])),
                td(words.change(row["change"]), ends(row, "change", points=True)),
                td(words.percent(row["spared"]), ends(row, "spared")),
                td(words.percent(row["saving"]), ends(row, "saving")),
                td("", "")
                if other is None
                else td(words.change(other["gain"]), ends(other, "gain", points=True)),
            ]
        )
    head = ["policy and estimate", "accuracy", words.AXES[str(mine["axis"].iloc[0])].unit]
    head += ["points more", "spend spared", "saving", "gain at equal spend"]
    flags = dict.fromkeys(
        f"{row['policy']}{f' on {row.estimate}' if row['estimate'] else ''}: {row['flags']}"
        for _, row in best(equal).iterrows()
        if row["flags"]
    )
    return table(POLICIES.format(target=target), head, rows, 6) + items(flags)


def predictions_table(rows: pd.DataFrame) -> str:
    """Return what the policy that was run was expected to come to, and what it came to."""
    names = {
        "accuracy": "accuracy",
        "spend": words.AXES[str(rows["axis"].iloc[0])].unit,
        "change": "points more than",
        "spared": "spend spared of",
    }
    lines = []
    for _, row in rows.iterrows():
        figure, axis = str(row["figure"]), str(row["axis"])
        said = words.change if figure == "change" else words.percent
        cells = []
        for name in ("predicted", "measured"):
            value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
            if figure == "spend":
                shown = [words.amount(v, axis, 3) for v in (value, low, high)]
            else:
                shown = [said(v) for v in (value, low, high)]
            cells.append(td(shown[0], words.between(shown[1], shown[2])))
        lines.append([th(names[figure], str(row["against"])), *cells, td(str(row["agrees"]))])
    flags = dict.fromkeys(flag for flag in rows["flags"] if flag)
    count = int(rows["n_problems"].iloc[0])
    caption = (
        f"The policy run live on {count:,} problems: what was expected of it when it was fitted, "
        "held out, and what it came to, each with its 95 % interval. They agree where their "
        "difference is within both."
    )
    return table(caption, ["figure", "predicted", "measured", "agrees"], lines, 3) + items(flags)


def estimates_table(difficulty: pd.DataFrame) -> str:
    """Return every estimate with its AUC, calibration error and cost."""
    rows = [
        [
            th(str(row["estimate"]), str(row["features"]).replace(",", ", ").replace("  ", " ")),
            td(*words.area(row, "auc")),
            td(words.percent(row["ece"], 1), ends(row, "ece")),
            number(f"{row['pilot']:.0f}"),
            number(words.amount(row["over_one_pass"], row["axis"])),
        ]
        for _, row in difficulty.sort_values("auc", ascending=False).iterrows()
    ]
    unit = words.AXES[str(difficulty["axis"].iloc[0])].unit
    head = ["estimate", "AUC", "error", "pilot draws", f"{unit} over one pass"]
    found = table(ESTIMATES, head, rows, 4)
    return f"<details><summary>Estimates of difficulty</summary>{found}</details>"


def ends(row: pd.Series, name: str, *, points: bool = False) -> str:
    """Return an interval's ends in words, nothing where there is none."""
    low, high = (words.given(row[f"{name}_{end}"]) for end in ("low", "high"))
    if low is None or high is None:
        return ""
    said = words.change if points else words.percent
    return words.between(said(low), said(high))
