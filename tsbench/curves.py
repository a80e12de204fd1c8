"""From cells to curves, and from curves to knees: a frame of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.cells import CURVE, Cell, Cells, Names, cells_of_outcomes
from tsbench.compliance import IGNORED
from tsbench.estimates import MAJORITY, SPENDS, deployable
from tsbench.frontier import FRONTIER, frontier
from tsbench.grid import binding, thin
from tsbench.knee import Knee, locate
from tsbench.outcomes import best_of_outcomes, outcomes_from_samples

__all__ = ["best_of_outcomes", "curves", "knees", "outcomes_from_samples"]

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LIMIT = 0.05
"""Cap-hit and missing rates above this are flagged."""
MISSING = 0.5
"""A curve with more missing than this, truncated thoughts apart, is not fitted."""
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
    "peak_low": "peak_low",
    "peak_high": "peak_high",
    "half_delta": "half_delta",
    "half_low": "half_low",
    "half_high": "half_high",
    "double_delta": "double_delta",
    "double_low": "double_low",
    "double_high": "double_high",
    "price_knee": "price_knee",
    "price_low": "price_low",
    "price_high": "price_high",
    "net_value": "net_value",
    "n_needed": "n_needed",
    "family": "family",
}
"""Columns of `knees` and the fields of Knee that they hold."""
PLACES = (
    *("knee", "low", "high", "peak", "peak_low", "peak_high", "gain95", "half_delta", "half_low"),
    *("half_high", "double_delta", "double_low", "double_high", "price_knee", "price_low"),
    *("price_high", "net_value", "worth"),
)
"""Fields of Knee in the unit of spend."""


def curves(outcomes: pd.DataFrame | Cells, *, seed: int = 0) -> pd.DataFrame:
    """Return mean accuracy at every budget, a row per class, stratum, model, strategy and budget.

    Replicates are averaged within a problem first, and every problem counts once. `low` and
    `high` bound a 95 % band that holds over all budgets at once (sup-t over problems, or over
    clusters where outcomes have a column `cluster`). A curve keeps the budgets that nine problems
    in ten have, and the problems that have all of those; `n_dropped` counts the others. Spend
    columns are means a problem. `if_wrong` and `if_right` are the accuracy if all that is missing
    were wrong or right. The stratum "all" is the class as a whole.

    Raises ValueError for a missing column and where no accuracy is known.
    """
    rows = []
    for names, cell in _cells(outcomes).items():
        accuracy = cell.Z.mean(axis=0)
        half = band(cell.Z, cell.clusters, seed)
        frame = pd.DataFrame(
            {
                "budget": cell.budgets,
                "accuracy": accuracy,
                "low": np.clip(accuracy - half, 0.0, 1.0),
                "high": np.clip(accuracy + half, 0.0, 1.0),
                "n_problems": cell.n_problems,
                "n_dropped": cell.dropped,
            }
        )
        labels = dict(zip(CURVE, names, strict=True))
        frame = frame.join(cell.means.reset_index(drop=True)).assign(**labels)
        rows.append(frame[[*CURVE, *(c for c in frame if c not in CURVE)]])
    return pd.concat(rows, ignore_index=True)


def knees(
    outcomes: pd.DataFrame | Cells,
    *,
    axes: Sequence[str] = ("tokens", "flops"),
    delta: float = 0.01,
    worth: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the knee of every curve on every axis, and of each class's frontier.

    A row per class, stratum, model, strategy and axis; see `tsbench.knee.Knee` for the columns.
    An axis without a known spend is left out; where none of `axes` is known the last known one of
    SPENDS is taken ("asks" where it is there) and flagged. `worth` says, by axis, what one correct
    answer is worth in that spend: its axes are fitted too and get a price knee. A curve is fitted
    on at most ten budgets, geometric in the budget (odd ones for votes, whose even ones repeat
    them). The strategy "frontier" is the best deployable strategy (every one but the oracle
    pass@k and those of a noisy oracle) at each spend, with the largest budget that the spend pays
    for, chosen on one half of the problems and valued on the other; `chosen` names the strategy
    at its knee and `knee_budget` is that one's budget. Budgets that are known not to have bound
    (see `tsbench.compliance`) are left out of fits, and a strategy all of whose thinking budgets
    were ignored, or that mostly gave no answer, is no part of a frontier that has another.

    Raises ValueError for a missing column, an unknown axis, and no known spend or accuracy.
    """
    prices = dict(worth or {})
    asked = list(dict.fromkeys((*axes, *prices)))
    for axis in asked:
        if axis not in SPENDS:
            raise ValueError(f"axis {axis!r} is unknown; allowed are {', '.join(SPENDS)}.")
    cells = _cells(outcomes)
    usable = [axis for axis in SPENDS if any(cell.spends(axis) for cell in cells.values())]
    if not usable:
        raise ValueError(f"outcomes have no known spend; one of {', '.join(SPENDS)} is needed.")
    for axis in prices:
        if axis not in usable:
            raise ValueError(f"worth is in {axis}, which is not known; known: {', '.join(usable)}.")
    fitted = [axis for axis in asked if axis in usable] or usable[-1:]
    ask = _Ask(delta, seed, {})
    rows = []
    for axis in fitted:
        instead = () if axis in asked else (f"no {' or '.join(asked)} known: spend in {axis}",)
        known = {names: cell for names, cell in cells.items() if cell.spends(axis)}
        price = prices.get(axis)
        for names, cell in known.items():
            rows.append(_knee_row(names, cell, axis, ask, price, instead))
        for group in dict.fromkeys(names[:3] for names in known):
            useful = {
                names[3]: _obeyed(_thinned(names[3], cell))
                for names, cell in sorted(known.items(), key=lambda item: ":" in item[0][3])
                if names[:3] == group and deployable(names[3])
            }
            if useful:
                rows += _frontier_rows(group, useful, axis, ask, price, instead)
    return _typed(rows)


