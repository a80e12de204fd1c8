"""Whether thinking budgets were kept, and whether they changed what was spent at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.grid import BINDS
from tsbench.tally import require
from tsbench.thought import thought

Array = NDArray[np.float64]

IGNORED = "the thinking budgets made no difference to what was spent"
"""What is said of a strategy none of whose thinking budgets bound."""
NEAR = 0.1
"""A run kept its budget when it spent within this share of it, or within one token."""
HALF, DOUBLING = 0.5, 2.0
LEVEL = 0.95
CURVE = ["task_class", "model", "strategy"]
LADDER = ["task_class", "model", "selector", "kind"]
SHARES = ("within", "above", "below")
CHANGE = ("change", "change_low", "change_high")
COLUMNS = [
    *(*CURVE, "thinking_budget", "runs", "n_problems", "asked", "mean", "median", "q05", "q95"),
    *("ratio", "ratio_low", "ratio_high", *SHARES, "against", *CHANGE, "bound"),
]


@dataclass(frozen=True)
class Binding:
    """What is known of a curve's thinking budgets: the `idle` ones did not bind, and a `remark`.

    `idle` has those of the curve's budgets that bought no more thought than the next smaller one;
    a curve over parallel draws has one thinking budget, and says it in its `remark`.
    """

    idle: tuple[float, ...] = ()
    remark: str = ""

    @property
    def ignored(self) -> bool:
        """Whether no thinking budget of the strategy changed what was spent."""
        return self.remark == IGNORED


def compliance(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return what every thinking budget asked for and what was spent, in tokens of thought.

    `outcomes` has a row a run: task_class, problem_id, strategy, budget and `thinking_tokens`,
    what the run spent on thought in its chain, null where that is not known; also task, model,
    replicate, cluster and thinking_budget (else the budget is it). Of draws that think first,
    "maj@k (forced 32)", the fewest draws of a problem are read, since more repeat them; where the
    run is a mean over a pool of draws, quantiles and shares are over such means. A row for each
    class, model, strategy and thinking budget that has a run:

    - runs, n_problems, and `asked` (NaN for an effort: it asks for no number of tokens).
    - mean (every problem once), median and the 5 % and 95 % quantiles q05 and q95 over runs.
    - ratio: the mean over problems of spent over asked, with its 95 % interval over problems
      (NaN where nothing was asked for).
    - within, above, below: the shares of runs that spent what was asked to a tenth, or to one
      token, more than that, and less.
    - against, change: the next smaller budget of the same strategy (of the smallest: the next
      larger), and by how many tokens the larger of both spends more than the smaller, over the
      problems of both, with an interval that holds for all steps of the strategy at once (95 %,
      Bonferroni).
    - bound: "yes" where that interval is above 0 and the ratio of both means above `grid.BINDS`;
      else "no" where the interval stays below half of the rise that was asked for, in proportion
      (half of a doubling where that is less, or not known); else "cannot tell".

    Intervals are t intervals over problems, or over clusters where there are any; NaN with fewer
    than two. Raises ValueError for a missing column and for thinking_tokens below 0.
    """
    require(outcomes, ("task_class", "problem_id", "strategy", "budget"), "outcomes")
    if "thinking_tokens" not in outcomes or outcomes["thinking_tokens"].isna().all():
        return pd.DataFrame(columns=COLUMNS)
    runs = _runs(outcomes)
    rows = []
    for names, ladder in runs.groupby(LADDER, sort=False):
        labels = dict(zip(LADDER, names, strict=True))
        levels = sorted(float(level) for level in ladder["thinking_budget"].unique())
        steps = {level: ladder[ladder["thinking_budget"] == level] for level in levels}
        for level, step in steps.items():
            asked = np.nan if labels["kind"] == "effort" else level
            row = labels | {"strategy": step["strategy"].iloc[0], "thinking_budget": level}
            rows.append(row | _kept(step, asked) | _bound(steps, level, labels["kind"] != "effort"))
    return pd.DataFrame(rows, columns=COLUMNS)


def bindings(found: pd.DataFrame) -> dict[tuple[str, str, str], Binding]:
    """Return what the table of `compliance` says of each class, model and strategy."""
    known = {}
    for (task_class, model, selector, kind), ladder in _ladders(found).items():
        no = ladder["bound"] == "no"
        ignored = len(ladder) > 1 and bool(no.all())
        rest = ladder[no & (ladder["against"] < ladder["thinking_budget"])]
        for strategy in ladder["strategy"].unique():
            budgets = tuple(rest.loc[rest["strategy"] == strategy, "thinking_budget"])
            single = selector != kind
            remark = f"thinking budget {budgets[0]:g} did not bind" if single and budgets else ""
            known[task_class, model, str(strategy)] = Binding(
                () if single else budgets, IGNORED if ignored else remark
            )
    return known


