"""From samples to outcomes: the exact expectation of every k that a pool of draws allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tsbench.estimates import (
    MAJORITY,
    ORACLE,
    SPENDS,
    Estimate,
    estimates,
    estimates_by_score,
    spends,
)
from tsbench.tally import LOST, POOL, Tally, tally

__all__ = ["MAJORITY", "ORACLE", "SPENDS", "best_of_outcomes", "outcomes_from_samples"]


def outcomes_from_samples(samples: pd.DataFrame, *, blank: str = "drop") -> pd.DataFrame:
    """Return the exact pass@k and maj@k of every problem's pool, a row for each k = 1..n.

    `samples` has a row per draw: task_class, problem_id and correct (0, 1 or null); for votes
    `answer`; for spend `completion_tokens` (or `tokens`), `prompt_tokens`, `seconds`, `flops`
    and `dollars`; also task, stratum, model, thinking_budget, status, kind and partial where
    known. Rows of another kind than "draw" and partial draws are left out. A draw that the
    infrastructure lost (error, timeout, sandbox_error) leaves its pool; one without an answer
    (truncated, unparsed, refused, or ungraded) stays in it as a blank: it counts in k, is not
    correct, and votes for nothing (blank="drop") or with the other blanks (blank="vote").
    `missing_rate` and `cap_hit_rate` are the shares of blank and of truncated draws, `if_wrong`
    and `if_right` the expectation if lost draws were wrong, or lost and blank ones right. A
    problem that lost every draw has one row without `correct`. Draws under a thinking budget are
    pools of their own, with the budget in the strategy's name.

    Raises ValueError for a missing column, no draws, a `correct` or `status` that is none, and a
    draw that comes twice.
    """
    pools = tally([samples]).whole()
    return pd.concat(
        [outcomes_of(pools, each) for each in estimates(pools, blank=blank)], ignore_index=True
    )


def best_of_outcomes(draws: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the exact best-of-k of every problem's pool by `score`, under the strategy `name`.

    `draws` is a samples table (see `outcomes_from_samples`) with `score`, NaN where the verifier
    gave none: such a draw is chosen only when no other can be. What the verifier spent on a
    draw is in `verifier_prompt_tokens`, `verifier_completion_tokens` and `verifier_seconds`
    where known; it is added to the draw's own prompt tokens, tokens and seconds, and its tokens
    are also told apart in `verifier_tokens`. Raises ValueError as `outcomes_from_samples` does.
    """
    pools = tally([draws], scores=True).whole()
    best = next(estimates_by_score(pools))
    return outcomes_of(pools, replace(best, strategy=name))


def named(strategy: str, thinking: float | None) -> str:
    """Return a pooled strategy's name, with its thinking budget where it has one."""
    known = thinking is not None and not np.isnan(thinking)
    return strategy if not known else f"{strategy} (thinking {thinking:g})"


def outcomes_of(pools: Tally, estimate: Estimate) -> pd.DataFrame:
    """Return an estimate as outcomes: a row for each pool and k = 1..n.

    A pool that lost every draw has one row without `correct`.
    """
    counts = pools.counts
    n = counts["n"].to_numpy()
    times = np.maximum(n, 1)
    pool = np.repeat(np.arange(n.size), times)
    k = np.arange(pool.size) - np.repeat(np.cumsum(times) - times, times)
    labels = pools.labels.iloc[pools.pool].reset_index(drop=True)
    thinking = labels["thinking_budget"].astype(float)
    names = [named(estimate.strategy, budget) for budget in thinking]
    lost = counts[list(LOST)].idxmax(axis=1).where(n == 0, "ok")
    kept = np.maximum(n, 1)
    spent = spends(pools, estimate.accuracy.shape[1], verified=estimate.verified)
    unknown = [column for column in SPENDS if column not in spent]
    each = (
        labels[POOL]
        .astype({"thinking_budget": float})
        .infer_objects()
        .assign(
            strategy=names,
            replicate=0,
            status=lost,
            pool=n,
            missing_rate=counts["blank"] / kept,
            cap_hit_rate=counts["truncated"] / kept,
        )
    )
    table = each.iloc[pool].reset_index(drop=True)
    table.insert(len(POOL) + 1, "budget", k + 1)
    table.insert(len(POOL) + 3, "correct", estimate.accuracy[pool, k])
    table["if_wrong"] = np.where(n[pool] > 0, estimate.if_wrong[pool, k], 0.0)
    table["if_right"] = np.where(n[pool] > 0, estimate.if_right[pool, k], 1.0)
    known = {column: values[pool, k] for column, values in spent.items()}
    return table.assign(**known, **dict.fromkeys(unknown, np.nan))
