"""From samples to outcomes: the exact expectation of every k that a pool of draws allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.pool import best_of_k, expected_max, maj_at_k, pass_at_k

Array = NDArray[np.float64]

LOST = ("error", "timeout", "sandbox_error")
"""Statuses of the infrastructure: such a draw leaves the pool."""
BLANK = ("truncated", "unparsed", "refused")
"""Statuses that the model reached without an answer: such a draw counts, and is not correct."""
STATUSES = ("ok", *BLANK, *LOST)
POOL = ["task_class", "task", "problem_id", "stratum", "model", "thinking_budget"]
ORACLE = "pass@k"
MAJORITY = "maj@k"


def outcomes_from_samples(samples: pd.DataFrame, *, blank: str = "drop") -> pd.DataFrame:
    """Return the exact pass@k and maj@k of every problem's pool, a row for each k = 1..n.

    `samples` has a row per draw: task_class, problem_id and correct (0, 1 or null); for votes
    `answer`; for spend `completion_tokens` (or `tokens`), `prompt_tokens`, `seconds`, `flops`
    and `dollars`; also task, stratum, model, thinking_budget, status, kind and partial where
    known. Rows of another kind than "draw" and partial draws are left out. A draw that the
    infrastructure lost (error, timeout, sandbox_error) leaves its pool; one without an answer
    (truncated, unparsed, refused, or ungraded) stays in it as a blank: it counts in k, is not
    correct, and votes for nothing (blank="drop") or with the other blanks (blank="vote").
    `missing_rate` and `cap_hit_rate` are the shares of blank and of truncated draws. A problem
    that lost every draw has one row without `correct`. Draws under a thinking budget are pools of
    their own, with the budget in the strategy's name.

    Raises ValueError for a missing column, no draws, and a `correct` or `status` that is none.
    """
    draws = _draws(samples)
    voted = "answer" in draws
    rows = []
    for names, pool in draws.groupby(POOL, dropna=False, sort=False):
        kept = pool[~pool["status"].isin(LOST)]
        strategies = {ORACLE: _coverage(kept)}
        if voted:
            strategies["maj@k"] = _majority(kept, blank)
        rows += [_outcomes(names, strategy, pool, kept, c) for strategy, c in strategies.items()]
    return pd.concat(rows, ignore_index=True)


def best_of_outcomes(draws: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the exact best-of-k of every problem's pool by `score`, under the strategy `name`.

    `draws` is a samples table (see `outcomes_from_samples`) with `score`, NaN where the verifier
    gave none: such a draw is chosen only when no other can be. What the verifier spent on a
    draw is in `verifier_prompt_tokens`, `verifier_completion_tokens` and `verifier_seconds`
    where known; it is added to the draw's own prompt tokens, tokens and seconds, and its tokens
    are also told apart in `verifier_tokens`. Raises ValueError as `outcomes_from_samples` does.
    """
    _need(draws, ("score",), "draws")
    table = _draws(draws)
    rows = []
    for names, pool in table.groupby(POOL, dropna=False, sort=False):
        kept = pool[~pool["status"].isin(LOST)]
        score = kept["score"].to_numpy(float)
        chosen = best_of_k(score, _right(kept)) if len(kept) else np.array([np.nan])
        rows.append(_outcomes(names, name, pool, kept, chosen))
    return pd.concat(rows, ignore_index=True)