def _ladders(found: pd.DataFrame) -> dict[tuple[str, str, str, str], pd.DataFrame]:
    """Return the rows of `compliance` by class, model, selector and kind of thinking."""
    if found.empty:
        return {}
    labels = found.join(_ladder(found["strategy"]))
    return {
        (str(c), str(m), str(s), str(k)): rows.drop(columns=["selector", "kind"])
        for (c, m, s, k), rows in labels.groupby(LADDER, sort=False)
    }


def _ladder(strategies: pd.Series[str]) -> pd.DataFrame:
    """Return the selector and the kind of thinking of each strategy; one that is a kind is both."""
    known = {name: thought(str(name)) for name in strategies.unique()}
    pairs = {n: (t.selector, t.kind) if t else (n, n) for n, t in known.items()}
    named = strategies.map(pairs)
    return pd.DataFrame({"selector": named.str[0], "kind": named.str[1]})


def _runs(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the runs whose thinking is known, with `problem`, `spent` and their budget."""
    defaults = {"model": "unknown", "task": ""}
    table = outcomes.assign(**{c: v for c, v in defaults.items() if c not in outcomes})
    optional = [c for c in ("thinking_budget", "cluster") if c not in table]
    table = table.reindex(columns=[*table.columns, *optional])
    table = table[table["thinking_tokens"].notna()].reset_index(drop=True)
    spent = table["thinking_tokens"].astype(float)
    if (spent < 0).any():
        row = int((spent < 0).to_numpy().argmax())
        raise ValueError(
            f"thinking_tokens of {table['strategy'].iloc[row]!r} is {spent.iloc[row]:g} for "
            f"problem {table['problem_id'].iloc[row]!r}; allowed are 0 and more, and null."
        )
    problem = table["task"].astype(str) + "/" + table["problem_id"].astype(str)
    named = table["strategy"].astype(str)
    first = {name: thought(name) for name in named.unique()}
    levels = named.map({name: t.budget if t else np.nan for name, t in first.items()})
    levels = levels.fillna(table["thinking_budget"].astype(float)).fillna(table["budget"])
    table = table.assign(
        strategy=named,
        problem=problem,
        spent=spent,
        thinking_budget=levels.astype(float),
        cluster=table["cluster"].astype(object).where(table["cluster"].notna(), problem),
        **_ladder(named),
    )
    fewest = table.groupby([*CURVE, "problem", "thinking_budget"])["budget"].transform("min")
    return table[table["budget"] == fewest]


def _kept(step: pd.DataFrame, asked: float) -> dict[str, object]:
    """Return what the runs of one budget spent, and how near that is to what was asked for."""
    spent, problems = step["spent"], step.groupby("problem")
    each = problems["spent"].mean()
    ratio: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    if asked > 0:
        ratio = _interval(each / asked, problems["cluster"].first())
    over = spent - asked
    room = max(NEAR * asked, 1.0)
    shares = (over.abs() <= room, over > room, over < -room)
    low, median, high = spent.quantile([0.05, 0.5, 0.95])
    return {
        **{"runs": len(step), "n_problems": len(each), "asked": asked, "mean": each.mean()},
        **{"median": median, "q05": low, "q95": high},
        **dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True)),
        **{
            name: np.nan if np.isnan(asked) else float(share.mean())
            for name, share in zip(SHARES, shares, strict=True)
        },
    }


def _bound(steps: Mapping[float, pd.DataFrame], level: float, counted: bool) -> dict[str, object]:
    """Return whether a budget changed what was spent, against the next smaller one."""
    levels = list(steps)
    place = levels.index(level)
    if len(levels) < 2:
        return {"against": np.nan, **dict.fromkeys(CHANGE, np.nan), "bound": "cannot tell"}
    small, large = (levels[place - 1], level) if place else (level, levels[1])
    means = [steps[each].groupby("problem")["spent"].mean() for each in (small, large)]
    both = pd.concat(means, axis=1, keys=["small", "large"]).dropna()
    clusters = steps[large].groupby("problem")["cluster"].first().loc[both.index]
    change = _interval(both["large"] - both["small"], clusters, steps=len(levels) - 1)
    before, after = both["small"].mean(), both["large"].mean()
    rise = min(large / small if counted and small > 0 else DOUBLING, DOUBLING)
    bound = "cannot tell"
    if change[1] > 0 and after > BINDS * before:
        bound = "yes"
    elif change[2] <= HALF * (rise - 1.0) * before:
        bound = "no"
    against = small if place else large
    return {"against": against, **dict(zip(CHANGE, change, strict=True)), "bound": bound}


def _interval(
    values: pd.Series[float], clusters: pd.Series[str], steps: int = 1
) -> tuple[float, float, float]:
    """Return the mean of `values`, one a problem, with its t interval over clusters.

    It is one of so many `steps` that hold at once.
    """
    mean = float(values.mean())
    pulls = ((values - mean) / len(values)).groupby(clusters).sum()
    G = len(pulls)
    if G < 2:
        return mean, np.nan, np.nan
    sd = float(np.sqrt((pulls**2).sum() * G / (G - 1)))
    half = float(stats.t.isf((1 - LEVEL) / 2 / steps, G - 1)) * sd
    return mean, mean - half, mean + half
