"""From what strategies did and what the store holds to the outcomes of a task."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tsbench.cost import Prices
from tsbench.estimates import WEIGHTED, estimates_by_score
from tsbench.files import whole
from tsbench.outcomes import best_of_outcomes, outcomes_from_samples, outcomes_of
from tsbench.replay import replayed
from tsbench.similarity import choices, similarities
from tsbench.strategies import (
    AdaptiveVote,
    BestOf,
    Composed,
    Coverage,
    Majority,
    MinimumBayesRisk,
    Single,
    WeightedVote,
    WindowVote,
)
from tsbench.tally import tally
from tsbench.types import Outcome, Strategy, Usage

BLANK = ("truncated", "unparsed", "refused")
"""Statuses of a reply that came and gives no answer."""
CHARGED = ("draw", "judge")
"""Kinds of replies that strategies ask for; what a judge grades with is no strategy's."""
COUNTS = ["prompt_tokens", "cached_tokens", "completion_tokens"]
VERIFIER = {
    "score": "score",
    "prompt_tokens": "verifier_prompt_tokens",
    "completion_tokens": "verifier_completion_tokens",
    "seconds": "verifier_seconds",
    "flops": "verifier_flops",
    "dollars": "verifier_dollars",
}

Row = Mapping[Hashable, Any]
Ran = Sequence[tuple[Strategy, list[Outcome]]]


def tables(samples: pd.DataFrame, ran: Ran, prices: Prices) -> dict[str, pd.DataFrame]:
    """Return a table of outcomes for each strategy that was run on one task.

    `samples` are that task's graded rows. A strategy over a pool of equal draws gets every
    k = 1..n from that pool, exactly where an estimator exists; any other gets the runs it made.
    """
    rows = priced(samples[samples["kind"].isin(CHARGED)], prices)
    found: dict[str, list[pd.DataFrame]] = {}
    for strategy, runs in ran:
        pooled = POOLED.get(type(strategy))
        table = pooled(rows, strategy) if pooled else None
        if isinstance(strategy, Composed):
            table = by_runs(rows, strategy, runs, prices)
        if table is None:
            table = as_run(rows, strategy, runs, prices)
        for name, part in table.groupby("strategy", sort=False):
            found.setdefault(str(name), []).append(part)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}