@dataclass(frozen=True)
class _Ask:
    """What every fit has in common; `found` keeps those whose problems and doublings are equal."""

    delta: float
    seed: int
    found: dict[tuple[object, ...], Knee]

    def knee(self, Z: Array, spend: Array, clusters: Counts | None, worth: float | None) -> Knee:
        """Return the knee; an axis proportional to one before is that fit in other units."""
        unit = float(spend[0])
        steps = np.round(np.log2(spend / unit), 9)
        price = None if worth is None else worth / unit
        key = (hash(Z.tobytes()), tuple(steps), price)
        if key not in self.found:
            self.found[key] = locate(
                Z,
                np.exp2(steps),
                delta=self.delta,
                clusters=clusters,
                worth=price,
                seed=self.seed,
            )
        knee = self.found[key]
        known = {name: getattr(knee, name) for name in PLACES}
        return replace(knee, **{k: unit * v for k, v in known.items() if v is not None})


def _cells(outcomes: pd.DataFrame | Cells) -> Cells:
    return cells_of_outcomes(outcomes) if isinstance(outcomes, pd.DataFrame) else outcomes


def band(Z: Array, clusters: Counts | None, seed: int, draws: int = 4000) -> Array:
    """Return the half-widths (budgets,) of a simultaneous 95 % band by sup-t over clusters.

    Z is (rows, budgets) and `clusters` (rows,) numbers from 0, None where each row is its own.
    One cluster's doubt, 1 / G^2, is added to each variance so that unanimity is not certainty.
    """
    residual = (Z - Z.mean(axis=0)) / Z.shape[0]
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, Z.shape[1]))
        np.add.at(sums, clusters, residual)
        residual = sums
    G = residual.shape[0]
    if G < 2:
        return np.ones(Z.shape[1])
    covariance = residual.T @ residual * G / (G - 1.0) + np.eye(Z.shape[1]) / G**2
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, sd.size)) * np.sqrt(np.maximum(values, 0.0))
    spread = np.sqrt(rng.chisquare(G - 1, draws) / (G - 1))
    half: Array = sd * np.quantile(np.abs(noise @ vectors.T).max(axis=1) / spread, 0.95)
    return half


def _thinned(strategy: str, cell: Cell) -> Cell:
    return cell.at(thin(cell.budgets, odd=strategy.startswith(MAJORITY)))


def _obeyed(cell: Cell) -> Cell:
    """Return the cell without the thinking budgets that did not bind."""
    return cell.at(np.flatnonzero(~np.isin(cell.budgets, cell.thought.idle)))


