"""From outcomes to curves, and from curves to knees: frame in, frame out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.knee import Knee, locate
from tsbench.outcomes import (
    BLANK,
    MAJORITY,
    ORACLE,
    SPENDS,
    accuracies,
    best_of_outcomes,
    outcomes_from_samples,
    require,
)

__all__ = ["best_of_outcomes", "curves", "knees", "outcomes_from_samples"]

Array = NDArray[np.float64]
Names = tuple[str, str, str, str]

CURVE = ["task_class", "stratum", "model", "strategy"]
ALL = "all"
"""The stratum that is the class as a whole."""
FRONTIER = "frontier"
BUDGETS = 10
"""The most budgets of one fit."""
HELD = 0.9
"""A budget is part of a curve when this share of the problems has it."""
LIMIT = 0.05
"""Cap-hit and missing rates above this are flagged."""
BINDS = 1.02
"""A budget binds when it spends this many times as much as every one before."""
STEP = 1.3
"""The least ratio of neighbouring spends on a frontier."""
FOUND = {
    "knee": "knee",
    "low": "low",
    "high": "high",
    "verdict": "verdict",
    "accuracy_at_knee": "accuracy_at_knee",
    "peak": "peak",
    "peak_accuracy": "peak_accuracy",
    "p_turnover": "p_fall",
    "p_value": "p_value",
    "p_beyond": "p_beyond",
    "gain_left": "gain_left",
    "gain95": "gain95",
    "half_delta": "half_delta",
    "double_delta": "double_delta",
    "family": "family",
}
"""Columns of `knees` and the fields of Knee that they hold."""


def curves(outcomes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return mean accuracy at every budget, a row per class, stratum, model, strategy and budget.

    Replicates are averaged within a problem first. `low` and `high` bound a 95 % band that holds
    over all budgets at once (sup-t over problems). A curve keeps the budgets that nine problems
    in ten have, and the problems that have all of those; `n_dropped` counts the others. Spend
    columns are means a problem. The stratum "all" is the class as a whole.

    Raises ValueError for a missing column and where no accuracy is known.
    """
    rows = []
    for names, cell in _cells(_outcome_table(outcomes)).items():
        accuracy = cell.Z.mean(axis=0)
        half = _band(cell.Z, seed)
        frame = pd.DataFrame(
            {
                "budget": cell.budgets,
                "accuracy": accuracy,
                "low": np.clip(accuracy - half, 0.0, 1.0),
                "high": np.clip(accuracy + half, 0.0, 1.0),
                "n_problems": cell.Z.shape[0],
                "n_dropped": cell.dropped,
            }
        )
        rows.append(_labelled(names, frame.join(cell.means.reset_index(drop=True))))
    return pd.concat(rows, ignore_index=True)


