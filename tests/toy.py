"""Small made-up curves, knees and run folders: synthetic, for looking at, about no model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BUDGETS = (1, 2, 4, 8, 16, 32)
SHAPES: Mapping[str, Sequence[float]] = {
    "pass@k": (0.41, 0.52, 0.63, 0.73, 0.81, 0.87),
    "maj@k": (0.41, 0.41, 0.52, 0.56, 0.58, 0.585),
    "best-of-n:logprob": (0.41, 0.44, 0.47, 0.46, 0.43, 0.40),
}


def curve(
    task_class: str,
    strategy: str,
    accuracy: Sequence[float],
    *,
    budgets: Sequence[int] = BUDGETS,
    stratum: str | None = "all",
    model: str = "toy",
    tokens: float = 24.0,
    half: float = 0.08,
) -> pd.DataFrame:
    """Return one strategy's rows of curves.parquet; a budget spends `tokens` tokens."""
    k, y = np.asarray(budgets, float), np.asarray(accuracy, float)
    return pd.DataFrame(
        {
            "task_class": task_class,
            "stratum": stratum,
            "model": model,
            "strategy": strategy,
            "budget": np.asarray(budgets),
            "accuracy": y,
            "low": np.clip(y - half, 0, 1),
            "high": np.clip(y + half, 0, 1),
            "n_problems": 40,
            "tokens": k * tokens,
            "flops": k * tokens * 2.7e8,
            "missing_rate": 0.0,
            "cap_hit_rate": 0.0,
        }
    )


def knee(task_class: str, strategy: str, axis: str = "tokens", **changes: Any) -> dict[str, Any]:
    """Return a row of knees.parquet: flat, with its knee at 5 draws, unless told otherwise."""
    unit = 24.0 if axis == "tokens" else 24.0 * 2.7e8
    row: dict[str, Any] = {
        "task_class": task_class,
        "stratum": "all",
        "model": "toy",
        "strategy": strategy,
        "axis": axis,
        "rule": "delta=0.01",
        "knee": 5 * unit,
        "low": 3 * unit,
        "high": 9 * unit,
        "verdict": "flat",
        "knee_budget": 4,
        "accuracy_at_knee": 0.53,
        "peak": 32 * unit,
        "peak_accuracy": 0.585,
        "p_turnover": 0.04,
        "p_value": 0.6,
        "p_beyond": 0.02,
        "gain_left": 0.055,
        "half_delta": 8 * unit,
        "double_delta": 3 * unit,
        "gain95": 16 * unit,
        "n_problems": 40,
        "n_samples": 1280,
        "family": "power",
        "params": "a = 0.41 ± 0.02",
        "flags": "",
        "chosen": strategy,
    }
    return row | changes


def beyond(task_class: str, strategy: str, axis: str = "tokens", **changes: Any) -> dict[str, Any]:
    """Return a row of knees.parquet whose knee lies beyond the grid."""
    censored = {"knee": np.nan, "high": np.nan, "gain_left": np.nan, "knee_budget": 32}
    said = {"verdict": "rising", "p_beyond": 0.97}
    return knee(task_class, strategy, axis, **(censored | said | changes))


def curves(classes: Sequence[str] = ("math",), **changes: Any) -> pd.DataFrame:
    """Return curves of three strategies for each class, whole and in two levels."""
    rows = [
        curve(c, s, np.clip(np.asarray(y) + shift, 0, 1), stratum=stratum, **changes)
        for c in classes
        for s, y in SHAPES.items()
        for stratum, shift in (("all", 0.0), ("level1", 0.2), ("level2", -0.3))
    ]
    return pd.concat(rows, ignore_index=True)


def knees(classes: Sequence[str] = ("math",), **frontier: Any) -> pd.DataFrame:
    """Return knees of the same strategies on two axes; `frontier` changes the frontier's rows."""
    rows = []
    for c in classes:
        for axis in ("tokens", "flops"):
            rows += [
                beyond(c, "pass@k", axis),
                knee(c, "maj@k", axis),
                knee(c, "best-of-n:logprob", axis, verdict="falls", p_turnover=0.99),
                knee(c, "maj@k", axis, stratum="level1"),
                knee(c, "maj@k", axis, stratum="level2", verdict="falls"),
                knee(c, "frontier", axis, **({"chosen": "maj@k"} | frontier)),
            ]
    return pd.DataFrame(rows)