def _need(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    for column in columns:
        if column not in table:
            raise ValueError(
                f"{what} have no column {column!r}; found {', '.join(map(str, table.columns))}."
            )


def _draws(samples: pd.DataFrame) -> pd.DataFrame:
    _need(samples, ("task_class", "problem_id", "correct"), "samples")
    draws = samples
    if "kind" in draws:
        draws = draws[draws["kind"] == "draw"]
    if "partial" in draws:
        draws = draws[~draws["partial"].fillna(value=False).astype(bool)]
    if draws.empty:
        raise ValueError("samples have no draw.")
    correct = pd.to_numeric(draws["correct"], errors="coerce").astype(float)
    odd = (draws["correct"].notna() & correct.isna()) | ~(correct.isna() | correct.isin([0, 1]))
    if odd.any():
        row = draws.index[odd][0]
        raise ValueError(
            f"samples row {row} has correct = {draws['correct'][row]!r}; allowed are 0, 1 and null."
        )
    draws = draws.assign(correct=correct)
    fill = {"task": draws["task_class"], "stratum": None, "model": "unknown", "status": "ok"}
    for column, value in {**fill, "thinking_budget": np.nan}.items():
        if column not in draws:
            draws = draws.assign(**{column: value})
    draws = draws.assign(status=draws["status"].fillna("ok"))
    unknown = ~draws["status"].isin(STATUSES)
    if unknown.any():
        raise ValueError(
            f"samples have status {draws['status'][unknown].iloc[0]!r}; "
            f"allowed are {', '.join(STATUSES)}."
        )
    if "completion_tokens" in draws:
        draws = draws.assign(tokens=draws["completion_tokens"])
    blank = draws["status"].isin(BLANK) | (draws["correct"].isna() & (draws["status"] == "ok"))
    return draws.assign(blank=blank)


def _right(kept: pd.DataFrame) -> Array:
    right: Array = np.where(kept["blank"], 0.0, kept["correct"].fillna(0.0)).astype(float)
    return right


def _coverage(kept: pd.DataFrame) -> Array:
    if kept.empty:
        return np.array([np.nan])
    return pass_at_k(len(kept), int(_right(kept).sum()))


def _majority(kept: pd.DataFrame, blank: str) -> Array:
    if kept.empty:
        return np.array([np.nan])
    answer = kept["answer"]
    votes = answer.notna() & ~kept["blank"] & (answer.astype(str).str.strip() != "")
    groups = kept[votes].groupby(answer[votes].astype(str), sort=True)["correct"]
    return maj_at_k(groups.size(), groups.mean(), int((~votes).sum()), blank=blank)


def _outcomes(
    names: Hashable, strategy: str, pool: pd.DataFrame, kept: pd.DataFrame, correct: Array
) -> pd.DataFrame:
    labels = dict(zip(POOL, names, strict=True))  # type: ignore[call-overload]
    thinking = labels["thinking_budget"]
    if not pd.isna(thinking):
        strategy = f"{strategy} (thinking {thinking:g})"
    k = np.arange(1, correct.size + 1)
    lost = kept.empty

    def mean(column: str) -> float:
        known = kept[column].astype(float) if column in kept else pd.Series(dtype=float)
        return float(known.mean()) if known.notna().any() else float("nan")

    def verifier(column: str) -> float:
        return mean(column) if column in kept else 0.0

    read, made = verifier("verifier_prompt_tokens"), verifier("verifier_completion_tokens")
    seconds = np.full(k.size, np.nan)
    if "seconds" in kept and kept["seconds"].notna().any() and not lost:
        each = kept["seconds"].astype(float).fillna(mean("seconds"))
        if "verifier_seconds" in kept:
            each = each + kept["verifier_seconds"].astype(float).fillna(0.0)
        seconds = expected_max(each)
    frame = pd.DataFrame(
        {
            "strategy": strategy,
            "budget": k,
            "replicate": 0,
            "correct": correct,
            "status": pool["status"].iloc[0] if lost else "ok",
            "tokens": k * (mean("tokens") + made),
            "prompt_tokens": k * (mean("prompt_tokens") + read),
            "verifier_tokens": k * (read + made),
            "flops": k * mean("flops"),
            "dollars": k * mean("dollars"),
            "seconds": seconds,
            "asks": k,
            "missing_rate": float("nan") if lost else kept["blank"].mean(),
            "cap_hit_rate": float("nan") if lost else (kept["status"] == "truncated").mean(),
            "pool": len(kept),
        }
    )
    for place, label in enumerate(POOL):
        frame.insert(place, label, labels[label])
    return frame
