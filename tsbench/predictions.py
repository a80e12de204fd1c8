"""What a policy was expected to come to, beside what it came to when it was run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.policy import digest

Array = NDArray[np.float64]

ROUTED = "routed"
LEVEL = 0.95
COLUMNS = [
    *("task_class", "model", "axis", "figure", "against"),
    *("predicted", "predicted_low", "predicted_high", "measured", "measured_low", "measured_high"),
    *("agrees", "n_problems", "n_seen", "flags"),
]


def predictions(outcomes: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return what was predicted and measured of a run's routed strategy, a row a class and figure.

    `outcomes` are the run's, `manifest` its manifest, which holds the policy. Figures are accuracy
    and spend, and where the uniform budget that the policy replaces was run on the same problems,
    `change` (accuracy less that budget's) and `spared` (1 - spend over that budget's), paired.
    Measured intervals are 95 % t intervals over problems, replicates averaged first. `agrees` says
    whether the difference of both lies within both intervals' halves, added as variances.
    `n_seen` problems are among those that the policy was fitted to; a flag says so. No row where
    no policy was run.
    """
    rows: list[dict[str, object]] = []
    for policy in _policies(manifest):
        for part in policy["parts"]:
            mine = (outcomes["task_class"] == part["task_class"]) & outcomes["correct"].notna()
            rows += _rows(outcomes[mine], part, policy["axis"])
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(["task_class", "model", "figure"])


def _policies(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for job in manifest.get("jobs", {}).values():
        strategy = job.get("strategy", {})
        if strategy.get("class") == "Routed" and "loaded" in strategy:
            yield strategy["loaded"]


def _rows(
    outcomes: pd.DataFrame, part: Mapping[str, Any], axis: str
) -> Iterator[dict[str, object]]:
    """Yield the figures of one class."""
    for model, mine in outcomes.groupby("model"):
        routed = _means(mine[mine["strategy"] == ROUTED], axis)
        if routed.empty:
            continue
        seen = {*part["seen"]}
        known = sum(digest(str(task), str(problem)) in seen for task, problem in routed.index)
        label = {
            "task_class": part["task_class"],
            "model": model,
            "axis": axis,
            "n_seen": known,
            "flags": f"{known} problems are among those it was fitted to" if known else "",
        }
        figures = {"accuracy": routed["correct"], "spend": routed[axis]}
        base, against = part["baseline"], ""
        if base is not None:
            against = f"{base['strategy']} @ {base['budget']:g}"
            same = (mine["strategy"] == base["strategy"]) & (mine["budget"] == base["budget"])
            other = _means(mine[same], axis).reindex(routed.index)
            if other["correct"].notna().all():
                figures["change"] = routed["correct"] - other["correct"]
                figures["spared"] = _ratio(routed[axis], other[axis])
        for name, values in figures.items():
            yield label | _row(name, values.to_numpy(float), part["expected"][name], against)


def _means(rows: pd.DataFrame, axis: str) -> pd.DataFrame:
    return rows.groupby(["task", "problem_id"])[["correct", axis]].mean()


def _ratio(spend: pd.Series, other: pd.Series) -> pd.Series:
    """Return values a problem whose mean is 1 - spend / other, and that vary as it does."""
    whole, base = float(spend.mean()), float(other.mean())
    found: pd.Series = 1.0 - (spend - whole / base * (other - base)) / base
    return found


def _row(
    name: str, values: Array, expected: Mapping[str, float], against: str
) -> dict[str, object]:
    mean, n, half = float(values.mean()), values.size, np.nan
    if n > 1:
        floor = 0.2 / n**2 if name in ("accuracy", "change") else 0.0
        variance = max(float(values.var(ddof=1)) / n, floor)
        half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * np.sqrt(variance)
    value, low, high = (float(expected[end]) for end in ("value", "low", "high"))
    room = np.hypot(half, value - low if mean < value else high - value)
    return {
        "figure": name,
        "against": against if name in ("change", "spared") else "",
        "predicted": value,
        "predicted_low": low,
        "predicted_high": high,
        "measured": mean,
        "measured_low": mean - half,
        "measured_high": mean + half,
        "agrees": "cannot tell" if np.isnan(room) else "yes" if abs(mean - value) <= room else "no",
        "n_problems": n,
    }