def priced(samples: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Return the rows with their FLOPs and dollars, a judge's by the price of its own model."""
    verifiers = samples["verifier"].where(samples["kind"] == "judge", "")
    spent = pd.DataFrame(float("nan"), samples.index, ["flops", "dollars"])
    for verifier, part in samples[COUNTS].groupby(verifiers.fillna(""), sort=False):
        price, read, cached, made = prices.of(verifier), *counts(part)
        spent.loc[part.index, "flops"] = price.flops(read, cached.fillna(0.0), made)
        spent.loc[part.index, "dollars"] = price.dollars(read, made, cached.fillna(0.0))
    return samples.assign(flops=spent["flops"], dollars=spent["dollars"])


def counts(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return tokens read, tokens of those that were cached, and tokens generated."""
    read, cached, made = (rows[column].astype(float) for column in COUNTS)
    return read, cached, made


def pool(rows: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the first `k` plain draws of every problem."""
    plain = (rows["kind"] == "draw") & ~rows["partial"] & (rows["thinking_kind"] == "none")
    kept = rows[plain & (rows["index"] < k)]
    return kept[[unconditioned(params) for params in kept["params"]]]


def unconditioned(params: str) -> bool:
    """Return whether a draw continues nothing and was shown nothing but the problem."""
    given = json.loads(params)
    return not given["prefix"] and "turns" not in given


def by_samples(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame:
    """Return pass@k or maj@k for every k."""
    table = outcomes_from_samples(pool(rows, strategy.budget))
    return table[table["strategy"] == strategy.name]


def by_first(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame:
    """Return one draw: its expectation over all that the store holds of its pool."""
    table = outcomes_from_samples(pool(rows, len(rows)))
    one = (table["strategy"] == Coverage.name) & (table["budget"] == strategy.budget)
    return table[one].assign(strategy=strategy.name)


def by_score(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame:
    """Return best-of-k by a verifier for every k, what the verifier spent included."""
    assert isinstance(strategy, BestOf)
    return best_of_outcomes(verified(rows, strategy), strategy.name)


def by_weight(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame | None:
    """Return the weighted vote of k for every k; None where a score is negative or all lack."""
    assert isinstance(strategy, WeightedVote)
    pools = tally([verified(rows, strategy)], scores=True).whole()
    found = [each for each in estimates_by_score(pools) if each.strategy == WEIGHTED]
    return outcomes_of(pools, replace(found[0], strategy=strategy.name)) if found else None


def verified(rows: pd.DataFrame, strategy: BestOf | WeightedVote) -> pd.DataFrame:
    """Return the pool with each draw's score and what the verifier spent on it."""
    judged = (rows["kind"] == "judge") & (rows["verifier"] == strategy.verifier)
    judges = rows[judged].drop_duplicates("of").set_index("of")
    judges = judges[list(VERIFIER)].rename(columns=VERIFIER)
    table = pool(rows, strategy.budget).drop(columns="score").join(judges, on="key")
    unjudged = ~table["key"].isin(judges.index)
    table.loc[unjudged, [column for column in VERIFIER.values() if column != "score"]] = 0.0
    for axis in ("flops", "dollars"):
        table[axis] += table[f"verifier_{axis}"]
    return table


def by_similarity(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame:
    """Return minimum Bayes risk for every k, from random subsets: it has no exact expectation."""
    draws = pool(rows, strategy.budget)
    table = outcomes_from_samples(draws)
    table = table[table["strategy"] == Coverage.name].assign(strategy=strategy.name)
    for problem_id, drawn in draws.groupby("problem_id"):
        kept = drawn[~drawn["status"].isin(("error", "timeout", "sandbox_error"))]
        if len(kept):
            answers = [text if isinstance(text, str) else None for text in kept["answer"]]
            correct = kept["correct"].fillna(0.0).to_numpy(float)
            mine = table["problem_id"] == problem_id
            table.loc[mine, "correct"] = choices(similarities(answers)) @ correct
    return table


def by_replay(rows: pd.DataFrame, strategy: Strategy) -> pd.DataFrame:
    """Return what a strategy that stops early comes to, run anew over orders of the pool."""
    assert isinstance(strategy, AdaptiveVote | WindowVote)
    return replayed(pool(rows, strategy.k), strategy)


def by_runs(
    rows: pd.DataFrame, strategy: Composed, runs: Sequence[Outcome], prices: Prices
) -> pd.DataFrame:
    """Return every k = 1..K of a pool whose draws are whole runs of an internal treatment.

    A run's spend is its whole chain's, thoughts included. A vote gives pass@k and maj@k, a
    verifier best-of-k; `thinking_tokens` are k times the mean of a run's.
    """
    answers: Any = rows.set_index("key")["answer"]
    keys = [run.reply.key if run.reply else None for run in runs]
    judges = [sum(run.judges.values(), Usage()) for run in runs]
    made = as_run(rows, strategy.thinking, runs, prices)
    draws = made.assign(
        index=made["replicate"],
        answer=answers.reindex(keys).array,
        tokens=[known(run.draws.completion_tokens) for run in runs],
        prompt_tokens=[known(run.draws.prompt_tokens) for run in runs],
        verifier_prompt_tokens=[known(spent.prompt_tokens) for spent in judges],
        verifier_completion_tokens=[known(spent.completion_tokens) for spent in judges],
        thinking_budget=float("nan"),
    )
    if strategy.verifier is None:
        table = outcomes_from_samples(draws)
        table["strategy"] = [strategy.named(name) for name in table["strategy"]]
    else:
        marks = rows[rows["verifier"] == strategy.verifier].drop_duplicates("of").set_index("of")
        table = best_of_outcomes(
            draws.assign(score=marks["score"].reindex(keys).array), strategy.name
        )
    thought = table["problem_id"].map(made.groupby("problem_id")["thinking_tokens"].mean())
    return table.assign(
        thinking_budget=float(strategy.thinking.budget), thinking_tokens=thought * table["budget"]
    )


def as_run(
    rows: pd.DataFrame, strategy: Strategy, runs: Sequence[Outcome], prices: Prices
) -> pd.DataFrame:
    """Return a row for every run that was made; one that asked nothing has no known stratum."""
    picks = {run.reply.key for run in runs if run.reply is not None}
    graded = {row["key"]: row for row in records(rows[rows["key"].isin(picks)])}
    ones = records(rows.drop_duplicates("problem_id", keep="last"))
    labels = {row["problem_id"]: row for row in ones}
    silent = {**rows.iloc[0].to_dict(), "stratum": None}
    return pd.DataFrame(
        [
            as_row(
                run,
                strategy,
                labels.get(run.problem_id, silent),
                None if run.reply is None else graded[run.reply.key],
                prices,
            )
            for run in runs
        ]
    )


def records(rows: pd.DataFrame) -> list[Row]:
    """Return rows as mappings, None where a value is missing."""
    known: Any = rows.astype(object).where(rows.notna(), None)
    return list(known.to_dict("records"))


def as_row(
    run: Outcome, strategy: Strategy, label: Row, picked: Row | None, prices: Prices
) -> dict[str, object]:
    """Return one run as a row; `picked` is the graded reply that it returned."""
    status, reason = (
        (run.status, run.reason) if picked is None else (picked["status"], picked["reason"])
    )
    if picked is None and status == "ok":
        status, reason = "unparsed", "the strategy picked no reply"
    judges = sum(run.judges.values(), Usage())
    spent = run.draws + judges
    each = [(prices.model, run.draws), *((prices.of(v), u) for v, u in run.judges.items())]
    thinks = hasattr(strategy, "thinking_kind")
    return {
        "task_class": label["task_class"],
        "task": label["task"],
        "problem_id": run.problem_id,
        "stratum": label["stratum"],
        "model": label["model"],
        "strategy": strategy.name,
        "thinking_budget": getattr(strategy, "thinking_budget", float("nan")),
        "budget": strategy.budget,
        "replicate": run.replicate,
        "picked": None if picked is None else picked["key"],
        "correct": float("nan") if picked is None else picked["correct"],
        "status": status,
        "reason": reason,
        "tokens": known(spent.completion_tokens),
        "prompt_tokens": known(spent.prompt_tokens),
        "verifier_tokens": known(judges.prompt_tokens) + known(judges.completion_tokens),
        "thinking_tokens": known(run.thoughts if thinks else None),
        "flops": sum(price.flops(*tokens(usage)) for price, usage in each),
        "dollars": sum(price.dollars(*billed(usage)) for price, usage in each),
        "seconds": run.draws.seconds,
        "asks": run.asks,
        "missing_rate": float(status in BLANK),
        "cap_hit_rate": float(status == "truncated"),
    }


def tokens(usage: Usage) -> tuple[float, float, float]:
    """Return tokens read, of those cached (none where that is unknown), and generated."""
    return (
        known(usage.prompt_tokens),
        float(usage.cached_tokens or 0),
        known(usage.completion_tokens),
    )


def billed(usage: Usage) -> tuple[float, float, float]:
    """Return tokens read, generated, and of those read the cached ones."""
    read, cached, made = tokens(usage)
    return read, made, cached


def known(count: int | None) -> float:
    """Return a count as a number, NaN where it is unknown."""
    return float("nan") if count is None else float(count)


def regraded(samples: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes of runs with the grades that their picks have now; no run is made anew.

    `samples` are the graded rows of one task; `picked` is the key of the reply that a run picked.
    """
    graded = samples.set_index("key")[["correct", "status", "reason"]]
    has_pick = outcomes["picked"].notna()
    table = outcomes.copy()
    now = graded.loc[outcomes.loc[has_pick, "picked"]].set_index(table.index[has_pick])
    table.loc[has_pick, list(graded)] = now
    blank, cut = table["status"].isin(BLANK), table["status"] == "truncated"
    return table.assign(missing_rate=blank.astype(float), cap_hit_rate=cut.astype(float))


def save(folder: Path, task: str, model: str, outcomes: Mapping[str, pd.DataFrame]) -> None:
    """Write the outcomes of one task, a file for each strategy and model, each complete or not."""
    into = folder / "outcomes"
    into.mkdir(exist_ok=True)
    for name, table in outcomes.items():
        path = into / f"part-{slug(task, model, name)}.parquet"
        with whole(path) as temporary:
            table.to_parquet(temporary, index=False)


def slug(*names: str) -> str:
    """Return names as one file name."""
    return "-".join("".join(c if c.isalnum() else "_" for c in name) for name in names)


POOLED: dict[type, Callable[[pd.DataFrame, Strategy], pd.DataFrame | None]] = {
    AdaptiveVote: by_replay,
    Coverage: by_samples,
    Majority: by_samples,
    BestOf: by_score,
    MinimumBayesRisk: by_similarity,
    Single: by_first,
    WeightedVote: by_weight,
    WindowVote: by_replay,
}
