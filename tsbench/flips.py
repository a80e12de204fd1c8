"""The flip table: which answers a larger budget mends, and which it spoils."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from tsbench.cells import ALL, CURVE

KEYS = ["task", "problem_id", "replicate"]


def flips(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return how often each step in budget turns right into wrong and wrong into right.

    For every class, model and strategy whose `correct` is 0 or 1, a row for each pair of
    neighbouring budgets, `before` and `after`, and one from the best budget (the smallest of
    equals) to the largest where those are no neighbours: `n` runs paired by problem and replicate,
    `right_to_wrong`, `wrong_to_right`, their `ratio` (NaN where neither is; a curve falls where
    it exceeds one) and `p_value`, two-sided: McNemar's exact test (1947), or with several
    replicates a problem its form for clusters (Durkalski et al. 2003, Statistics in Medicine
    22:2417). Curves that are expectations over a pool have no flips and no row.
    """
    table = outcomes.assign(
        **{c: v for c, v in {"task": "", "model": "unknown"}.items() if c not in outcomes}
    )
    if "replicate" not in table:
        table["replicate"] = 0
    table["correct"] = pd.to_numeric(table["correct"]).astype(float)
    rows = []
    for names, runs in table.groupby(["task_class", "model", "strategy"]):
        known = runs.dropna(subset="correct")
        if known["correct"].isin([0.0, 1.0]).all():
            wide = known.pivot_table(index=KEYS, columns="budget", values="correct")
            labels = dict(zip(CURVE, (names[0], ALL, names[1], names[2]), strict=True))
            rows += [labels | _flipped(wide, *pair) for pair in _pairs(wide)]
    columns = [*CURVE, "before", "after", "n", "right_to_wrong", "wrong_to_right"]
    return pd.DataFrame(rows, columns=[*columns, "ratio", "p_value"])


def _pairs(wide: pd.DataFrame) -> list[tuple[float, float]]:
    budgets = [float(budget) for budget in wide.columns]
    pairs = list(pairwise(budgets))
    whole = wide.dropna().to_numpy()
    if len(whole):
        best = (budgets[int(whole.mean(axis=0).argmax())], budgets[-1])
        pairs += [best] if best[0] != best[1] and best not in pairs else []
    return pairs


def _flipped(wide: pd.DataFrame, before: float, after: float) -> dict[str, object]:
    both = wide[[before, after]].dropna()
    spoiled = both[before] > both[after]
    mended = both[before] < both[after]
    worse, better = int(spoiled.sum()), int(mended.sum())
    return {
        "before": before,
        "after": after,
        "n": len(both),
        "right_to_wrong": worse,
        "wrong_to_right": better,
        "ratio": worse / better if better else (np.inf if worse else np.nan),
        "p_value": _mcnemar(mended.astype(float) - spoiled.astype(float)),
    }


def _mcnemar(change: pd.Series[float]) -> float:
    """Return the p-value of no change on the whole; `change` is -1, 0 or 1 a run."""
    each = change.groupby(["task", "problem_id"]).agg(["mean", "size"])
    if (each["size"] == 1).all():
        better, worse = int((change > 0).sum()), int((change < 0).sum())
        return float(stats.binomtest(worse, better + worse).pvalue) if better + worse else 1.0
    spread = float((each["mean"] ** 2).sum())
    if not spread:
        return 1.0
    return float(stats.chi2.sf(each["mean"].sum() ** 2 / spread, 1))
