"""Cells: the problems of one curve, with their accuracy at each budget and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.compliance import Binding, bindings, compliance
from tsbench.estimates import SPENDS, Estimate, estimates, estimates_by_score, spends
from tsbench.outcomes import named
from tsbench.tally import BLANK, LOST, Tally, accuracies, require

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Names = tuple[str, str, str, str]
"""task_class, stratum, model, strategy"""
Label = tuple[str, str, float]
"""task_class, model, thinking budget (NaN is none)"""

CURVE = ["task_class", "stratum", "model", "strategy"]
ALL = "all"
"""The stratum that is the class as a whole."""
THIRDS = ("hardest third", "middle third", "easiest third")
LEAST = 12
"""The fewest problems and, twice over, draws a problem for which thirds are made."""
HELD = 0.9
"""A budget is part of a curve when this share of the problems has it."""
RATES = ("cap_hit_rate", "missing_rate", "if_wrong", "if_right")


@dataclass(frozen=True)
class Cell:
    """One curve's problems: accuracies `Z` (rows, budgets) and mean spends by budget.

    A row is a problem, named in `problems`; in thirds by halves a problem may have two rows.
    `clusters` (rows,) labels rows that are not independent, None where each is its own.
    `means` has a row per budget: the columns of SPENDS that are known, `cap_hit_rate`,
    `missing_rate`, and the accuracy if everything missing were wrong (`if_wrong`) or right
    (`if_right`). `dropped` problems lack a budget. `unpriced` is the share of draws whose tokens
    are not known, `draws` the fewest and most draws of a problem. `spent` has each row's own
    spends (rows, budgets), NaN where not known; it is held for the stratum ALL alone. `thought`
    says which of its thinking budgets are known to have made no difference.
    """

    problems: pd.Index
    budgets: Counts
    Z: Array
    means: pd.DataFrame
    dropped: int
    samples: int
    n_problems: int
    clusters: Counts | None = None
    unpriced: float = 0.0
    draws: tuple[int, int] | None = None
    spent: Mapping[str, Array] = field(default_factory=dict)
    thought: Binding = field(default_factory=Binding)

    def spends(self, axis: str) -> bool:
        """Say whether the spend on `axis` is known, and not zero, at every budget."""
        return axis in self.means and bool((self.means[axis] > 0).all())

    def at(self, keep: Counts) -> Cell:
        """Return the cell at the budgets with these indices."""
        return replace(
            self,
            budgets=self.budgets[keep],
            Z=self.Z[:, keep],
            means=self.means.iloc[keep],
            spent={axis: spend[:, keep] for axis, spend in self.spent.items()},
        )


Cells = dict[Names, Cell]


def cells_of_draws(
    draws: Tally, *, blank: str = "drop", verifier: str | None = None, thirds: bool = True
) -> Cells:
    """Return the cells of every pooled strategy: pass@k, maj@k, and best-of-k where scored.

    A cell for each class and model, for each of its declared strata, and with `thirds` for its
    thirds by difficulty: problems ranked by pass@1 on one half of their draws (ties at random) and
    evaluated on the other half, both ways about, so that k reaches half as far. A curve keeps the
    k that nine problems in ten have, and the problems that have them all; each counts once,
    however many draws it has. Thirds need 12 problems with 12 draws each.

    Raises ValueError where no draw has a known outcome.
    """
    cells: Cells = {}
    whole = draws.whole()
    for label, pools in _groups(whole):
        part = whole.at(pools)
        strata = part.labels["stratum"].iloc[part.pool].to_numpy()
        named_strata = sorted({str(s) for s in strata if not pd.isna(s)})
        rows = [(ALL, np.arange(pools.size))]
        rows += [(s, np.flatnonzero(strata.astype(str) == s)) for s in named_strata]
        cells |= _pooled(part, label, rows, blank, verifier)
        if thirds and not named_strata:
            halves = draws.at(np.flatnonzero(np.isin(draws.pool, pools)))
            cells |= _pooled(halves, label, _thirds(halves), blank, verifier)
    return _known(cells)


def cells_of_outcomes(outcomes: pd.DataFrame) -> Cells:
    """Return the cells of a table of outcomes, replicates averaged within a problem first.

    Raises ValueError for a missing column and where no accuracy is known.
    """
    table = _outcome_table(outcomes)
    thought = bindings(compliance(table))
    cells: Cells = {}
    for (task_class, model, strategy), rows in table.groupby(["task_class", "model", "strategy"]):
        for stratum, part in [(ALL, rows), *rows.groupby("stratum")]:
            cell = _of_rows(part, whole=stratum == ALL)
            if cell is not None:
                known = thought.get((str(task_class), str(model), str(strategy)), Binding())
                names = str(task_class), str(stratum), str(model), str(strategy)
                cells[names] = replace(cell, thought=known)
    return _known(cells)


def _known(cells: Cells) -> Cells:
    if not cells:
        raise ValueError("there is no problem whose correct is known at its budgets.")
    return cells


def _groups(whole: Tally) -> Iterator[tuple[Label, Counts]]:
    """Yield each class, model and thinking budget with its pools' numbers."""
    columns = ["task_class", "model", "thinking_budget"]
    keys = whole.labels[columns].astype({"thinking_budget": float})
    for _, rows in keys.groupby(columns, dropna=False):
        task_class, model, thinking = rows.iloc[0]
        yield (str(task_class), str(model), float(thinking)), rows.index.to_numpy(np.int64)