def knees(
    outcomes: pd.DataFrame,
    *,
    axes: Sequence[str] = ("tokens", "flops"),
    delta: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the knee of every curve on every axis, and of each class's frontier.

    A row per class, stratum, model, strategy and axis; see `tsbench.knee.Knee` for the columns.
    An axis without a known spend is left out; where none of `axes` is known the last known one of
    SPENDS is taken ("asks" where it is there). A curve is fitted on at most ten
    budgets, geometric in the budget (odd ones for votes, whose even ones repeat them). The strategy
    "frontier" is the best deployable strategy (every one but the oracle pass@k) at each spend,
    with the largest budget that the spend pays for, chosen on one half of the problems and valued
    on the other; `chosen` names the strategy at its knee and `knee_budget` is that one's budget.

    Raises ValueError for a missing column, an unknown axis, and no known spend or accuracy.
    """
    for axis in axes:
        if axis not in SPENDS:
            raise ValueError(f"axis {axis!r} is unknown; allowed are {', '.join(SPENDS)}.")
    cells = _cells(_outcome_table(outcomes))
    usable = [axis for axis in SPENDS if any(cell.spends(axis) for cell in cells.values())]
    if not usable:
        raise ValueError(f"outcomes have no known spend; one of {', '.join(SPENDS)} is needed.")
    rows = []
    for axis in [axis for axis in axes if axis in usable] or usable[-1:]:
        known = {names: cell for names, cell in cells.items() if cell.spends(axis)}
        rows += [_knee_row(names, cell, axis, delta, seed) for names, cell in known.items()]
        for group in dict.fromkeys((names[0], names[1], names[2]) for names in known):
            deployable = {
                names[3]: _thinned(names[3], cell)
                for names, cell in known.items()
                if names[:3] == group and not names[3].startswith(ORACLE)
            }
            if deployable and len(_common(deployable.values())):
                rows.append(_frontier_row(group, deployable, axis, delta, seed))
    return _typed(rows)


@dataclass(frozen=True)
class Cell:
    """One curve's problems: accuracies `Z` (problems, budgets) and mean spends by budget."""

    problems: pd.Index
    budgets: NDArray[np.int64]
    Z: Array
    means: pd.DataFrame
    dropped: int
    samples: int

    def spends(self, axis: str) -> bool:
        """Say whether the spend on `axis` is known, and not zero, at every budget."""
        return axis in self.means and bool((self.means[axis] > 0).all())

    def at(self, keep: NDArray[np.int64]) -> Cell:
        """Return the cell at the budgets with these indices."""
        return Cell(
            self.problems,
            self.budgets[keep],
            self.Z[:, keep],
            self.means.iloc[keep],
            self.dropped,
            self.samples,
        )


def _outcome_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    require(outcomes, ("task_class", "problem_id", "strategy", "budget", "correct"), "outcomes")
    defaults = {"model": "unknown", "status": "ok", "stratum": None, "task": ""}
    table = outcomes.assign(
        **{column: value for column, value in defaults.items() if column not in outcomes},
        correct=accuracies(outcomes, "outcomes", whole=False),
    )
    blank = table["correct"].isna() & table["status"].isin(BLANK)
    table["correct"] = table["correct"].mask(blank, 0.0)
    rates = {"missing_rate": blank, "cap_hit_rate": table["status"] == "truncated"}
    for column, counted in rates.items():
        share = counted.astype(float)
        table[column] = table[column].fillna(share) if column in table else share
    table["problem"] = table["task"].astype(str) + "/" + table["problem_id"].astype(str)
    return table


def _cells(table: pd.DataFrame) -> dict[Names, Cell]:
    cells = {}
    for (task_class, model, strategy), rows in table.groupby(["task_class", "model", "strategy"]):
        for stratum, part in [(ALL, rows), *rows.groupby("stratum")]:
            cell = _cell(part)
            if cell is not None:
                cells[str(task_class), str(stratum), str(model), str(strategy)] = cell
    if not cells:
        raise ValueError("outcomes have no problem whose correct is known at its budgets.")
    return cells


def _cell(rows: pd.DataFrame) -> Cell | None:
    columns = [c for c in (*SPENDS, "cap_hit_rate", "missing_rate") if c in rows]
    known = rows[rows["correct"].notna()]
    each = known.groupby(["problem", "budget"])[["correct", *columns]].mean()
    wide = each.reset_index().pivot_table(index="problem", columns="budget", values="correct")
    wide = wide.loc[:, wide.notna().sum() >= HELD * len(wide)].dropna()
    if wide.empty:
        return None
    inside = each[each.index.get_level_values("problem").isin(wide.index)]
    pooled = "pool" in known and known["pool"].notna().all()
    return Cell(
        problems=wide.index,
        budgets=wide.columns.to_numpy(),
        Z=wide.to_numpy(),
        means=inside.groupby("budget")[columns].mean().loc[wide.columns],
        dropped=rows["problem"].nunique() - len(wide),
        samples=int(known.groupby("problem")["pool"].max().sum()) if pooled else len(known),
    )


def _labelled(names: Names, frame: pd.DataFrame) -> pd.DataFrame:
    labels = dict(zip(CURVE, names, strict=True))
    return frame.assign(**labels)[[*CURVE, *frame.columns]]


def _band(Z: Array, seed: int, draws: int = 4000) -> Array:
    """Return the half-widths (budgets,) of a simultaneous 95 % band by sup-t over problems.

    One query's doubt, 1 / Q^2, is added to each variance so that unanimity is not certainty.
    """
    Q = Z.shape[0]
    if Q < 2:
        return np.ones(Z.shape[1])
    residual = (Z - Z.mean(axis=0)) / np.sqrt(Q * (Q - 1.0))
    covariance = residual.T @ residual + np.eye(Z.shape[1]) / Q**2
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, sd.size)) * np.sqrt(np.maximum(values, 0.0))
    spread = np.sqrt(rng.chisquare(Q - 1, draws) / (Q - 1))
    half: Array = sd * np.quantile(np.abs(noise @ vectors.T).max(axis=1) / spread, 0.95)
    return half


