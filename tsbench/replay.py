"""Strategies run over draws that are already there: what they would have picked and spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from tsbench.outcomes import ORACLE, outcomes_from_samples
from tsbench.runner import Tally, as_reply, drive
from tsbench.strategies import AdaptiveVote, WindowVote
from tsbench.tally import LOST
from tsbench.types import Problem, Reply, Strategy

ORDERS = 64
"""Random orders of a pool that a strategy is run over."""
ADDED = ["tokens", "prompt_tokens", "flops", "dollars", "asks"]
"""Spends of a run that are sums over its draws; an unknown one counts as its pool's mean."""


def replayed(draws: pd.DataFrame, strategy: AdaptiveVote | WindowVote) -> pd.DataFrame:
    """Return outcomes of a strategy that asks plain draws alone, for k = 1, 2, 4, ... and its own.

    `draws` are the plain draws of one task, rows of samples. The strategy is run over random
    orders of each problem's draws, the same orders for every k, so the curve is paired and no
    draw is new. `correct` and the spends are means over the orders; a run that picked nothing is
    not correct. Columns are those of `outcomes_from_samples`, but for the bounds of what is
    missing, which such a mean has not.
    """
    table = outcomes_from_samples(draws).drop(columns=["if_wrong", "if_right"])
    powers = [2**i for i in range(strategy.k.bit_length()) if 2**i < strategy.k]
    kept = (table["strategy"] == ORACLE) & table["budget"].isin([*powers, strategy.k])
    table = table[kept].assign(strategy=strategy.name).reset_index(drop=True)
    for problem_id, drawn in draws[~draws["status"].isin(LOST)].groupby("problem_id"):
        mine = table["problem_id"] == problem_id
        for k in table.loc[mine, "budget"]:
            found = means(drawn, replace(strategy, k=int(k)))
            table.loc[mine & (table["budget"] == k), list(found)] = list(found.values())
    return table


def means(drawn: pd.DataFrame, strategy: Strategy) -> dict[str, float]:
    """Return the mean correctness and spends of a strategy over orders of one problem's draws."""
    first = drawn.iloc[0]
    problem = Problem(first["problem_id"], first["task"], first["task_class"], ())
    known: Any = drawn.astype(object).where(drawn.notna(), None)
    replies = [as_reply({"text": "", **row}) for row in known.to_dict("records")]
    worth = drawn.assign(tokens=drawn["completion_tokens"], asks=1.0)[ADDED].astype(float)
    paid = worth.fillna(worth.mean()).to_numpy()
    right = dict(zip(drawn["key"], drawn["correct"].fillna(0.0), strict=True))
    rng = np.random.default_rng(len(replies))
    correct, seconds, total = 0.0, 0.0, np.zeros(paid.shape[1])
    for _ in range(ORDERS):
        order = rng.permutation(len(replies))
        picked, spent = replay(strategy, problem, [replies[i] for i in order])
        correct += 0.0 if picked is None else right[picked.key]
        seconds += spent.draws.seconds
        total += paid[order[: spent.asks]].sum(axis=0)
    spends = dict(zip(worth.columns, total / ORDERS, strict=True))
    return {"correct": correct / ORDERS, "seconds": seconds / ORDERS, **spends}


def replay(
    strategy: Strategy, problem: Problem, replies: Sequence[Reply]
) -> tuple[Reply | None, Tally]:
    """Run a strategy on `replies` in their order; return its pick and what that spent."""
    spent, left = Tally(), iter(replies)
    steps = drive(strategy.run(problem), spent, Counter())
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(list(islice(left, len(wanted))))
    except StopIteration as stop:
        return stop.value, spent