def _knee_row(
    names: Names, cell: Cell, axis: str, ask: _Ask, worth: float | None, instead: tuple[str, ...]
) -> dict[str, object]:
    thinned = _thinned(names[3], cell)
    obeyed = _obeyed(thinned)
    fitted = obeyed.at(binding(obeyed.means[axis].to_numpy(float)))
    flags = [*instead, *_quality(cell)]
    if fitted.budgets.size < thinned.budgets.size:
        idle = ", ".join(f"{b:g}" for b in np.setdiff1d(thinned.budgets, fitted.budgets))
        flags.append(f"budgets that did not bind: {idle}")
    if cell.thought.remark:
        flags.append(cell.thought.remark)
    found = None
    if _fittable(fitted.Z, [cell], flags):
        found = ask.knee(fitted.Z, fitted.means[axis].to_numpy(float), fitted.clusters, worth)
    return _row(names, axis, ask.delta, worth, found, flags, cell.dropped) | {
        "knee_budget": fitted.budgets[found.knee_budget if found else 0].item(),
        "accuracy_at_knee": found.accuracy_at_knee if found else fitted.Z[:, 0].mean(),
        "chosen": names[3],
        "n_problems": cell.n_problems,
        "n_samples": cell.samples,
    }


def _frontier_rows(
    group: tuple[str, str, str],
    cells: Mapping[str, Cell],
    axis: str,
    ask: _Ask,
    worth: float | None,
    instead: tuple[str, ...],
) -> list[dict[str, object]]:
    ignored = [name for name, cell in cells.items() if cell.thought.ignored]
    unread = [name for name, cell in cells.items() if _unread(cell) > MISSING]
    obeyed = {name: cell for name, cell in cells.items() if name not in (*ignored, *unread)}
    cells = obeyed or cells
    best = frontier(cells, axis, np.random.default_rng(ask.seed))
    if best is None:
        return []
    parts = list(cells.values())
    met = dict.fromkeys(best.strategy)
    flags = [*instead, *dict.fromkeys(flag for name in met for flag in _quality(cells[name]))]
    for left_out, why in ((ignored, IGNORED), (unread, f"more than {MISSING:.0%} missing")):
        if left_out:
            flags.append(f"{', '.join(left_out)} left out: {why}" if obeyed else f"no fit: {why}")
    found = None
    if obeyed and _fittable(best.Z, parts, flags):
        found = ask.knee(best.Z, best.spend, best.clusters, worth)
    place = found.knee_budget if found else 0
    dropped = max(len(cell.problems) + cell.dropped for cell in parts) - len(best.problems)
    return [
        _row((*group, FRONTIER), axis, ask.delta, worth, found, flags, dropped)
        | {
            "knee_budget": best.budget[place],
            "accuracy_at_knee": found.accuracy_at_knee if found else best.accuracy[place],
            "chosen": best.strategy[place],
            "n_problems": min(cell.n_problems for cell in parts),
            "n_samples": sum(cell.samples for cell in parts),
        }
    ]


def _fittable(Z: Array, cells: Sequence[Cell], flags: list[str]) -> bool:
    """Say whether there is enough to fit, and add to `flags` why not."""
    unread = max(map(_unread, cells))
    if unread > MISSING:
        flags.append(f"no fit: {unread:.0%} missing, and the limit is {MISSING:.0%}")
        return False
    if Z.shape[0] < 2 or Z.shape[1] < 2:
        flags.append(f"no fit: {Z.shape[0]} problems at {Z.shape[1]} budgets that bind")
        return False
    return True


def _unread(cell: Cell) -> float:
    """Return the largest share of runs that gave no answer, those cut short apart."""
    return float((cell.means["missing_rate"] - cell.means["cap_hit_rate"]).max())


def _quality(cell: Cell) -> list[str]:
    flags = []
    capped = float(cell.means["cap_hit_rate"].max())
    if capped > LIMIT:
        flags.append(f"made by the cap: {capped:.0%} truncated")
    missing = float(cell.means["missing_rate"].max())
    if missing > LIMIT:
        last = cell.means.iloc[-1]
        flags.append(
            f"{missing:.0%} missing: at the largest budget {last['if_wrong']:.1%} correct if that "
            f"is wrong, {last['if_right']:.1%} if right"
        )
    if cell.unpriced > 0.0:
        flags.append(f"{cell.unpriced:.1%} of draws without tokens: spend is the others' mean")
    return flags


def _row(
    names: Names,
    axis: str,
    delta: float,
    worth: float | None,
    found: Knee | None,
    flags: list[str],
    dropped: int,
) -> dict[str, object]:
    row: dict[str, object] = {**dict(zip(CURVE, names, strict=True)), "axis": axis}
    row["rule"] = f"delta={delta:g}"
    row["worth"] = float("nan") if worth is None else worth
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