def _thin(budgets: NDArray[np.int64] | Array, odd: bool) -> NDArray[np.int64]:
    """Return the indices of at most BUDGETS budgets, geometric, the first and last among them."""
    index = np.arange(budgets.size)
    if odd and (budgets % 2 == 1).sum() >= 2:
        index = index[budgets % 2 == 1]
    if index.size <= BUDGETS:
        return index
    place = np.log(np.maximum(budgets[index], 0.5))
    targets = np.linspace(place[0], place[-1], BUDGETS)
    return np.unique(index[np.abs(place[:, None] - targets[None, :]).argmin(axis=0)])


def _thinned(strategy: str, cell: Cell) -> Cell:
    return cell.at(_thin(cell.budgets, odd=strategy.startswith(MAJORITY)))


def _binding(spend: Array, ratio: float = BINDS) -> NDArray[np.int64]:
    """Return the indices of budgets that spend `ratio` times as much as every one before."""
    keep = []
    most = 0.0
    for j, s in enumerate(spend):
        if s > ratio * most:
            keep.append(j)
            most = s
    return np.array(keep, dtype=np.int64)


def _knee_row(names: Names, cell: Cell, axis: str, delta: float, seed: int) -> dict[str, object]:
    thin = _thinned(names[3], cell)
    binds = _binding(thin.means[axis].to_numpy(float))
    fitted = thin.at(binds)
    flags = _quality(cell)
    if binds.size < thin.budgets.size:
        idle = ", ".join(f"{budget:g}" for budget in np.delete(thin.budgets, binds))
        flags.append(f"budgets that did not bind: {idle}")
    found = _fit(fitted.Z, fitted.means[axis].to_numpy(float), delta, seed, flags)
    place = found.knee_budget if found else 0
    row = _row(names, axis, delta, found, flags, cell.dropped)
    return row | {
        "knee_budget": fitted.budgets[place].item(),
        "accuracy_at_knee": found.accuracy_at_knee if found else fitted.Z[:, 0].mean(),
        "chosen": names[3],
        "n_problems": cell.Z.shape[0],
        "n_samples": cell.samples,
    }


def _frontier_row(
    group: tuple[str, str, str], parts: Mapping[str, Cell], axis: str, delta: float, seed: int
) -> dict[str, object]:
    problems = _common(parts.values())
    grid = _frontier_grid(parts.values(), axis)
    bought = np.stack([_bought(cell, axis, grid) for cell in parts.values()], axis=1)
    values = np.stack(
        [
            cell.Z[cell.problems.get_indexer(problems)][:, places]
            for cell, places in zip(parts.values(), bought.T, strict=True)
        ],
        axis=2,
    )
    Z = _cross_fitted(values, bought >= 0, np.random.default_rng(seed))
    flags = list(dict.fromkeys(flag for cell in parts.values() for flag in _quality(cell)))
    found = _fit(Z, grid, delta, seed, flags)
    place = found.knee_budget if found else 0
    best = int(_best(values.mean(axis=0), bought >= 0)[place])
    chosen = list(parts)[best]
    dropped = max(len(cell.problems) + cell.dropped for cell in parts.values()) - len(problems)
    row = _row((*group, FRONTIER), axis, delta, found, flags, dropped)
    return row | {
        "knee_budget": parts[chosen].budgets[bought[place, best]].item(),
        "accuracy_at_knee": found.accuracy_at_knee if found else values[:, place, best].mean(),
        "chosen": chosen,
        "n_problems": len(problems),
        "n_samples": sum(cell.samples for cell in parts.values()),
    }


