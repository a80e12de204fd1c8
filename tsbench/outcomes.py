"""From samples to outcomes: the exact expectation of every k that a pool of draws allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
SPENDS = ("tokens", "prompt_tokens", "verifier_tokens", "flops", "dollars", "seconds", "asks")
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
    if blank not in ("drop", "vote"):
        raise ValueError(f"blank is {blank!r}; allowed are 'drop' and 'vote'.")
    draws = _draws(samples)
    tables = [_pooled(draws, ORACLE, _coverage)]
    if "answer" in draws:
        tables.append(_pooled(draws, MAJORITY, lambda kept: _majority(kept, blank)))
    return pd.concat(tables, ignore_index=True)


def best_of_outcomes(draws: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the exact best-of-k of every problem's pool by `score`, under the strategy `name`.

    `draws` is a samples table (see `outcomes_from_samples`) with `score`, NaN where the verifier
    gave none: such a draw is chosen only when no other can be. What the verifier spent on a
    draw is in `verifier_prompt_tokens`, `verifier_completion_tokens` and `verifier_seconds`
    where known; it is added to the draw's own prompt tokens, tokens and seconds, and its tokens
    are also told apart in `verifier_tokens`. Raises ValueError as `outcomes_from_samples` does.
    """
    require(draws, ("score",), "draws")
    return _pooled(
        _draws(draws), name, lambda kept: best_of_k(kept["score"].to_numpy(float), _right(kept))
    )


def require(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """Raise ValueError that names the first of `columns` that `table` has not."""
    for column in columns:
        if column not in table:
            raise ValueError(
                f"{what} have no column {column!r}; found {', '.join(map(str, table.columns))}."
            )


def accuracies(table: pd.DataFrame, what: str, *, whole: bool) -> pd.Series[float]:
    """Return `correct` as floats, NaN where null; ValueError for a value that is no accuracy.

    Allowed are 0 and 1 and, unless `whole`, what lies between.
    """
    correct = pd.to_numeric(table["correct"], errors="coerce").astype(float)
    fits = correct.isin([0.0, 1.0]) if whole else correct.between(0.0, 1.0)
    odd = table["correct"].notna() & ~fits
    if odd.any():
        row = int(odd.to_numpy().argmax())
        value = table["correct"].tolist()[row]
        allowed = "0, 1 and null" if whole else "0 to 1 and null"
        raise ValueError(f"{what} row {row} has correct = {value!r}; allowed are {allowed}.")
    return correct


def _draws(samples: pd.DataFrame) -> pd.DataFrame:
    require(samples, ("task_class", "problem_id", "correct"), "samples")
    correct = accuracies(samples, "samples", whole=True)
    defaults = {
        "task": samples["task_class"],
        "stratum": None,
        "model": "unknown",
        "thinking_budget": np.nan,
        "status": "ok",
    }
    draws = samples.assign(
        **{column: value for column, value in defaults.items() if column not in samples},
        correct=correct,
    )
    draws["status"] = draws["status"].fillna("ok")
    if "completion_tokens" in draws:
        draws["tokens"] = draws["completion_tokens"]
    unknown = draws["status"][~draws["status"].isin(STATUSES)]
    if len(unknown):
        raise ValueError(
            f"samples have status {unknown.iloc[0]!r}; allowed are {', '.join(STATUSES)}."
        )
    if "kind" in draws:
        draws = draws[draws["kind"] == "draw"]
    if "partial" in draws:
        draws = draws[~draws["partial"].fillna(value=False).astype(bool)]
    if draws.empty:
        raise ValueError("samples have no draw.")
    return draws.assign(blank=draws["status"].isin(BLANK) | draws["correct"].isna())


def _right(kept: pd.DataFrame) -> Array:
    right: Array = kept["correct"].to_numpy(float)
    return np.where(kept["blank"], 0.0, right)


def _coverage(kept: pd.DataFrame) -> Array:
    return pass_at_k(len(kept), int(_right(kept).sum()))


def _majority(kept: pd.DataFrame, blank: str) -> Array:
    answer = kept["answer"].astype("string").str.strip()
    votes = answer.notna() & (answer != "") & ~kept["blank"]
    ballot = kept["correct"][votes].groupby(answer[votes])
    return maj_at_k(ballot.size(), ballot.mean(), int((~votes).sum()), blank=blank)


def _pooled(
    draws: pd.DataFrame, strategy: str, estimate: Callable[[pd.DataFrame], Array]
) -> pd.DataFrame:
    """Return the outcomes of every pool, `estimate` giving each one's accuracies for k = 1..n."""
    tables = []
    for values, pool in draws.groupby(POOL, dropna=False, sort=False):
        labels: dict[str, Any] = dict(zip(POOL, values, strict=True))
        thinking = labels["thinking_budget"]
        name = strategy if pd.isna(thinking) else f"{strategy} (thinking {thinking:g})"
        kept = pool[~pool["status"].isin(LOST)]
        if kept.empty:
            lost = {"budget": 1, "correct": np.nan, "status": pool["status"].iloc[0], "pool": 0}
            table = pd.DataFrame([lost])
        else:
            table = _spent(kept).assign(correct=estimate(kept), status="ok", pool=len(kept))
        tables.append(table.assign(**labels, strategy=name, replicate=0))
    table = pd.concat(tables, ignore_index=True)
    first = [*POOL, "strategy", "budget", "replicate", "correct", "status"]
    return table[[*first, *(column for column in table if column not in first)]]


def _spent(kept: pd.DataFrame) -> pd.DataFrame:
    """Return what k = 1..n draws of a pool cost, its own and its verifier's tokens together."""
    k = np.arange(1, len(kept) + 1)

    def mean(column: str, absent: float = np.nan) -> float:
        return float(kept[column].astype(float).mean()) if column in kept else absent

    read, made = mean("verifier_prompt_tokens", 0.0), mean("verifier_completion_tokens", 0.0)
    seconds = np.full(k.size, np.nan)
    if not np.isnan(mean("seconds")):
        each = kept["seconds"].astype(float).fillna(mean("seconds"))
        if "verifier_seconds" in kept:
            each = each + kept["verifier_seconds"].astype(float).fillna(0.0)
        seconds = expected_max(each)
    return pd.DataFrame(
        {
            "budget": k,
            "tokens": k * (mean("tokens") + made),
            "prompt_tokens": k * (mean("prompt_tokens") + read),
            "verifier_tokens": k * (read + made),
            "flops": k * mean("flops"),
            "dollars": k * mean("dollars"),
            "seconds": seconds,
            "asks": k,
            "missing_rate": kept["blank"].mean(),
            "cap_hit_rate": (kept["status"] == "truncated").mean(),
        }
    )