def match(strategy: str, budget: float, **changes: Any) -> dict[str, Any]:
    """Return a row of matches.parquet: no worse than majority vote at 100 tokens, it seems."""
    row: dict[str, Any] = {
        "task_class": "math",
        "model": "toy",
        "axis": "tokens",
        "strategy": strategy,
        "budget": budget,
        "rival": "maj@k",
        "rival_budget": 4.2,
        "matched": "spend",
        "spend": 100.0,
        "rival_spend": 100.0,
        "accuracy": 0.5,
        "rival_accuracy": 0.521,
        "difference": -0.021,
        "low": -0.05,
        "high": 0.008,
        "all_low": -0.07,
        "all_high": 0.028,
        "spend_ratio": 1.0,
        "ratio_low": np.nan,
        "ratio_high": np.nan,
        "n_problems": 40,
        "verdict": "cannot tell",
        "flags": "",
    }
    return row | changes


def samples() -> pd.DataFrame:
    """Return six replies: four draws, one step of thought, one verifier call."""
    return pd.DataFrame(
        {
            "task_class": "math",
            "model": "toy",
            "kind": ["draw"] * 5 + ["judge"],
            "partial": [False] * 4 + [True, False],
            "status": ["ok", "ok", "truncated", "error", "ok", "ok"],
            "prompt_tokens": [100, 100, 100, None, 100, 150],
            "cached_tokens": [0, 90, 90, None, 90, 90],
            "completion_tokens": [10, 20, 30, None, 40, 1],
        }
    )


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest of two jobs on one model of 100 parameters."""
    model = {"class": "Local", "name": "toy", "path": "/home/someone/models/toy.gguf"}
    jobs = {
        f"math by {s}": {"seed": 7, "model": model, "strategy": {"class": s, "k": 32}}
        for s in ("Majority", "Coverage")
    }
    known = {
        "schema_version": 1,
        "versions": {"python": "3.12.1", "tsbench": "0.1.0", "xllamacpp": None},
        "models": {"toy": {"endpoint": "gguf:toy", "model": "toy", "params": 100.0}},
        "jobs": jobs,
        "sandbox": None,
        "seed": 7,
        "calls": [{"started": 1.7e9, "seconds": 200.0, "calls": 6}],
    }
    return known | changes


def run_folder(
    folder: Path,
    *,
    curves_table: pd.DataFrame | None = None,
    knees_table: pd.DataFrame | None = None,
    matches_table: pd.DataFrame | None = None,
    samples_table: pd.DataFrame | None = None,
    manifest_json: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run folder; matches, samples and manifest only where given."""
    folder.mkdir(parents=True, exist_ok=True)
    (curves() if curves_table is None else curves_table).to_parquet(folder / "curves.parquet")
    (knees() if knees_table is None else knees_table).to_parquet(folder / "knees.parquet")
    if matches_table is not None:
        matches_table.to_parquet(folder / "matches.parquet")
    if samples_table is not None:
        (folder / "samples").mkdir()
        samples_table.to_parquet(folder / "samples" / "part-00000.parquet")
    if manifest_json is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest_json))
    return folder


def composed(
    thinking: Sequence[float] = (8, 32, 128),
    draws: int = 8,
    *,
    kind: str = "forced",
    selectors: Sequence[str] = ("pass@k", "maj@k"),
    problems: int = 40,
    task_class: str = "math",
    ignored: bool = False,
) -> pd.DataFrame:
    """Return outcomes of N draws after each thinking budget: exact expectations over a pool.

    Thought and draws each help and each run into a limit, so that the best of a spend is a mix.
    Where `ignored`, every budget spends about 50 tokens of thought and they are all alike.
    """
    rng = np.random.default_rng(0)
    ease = rng.normal(0.0, 1.0, problems)
    rows = []
    for t in thinking:
        used = np.full(problems, 50.0) if ignored else np.full(problems, float(t))
        used = used + rng.normal(0.0, 0.02 * used)
        for selector in selectors:
            lift = 1.0 if selector.startswith("pass@k") else 0.35
            for n in range(1, draws + 1):
                logit = ease + 0.25 * np.log2(1.0 + min(used.mean(), 200.0)) + lift * np.log2(n) - 1
                for q in range(problems):
                    right, spent = 1.0 / (1.0 + np.exp(-logit[q])), n * (used[q] + 12.0)
                    name = f"{selector} ({kind} {t:g})"
                    rows.append((task_class, f"p{q}", name, float(t), n, right, used[q], spent))
    columns = ["task_class", "problem_id", "strategy", "thinking_budget", "budget", "correct"]
    table = pd.DataFrame(rows, columns=[*columns, "thinking_tokens", "tokens"])
    return table.assign(model="toy", replicate=0, pool=draws, flops=table["tokens"] * 2.7e8)
