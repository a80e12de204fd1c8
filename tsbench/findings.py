"""What a class's frontier says to use, and the sentences that say it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tsbench import words
from tsbench.cells import ALL
from tsbench.compliance import IGNORED
from tsbench.thought import thought


@dataclass(frozen=True)
class Pick:
    """The strategy that a class's frontier uses at its knee, and the budget nearest to the knee.

    `first`, `here` and `last` are rows of the strategy's curve: its smallest budget, the chosen
    one and its largest. `row` is the frontier's row of knees, `place` its knee in the strategy's
    budgets. `oracle` is pass@k, after the same thinking, at no more than the same spend, None where
    it was not run.
    """

    axis: str
    strategy: str
    first: pd.Series
    here: pd.Series
    last: pd.Series
    oracle: float | None
    place: words.Place
    row: pd.Series

    @property
    def budget(self) -> str:
        """The chosen nominal budget in words."""
        return words.budget(self.strategy, float(self.here["budget"]))

    @property
    def ignored(self) -> bool:
        """Whether all there is to use is thinking budgets that made no difference."""
        return f"no fit: {IGNORED}" in str(self.row["flags"])

    @property
    def spend(self) -> str:
        """What it spends on a problem, in words."""
        return words.quantity(words.given(self.here[self.axis]), self.axis)


def pick(curves: pd.DataFrame, knees: pd.DataFrame, task_class: str, axis: str) -> Pick | None:
    """Return what to use for a class of one model; None where no deployable strategy was run."""
    whole = curves[(curves["task_class"] == task_class) & (curves["stratum"] == ALL)]
    frontier = knees[
        (knees["task_class"] == task_class)
        & (knees["stratum"] == ALL)
        & (knees["axis"] == axis)
        & (knees["strategy"] == words.FRONTIER)
    ]
    if frontier.empty:
        return None
    row = frontier.iloc[0]
    line = whole[whole["strategy"] == row["chosen"]].sort_values("budget")
    place = words.place(line, row, axis)
    target = float(row["knee_budget"]) if place.knee is None else place.knee
    here = line.iloc[int((line["budget"] - target).abs().argmin())]
    first = thought(str(row["chosen"]))
    name = words.ORACLE + (str(row["chosen"]).removeprefix(first.selector) if first else "")
    oracle = whole[(whole["strategy"] == name) & (whole[axis] <= here[axis] * 1.001)]
    return Pick(
        axis,
        str(row["chosen"]),
        line.iloc[0],
        here,
        line.iloc[-1],
        float(oracle["accuracy"].max()) if len(oracle) else None,
        place,
        row,
    )


def headline(found: Pick) -> str:
    """Return the finding for a class in one or two sentences."""
    row = found.row
    if found.ignored:
        return f"No budget can be recommended: {IGNORED}."
    if words.given(row["peak"]) is None:
        return f"No knee could be fitted: {row['flags']}."
    rose, spend = path(found), f"about {found.spend} a problem"
    interval = found.place.interval()
    beyond = words.chance(row["p_beyond"])
    match str(row["verdict"]):
        case "rising":
            return (
                f"{rose} with {found.budget}, {spend}, and is still rising: the knee lies beyond "
                f"the largest budget tried (P {beyond})."
            )
        case "falls":
            most = words.budget(found.strategy, float(found.last["budget"]))
            end = words.percent(found.last["accuracy"])
            return (
                f"{rose} at its knee of {found.budget} (95 % interval {interval}), {spend}, and "
                f"then falls: with {most} it is at {end}. Spending more does harm."
            )
        case "flat":
            return (
                f"{rose} at its knee of {found.budget} (95 % interval {interval}), {spend}; "
                f"beyond it a doubling buys less than {words.points(delta(row))}."
            )
        case _ if found.place.knee is None:
            return (
                f"{rose} with {found.budget}, {spend}. The knee may lie beyond the largest budget "
                f"tried (P {beyond}), but these data cannot tell: its 95 % interval is {interval}."
            )
        case _:
            return (
                f"{rose} with {found.budget}, {spend}. That is the best estimate of the knee, but "
                f"its 95 % interval, {interval}, leaves open whether the curve has flattened."
            )


def path(found: Pick) -> str:
    """Return how the strategy comes to its accuracy: "Majority vote rises from 41 % to 58 %"."""
    who = words.name(found.strategy)
    who = who[0].upper() + who[1:]
    start, value = words.percent(found.first["accuracy"]), words.percent(found.here["accuracy"])
    if found.here["budget"] == found.first["budget"]:
        return f"{who} is at {value}"
    if start == value:
        return f"{who} stays at {value}"
    began = words.budget(found.strategy, float(found.first["budget"]))
    moves = "rises" if found.here["accuracy"] > found.first["accuracy"] else "falls"
    return f"{who} {moves} from {start} with {began} to {value}"


def support(found: Pick) -> str:
    """Return the probabilities and the count that a headline rests on."""
    return (
        f"P(falls) {words.chance(found.row['p_turnover'])}, "
        f"P(knee beyond the largest budget) {words.chance(found.row['p_beyond'])}, "
        f"{int(found.row['n_problems']):,} problems."
    )


def converted(found: Pick, headroom: pd.DataFrame) -> str:
    """Return how much of the headroom the choice converts, nothing where it selects nothing.

    `headroom` is the class's rows of that table.
    """
    if headroom.empty:
        return ""
    mine = (headroom["strategy"] == found.strategy) & (headroom["budget"] == found.here["budget"])
    row = headroom[mine & headroom["capture"].notna()]
    if row.empty:
        return ""
    value, low, high = (words.given(row[c].iloc[0]) for c in ("capture", "low", "high"))
    ends = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    ends = ends.replace("-", "\u2212")
    flags = str(row["flags"].iloc[0])
    doubt = f" ({flags})" if flags else ""
    return f"It converts {words.percent(value or 0.0)}{ends} of the headroom over one draw{doubt}."


def delta(row: pd.Series) -> float:
    """Return the accuracy that a doubling had to buy, from a row's rule ("delta=0.01")."""
    return float(str(row["rule"]).partition("=")[2])