def _thirds(halves: Tally) -> list[tuple[str, Counts]]:
    """Return the halves that each third evaluates: those whose other half is in the third."""
    n, right = (halves.counts[c].to_numpy(float) for c in ("n", "right"))
    half = halves.half
    order = np.argsort(halves.pool * 2 + half)
    pool = halves.pool[order]
    fewest = np.minimum(n[order][:-1], n[order][1:])
    paired = np.flatnonzero((pool[:-1] == pool[1:]) & (fewest >= LEAST / 2))
    sides = order[paired], order[paired + 1]
    if paired.size < LEAST:
        return []
    found: dict[str, list[Counts]] = {third: [] for third in THIRDS}
    rng = np.random.default_rng(0)
    for judged, evaluated in (sides, sides[::-1]):
        easy = right[judged] / np.maximum(n[judged], 1)
        rank = np.lexsort((rng.uniform(size=easy.size), easy)).argsort()
        third = 3 * rank // easy.size
        for number, name in enumerate(THIRDS):
            found[name].append(evaluated[third == number])
    return [(name, np.concatenate(parts)) for name, parts in found.items()]


def _pooled(
    pools: Tally,
    label: Label,
    strata: list[tuple[str, Counts]],
    blank: str,
    verifier: str | None,
) -> Cells:
    """Return the cells of all strategies on these entries, for each stratum's."""
    n = pools.counts["n"].to_numpy()
    if not strata or not n.any():
        return {}
    some = np.sort(n[n > 0])
    K = int(some[int(np.floor((1.0 - HELD) * some.size + 1e-9))])
    table = pools.labels.iloc[pools.pool].reset_index(drop=True)
    problems = pd.Index(table["task"].astype(str) + "/" + table["problem_id"].astype(str))
    clusters = None
    if table["cluster"].notna().any():
        clusters = table["cluster"].where(table["cluster"].notna(), problems)
    elif problems.has_duplicates:
        clusters = pd.Series(problems)
    half = pd.Series(pools.half).map({-1: "", 0: "#0", 1: "#1"}).to_numpy()
    spent = {
        verified: spends(pools, K, verified=verified) for verified in {False, verifier is not None}
    }
    found = [*estimates(pools, blank=blank)]
    if verifier is not None:
        found += estimates_by_score(pools, verifier)
    cells: Cells = {}
    parts = [(stratum, entries, entries[n[entries] >= K]) for stratum, entries in strata]
    held = {
        (stratum, verified): _held(columns, kept, stratum)
        for stratum, _, kept in parts
        for verified, columns in spent.items()
    }
    for estimate in found:
        for stratum, entries, kept in parts:
            if kept.size:
                mean, each = held[stratum, estimate.verified]
                cells[label[0], stratum, label[1], named(estimate.strategy, label[2])] = Cell(
                    problems=pd.Index(problems[kept] + half[kept]),
                    budgets=np.arange(1, K + 1),
                    Z=estimate.accuracy[kept, :K],
                    means=_means(pools, estimate, mean, entries, kept, K),
                    dropped=entries.size - kept.size,
                    samples=int(n[kept].sum()),
                    n_problems=problems[kept].nunique(),
                    clusters=None if clusters is None else _codes(clusters.iloc[kept]),
                    unpriced=_unpriced(pools, kept),
                    draws=(int(n[kept].min()), int(n[kept].max())),
                    spent=each,
                )
    return cells


