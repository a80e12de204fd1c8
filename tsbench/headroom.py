"""How much of a pool's headroom a selector converts: from a draw at random to the best one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.cells import ALL, Cell, Cells
from tsbench.estimates import BEST, MAJORITY, ORACLE, WEIGHTED
from tsbench.thought import thought

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

SELECTORS = (
    *(MAJORITY, BEST, WEIGHTED, "mbr", "usc", "tournament", "adaptive-vote", "window-vote"),
)
"""Strategies that return one of k equal draws, by what their names begin with."""
LEVEL = 0.95
COLUMNS = [
    *("task_class", "model", "strategy", "budget", "mean", "chosen", "best"),
    *("capture", "low", "high", "n_problems"),
    *("held_out", "held_capture", "held_low", "held_high", "flags"),
]
TEXTS = ("task_class", "model", "strategy", "flags")
EMPTY = 1e-9
"""A headroom below this is none."""


def headroom(cells: Cells, held_out: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a row for each class, model, selecting strategy and k of 2 and more.

    `mean` is the accuracy of one draw, `best` that of the best of k draws (pass@k) and `chosen`
    that of the strategy's pick, all over the same problems; `capture` is (chosen - mean) over
    (best - mean), a ratio of means over problems: 1 for an oracle, 0 for picking at random, and
    below 0 for one that picks worse than that. Strategies are compared with draws that thought
    alike. Its 95 % interval, `low` to `high`, is Fieller's (1954, Journal of the Royal Statistical
    Society B 16:175) over problems or clusters, with the variance floor of the curves; both ends
    are NaN, and `flags` says so, where the headroom cannot be told from none.

    A best that a noisy judge's grades chose is too good by their noise, so that `capture` is too
    small. Where the table `held_out` (see `tsbench.judgements.held_out`) has the grades of the best
    by verdicts that did not choose it, `held_out` is their mean, and `held_capture`, `held_low` and
    `held_high` are the capture of that, where it has an interval; elsewhere they are NaN.
    """
    rows = []
    held = _wide(held_out)
    for (task_class, stratum, model, strategy), mine in cells.items():
        pool = cells.get((task_class, stratum, model, oracle(strategy)))
        if stratum == ALL and selects(strategy) and pool is not None:
            labels = {"task_class": task_class, "model": model, "strategy": strategy}
            plain = oracle(strategy) == ORACLE
            known = held.get((task_class, model)) if plain else None
            rows += [labels | row for row in _rows(mine, pool, known)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = {c: float for c in COLUMNS if c not in (*TEXTS, "n_problems")}
    return table.astype(numbers | {"n_problems": int})


def selects(strategy: str) -> bool:
    """Say whether a strategy returns one of k equal draws."""
    first = thought(strategy)
    return (first.selector if first else strategy).partition(":")[0] in SELECTORS


def oracle(strategy: str) -> str:
    """Return the name of the oracle over the same draws."""
    first = thought(strategy)
    return ORACLE + (strategy.removeprefix(first.selector) if first else "")


def _wide(held_out: pd.DataFrame | None) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the held-out grades of each class and model, problems by k."""
    if held_out is None:
        return {}
    return {
        (str(names[0]), str(names[1])): rows.pivot_table(
            index="problem", columns="budget", values="held_out"
        )
        for names, rows in held_out.groupby(["task_class", "model"])
    }


def _rows(mine: Cell, pool: Cell, held: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    same = mine.problems.intersection(pool.problems)
    here, there = mine.problems.get_indexer(same), pool.problems.get_indexer(same)
    clusters = np.arange(same.size) if mine.clusters is None else mine.clusters[here]
    single = pool.Z[there, 0]
    for k in np.intersect1d(mine.budgets, pool.budgets):
        if k > 1 and same.size and pool.budgets[0] == 1:
            chosen = mine.Z[here, np.searchsorted(mine.budgets, k)]
            best = pool.Z[there, np.searchsorted(pool.budgets, k)]
            capture, low, high, flags = ratio(chosen - single, best - single, clusters)
            yield {
                "budget": k,
                "mean": single.mean(),
                "chosen": chosen.mean(),
                "best": best.mean(),
                "capture": capture,
                "low": low,
                "high": high,
                "n_problems": same.size,
                "flags": flags,
            } | _held(held, k, same, chosen - single, single, clusters)


def _held(
    held: pd.DataFrame | None,
    k: float,
    same: pd.Index,
    over: Array,
    single: Array,
    clusters: Counts,
) -> dict[str, object]:
    """Return the capture of a best that other verdicts chose; nothing where that is not known."""
    if held is None or k not in held:
        return {}
    best = held[k].reindex(same).to_numpy(float)
    known = ~np.isnan(best)
    if not known.any():
        return {}
    capture, low, high, unknown = ratio(over[known], (best - single)[known], clusters[known])
    return {
        "held_out": best[known].mean(),
        "held_capture": np.nan if unknown else capture,
        "held_low": low,
        "held_high": high,
    }


def ratio(over: Array, under: Array, clusters: Counts) -> tuple[float, float, float, str]:
    """Return mean(over) / mean(under), its 95 % interval, and why it has none.

    `over`, `under` and `clusters` are (problems,); clusters are numbered from 0.
    """
    _, clusters = np.unique(clusters, return_inverse=True)
    pairs = np.stack([np.bincount(clusters, values) for values in (over, under)])
    G = pairs.shape[1]
    a, b = over.mean(), under.mean()
    if b < EMPTY:
        return np.nan, np.nan, np.nan, "no headroom: every draw of a problem has the same grade"
    if G < 2:
        return float(a / b), np.nan, np.nan, "no interval: one problem or cluster"
    sizes = np.bincount(clusters) / over.size
    pulls = pairs / over.size - np.outer((a, b), sizes)
    V = pulls @ pulls.T * G / (G - 1.0)
    t = stats.t.isf((1.0 - LEVEL) / 2.0, G - 1)
    square = b**2 - t**2 * V[1, 1]
    if square <= 0.0:
        return float(a / b), np.nan, np.nan, "no interval: the headroom may be none"
    least = 0.2 * (b / G) ** 2
    floor = max(0.0, least - (V[0, 0] - 2.0 * a / b * V[0, 1] + (a / b) ** 2 * V[1, 1]))
    middle = a * b - t**2 * V[0, 1]
    spread = middle**2 - square * (a**2 - t**2 * (V[0, 0] + floor))
    half = float(np.sqrt(max(0.0, spread)))
    most = 1.0 if (over <= under + EMPTY).all() else np.inf
    return float(a / b), (middle - half) / square, min((middle + half) / square, most), ""