def _common(cells: Iterable[Cell]) -> pd.Index:
    """Return the problems that every curve has."""
    first, *others = (cell.problems for cell in cells)
    for other in others:
        first = first.intersection(other)
    return first


def _frontier_grid(cells: Iterable[Cell], axis: str) -> Array:
    """Return at most BUDGETS of the curves' spends, geometric, a step apart at the least."""
    spends: Array = np.unique(np.concatenate([cell.means[axis].to_numpy(float) for cell in cells]))
    grid = spends[_binding(spends, STEP)]
    return grid[_thin(grid, odd=False)]


def _bought(cell: Cell, axis: str, grid: Array) -> NDArray[np.int64]:
    """Return the largest budget's index that each spend pays for, -1 where it pays for none."""
    spend = np.maximum.accumulate(cell.means[axis].to_numpy(float))
    places: NDArray[np.int64] = np.searchsorted(spend, grid, side="right") - 1
    return places


def _best(scores: Array, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the best allowed strategy at each spend; both are (spends, strategies)."""
    best: NDArray[np.int64] = np.where(allowed, scores, -np.inf).argmax(axis=1)
    return best


def _cross_fitted(values: Array, allowed: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Return the frontier (problems, spends), each half's strategies chosen on the other half.

    `values` is (problems, spends, strategies), `allowed` (spends, strategies).
    """
    half = rng.permutation(values.shape[0]) % 2
    Z = np.full(values.shape[:2], np.nan)
    for side in (0, 1) if values.shape[0] > 1 else ():
        best = _best(values[half != side].mean(axis=0), allowed)
        Z[half == side] = values[half == side][:, np.arange(best.size), best]
    return Z


def _fit(Z: Array, spend: Array, delta: float, seed: int, flags: list[str]) -> Knee | None:
    if Z.shape[0] < 2 or Z.shape[1] < 2:
        flags.append(f"no fit: {Z.shape[0]} problems at {Z.shape[1]} budgets that bind")
        return None
    return locate(Z, spend, delta=delta, seed=seed)


def _quality(cell: Cell) -> list[str]:
    rates = {"cap_hit_rate": "made by the cap: {:.0%} truncated", "missing_rate": "{:.0%} missing"}
    worst = {column: float(cell.means[column].max()) for column in rates}
    return [text.format(worst[column]) for column, text in rates.items() if worst[column] > LIMIT]


def _row(
    names: Names, axis: str, delta: float, found: Knee | None, flags: list[str], dropped: int
) -> dict[str, object]:
    row: dict[str, object] = {**dict(zip(CURVE, names, strict=True)), "axis": axis}
    row["rule"] = f"delta={delta:g}"
    for column, name in FOUND.items():
        row[column] = getattr(found, name) if found else None
    row["verdict"] = found.verdict if found else "cannot tell"
    row["params"] = _written(found) if found else None
    if dropped:
        flags = [*flags, f"{dropped} problems without every budget left out"]
    row["flags"] = "; ".join([*flags, *(found.flags if found else ())])
    return row


def _typed(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Return the rows as a frame whose missing numbers are NaN."""
    words = {*CURVE, "axis", "rule", "verdict", "family", "params", "flags", "chosen"}
    table = pd.DataFrame(rows)
    return table.astype({column: float for column in FOUND if column not in words})


def _written(found: Knee) -> str:
    return ", ".join(f"{k} = {v:.3g} ± {found.errors[k]:.2g}" for k, v in found.params.items())