def _held(
    spent: Mapping[str, Array], kept: Counts, stratum: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the mean spends of the kept entries and, for the class as a whole, each one's own."""
    mine = {axis: values[kept] for axis, values in spent.items()}
    return {axis: _mean(values) for axis, values in mine.items()}, mine if stratum == ALL else {}


def _means(
    pools: Tally, estimate: Estimate, spent: dict[str, Array], entries: Counts, kept: Counts, K: int
) -> pd.DataFrame:
    counts = pools.counts.iloc[kept]
    gone = entries[pools.counts["n"].to_numpy()[entries] == 0]
    size = kept.size + gone.size
    return pd.DataFrame(
        spent
        | {
            "cap_hit_rate": (counts["truncated"] / counts["n"]).mean(),
            "missing_rate": (_missing(pools, kept).sum() + gone.size) / size,
            "if_wrong": estimate.if_wrong[kept, :K].sum(axis=0) / size,
            "if_right": (estimate.if_right[kept, :K].sum(axis=0) + gone.size) / size,
        },
        index=np.arange(1, K + 1),
    )


def _missing(pools: Tally, entries: Counts) -> Array:
    """Return the share of each entry's draws that gave no graded answer, lost ones included."""
    counts = pools.counts.iloc[entries]
    lost = counts[list(LOST)].sum(axis=1)
    share: Array = ((counts["blank"] + lost) / (counts["n"] + lost)).to_numpy(float)
    return share


def _mean(values: Array) -> Array:
    """Return the mean over rows of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    mean: Array = np.where(known, values, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    return mean


def _unpriced(pools: Tally, entries: Counts) -> float:
    if "tokens" not in pools.known:
        return 0.0
    n = pools.counts["n"].to_numpy()[entries].sum()
    return float(1.0 - pools.known["tokens"].to_numpy()[entries].sum() / n)


def _codes(labels: pd.Series[str]) -> Counts:
    codes: Counts = pd.factorize(labels)[0].astype(np.int64)
    return codes


def _outcome_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    require(outcomes, ("task_class", "problem_id", "strategy", "budget", "correct"), "outcomes")
    defaults = {"model": "unknown", "status": "ok", "stratum": None, "task": ""}
    table = outcomes.assign(
        **{column: value for column, value in defaults.items() if column not in outcomes},
        correct=accuracies(outcomes, "outcomes"),
    )
    missing = table["correct"].isna()
    blank = missing & table["status"].isin(BLANK)
    table["correct"] = table["correct"].mask(blank, 0.0)
    filled = {
        "missing_rate": missing.astype(float),
        "cap_hit_rate": (table["status"] == "truncated").astype(float),
        "if_wrong": table["correct"].fillna(0.0),
        "if_right": table["correct"].mask(missing, 1.0),
    }
    for column, value in filled.items():
        table[column] = table[column].fillna(value) if column in table else value
    table["problem"] = table["task"].astype(str) + "/" + table["problem_id"].astype(str)
    return table


def _of_rows(rows: pd.DataFrame, *, whole: bool) -> Cell | None:
    columns = [column for column in SPENDS if column in rows]
    known = rows[rows["correct"].notna()]
    each = known.groupby(["problem", "budget"])[["correct", *columns]].mean()
    wide = each.reset_index().pivot_table(index="problem", columns="budget", values="correct")
    wide = wide.loc[:, wide.notna().sum() >= HELD * len(wide)].dropna()
    if wide.empty:
        return None
    inside = each[each.index.get_level_values("problem").isin(wide.index)]
    lost = ~rows["problem"].isin(known["problem"])
    asked = rows[rows["problem"].isin(wide.index) | lost]
    rates = asked.groupby(["problem", "budget"])[list(RATES)].mean().groupby("budget").mean()
    means = inside.groupby("budget")[columns].mean().join(rates)
    full = inside[inside.index.get_level_values("budget").isin(wide.columns)]
    spent = {axis: full[axis].to_numpy(float).reshape(wide.shape) for axis in columns}
    pooled = "pool" in known and known["pool"].notna().all()
    clusters = None
    if "cluster" in known and known["cluster"].notna().any():
        clusters = _codes(known.groupby("problem")["cluster"].first().loc[wide.index].astype(str))
    return Cell(
        problems=wide.index,
        budgets=wide.columns.to_numpy(),
        Z=wide.to_numpy(),
        means=means.loc[wide.columns],
        dropped=rows["problem"].nunique() - len(wide),
        samples=int(known.groupby("problem")["pool"].max().sum()) if pooled else len(known),
        n_problems=len(wide),
        clusters=clusters,
        spent=spent if whole else {},
    )
