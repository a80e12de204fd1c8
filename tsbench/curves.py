"""From samples to outcomes, from outcomes to curves, from curves to knees: frame in, frame out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.knee import Knee, locate
from tsbench.pool import best_of_k, expected_max, maj_at_k, pass_at_k

Array = NDArray[np.float64]

LOST = ("error", "timeout", "sandbox_error")
"""Statuses of the infrastructure: such a draw leaves the pool."""
BLANK = ("truncated", "unparsed", "refused")
"""Statuses that the model reached without an answer: such a draw counts, and is not correct."""
STATUSES = ("ok", *BLANK, *LOST)
SPENDS = ("tokens", "prompt_tokens", "verifier_tokens", "flops", "dollars", "seconds", "asks")
POOL = ["task_class", "task", "problem_id", "stratum", "model", "thinking_budget"]
CURVE = ["task_class", "stratum", "model", "strategy"]
ALL = "all"
"""The stratum that is the class as a whole."""
ORACLE = "pass@k"
BUDGETS = 10
"""The most budgets of one fit."""
HELD = 0.9
"""A budget is part of a curve when this share of the problems has it."""
LIMIT = 0.05
"""Cap-hit and missing rates above this are flagged."""
BINDS = 1.02
"""A budget binds when it spends this many times as much as the one before."""


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


def curves(outcomes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return mean accuracy at every budget, a row per class, stratum, model, strategy and budget.

    Replicates are averaged within a problem first. `low` and `high` bound a 95 % band that holds
    over all budgets at once (sup-t over problems). A curve keeps the budgets that nine problems
    in ten have, and the problems that have all of those; `n_dropped` counts the others. Spend
    columns are means a problem. The stratum "all" is the class as a whole.

    Raises ValueError for a missing column.
    """
    rows = []
    for names, cell in _cells(_outcome_table(outcomes)):
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
    An axis without a known spend is left out; where none is known the axis is "asks". A curve is
    fitted on at most ten budgets, geometric in the budget (odd ones for votes, whose even ones
    repeat them). The strategy "frontier" is the best deployable strategy (every one but the
    oracle pass@k) at each spend, chosen on one half of the problems and valued on the other;
    `chosen` names the strategy that it uses at its knee, and `knee_budget` is that one's.

    Raises ValueError for a missing column and an unknown axis.
    """
    for axis in axes:
        if axis not in SPENDS:
            raise ValueError(f"axis {axis!r} is unknown; allowed are {', '.join(SPENDS)}.")
    table = _outcome_table(outcomes)
    cells = dict(_cells(table))
    usable = [axis for axis in axes if any(cell.spends(axis) for cell in cells.values())]
    rows = []
    for axis in usable or ["asks"]:
        known = {names: cell for names, cell in cells.items() if cell.spends(axis)}
        rows += [_knee_row(names, cell, axis, delta, seed) for names, cell in known.items()]
        for group in dict.fromkeys(names[:3] for names in known):
            parts = {
                names[3]: cell
                for names, cell in known.items()
                if names[:3] == group and not names[3].startswith(ORACLE)
            }
            if parts:
                rows.append(_frontier_row(group, parts, axis, delta, seed))
    return pd.DataFrame(rows)


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
        """Say whether the spend on `axis` is known at every budget."""
        return axis in self.means and bool(self.means[axis].notna().all())

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


def _outcome_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    _need(outcomes, ("task_class", "problem_id", "strategy", "budget", "correct"), "outcomes")
    table = outcomes.assign(problem_id=outcomes["problem_id"].astype(str))
    for column, value in {"model": "unknown", "status": "ok", "stratum": None}.items():
        if column not in table:
            table = table.assign(**{column: value})
    blank = table["correct"].isna() & table["status"].isin(BLANK)
    if "missing_rate" not in table:
        table = table.assign(missing_rate=blank.astype(float))
    if "cap_hit_rate" not in table:
        table = table.assign(cap_hit_rate=(table["status"] == "truncated").astype(float))
    correct = table["correct"].astype(float)
    table = table.assign(correct=correct.where(~blank, 0.0))
    if "task" in table:
        table = table.assign(problem_id=table["task"].astype(str) + "/" + table["problem_id"])
    return table


def _cells(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str, str], Cell]]:
    keys = ["task_class", "model", "strategy"]
    for (task_class, model, strategy), rows in table.groupby(keys, sort=True):
        strata = sorted(rows["stratum"].dropna().unique())
        for stratum in [ALL, *strata]:
            part = rows if stratum == ALL else rows[rows["stratum"] == stratum]
            cell = _cell(part)
            if cell is not None:
                yield (str(task_class), str(stratum), str(model), str(strategy)), cell


def _cell(rows: pd.DataFrame) -> Cell | None:
    columns = [c for c in (*SPENDS, "cap_hit_rate", "missing_rate") if c in rows]
    known = rows[rows["correct"].notna()]
    if known.empty:
        return None
    each = known.groupby(["problem_id", "budget"])[["correct", *columns]].mean()
    wide = each["correct"].unstack("budget").sort_index(axis=1)
    total = rows["problem_id"].nunique()
    wide = wide.loc[:, wide.notna().sum() >= HELD * len(wide)].dropna()
    if wide.empty:
        return None
    inside = each[each.index.get_level_values("problem_id").isin(wide.index)]
    means = inside.groupby("budget")[columns].mean().loc[wide.columns]
    if "pool" in known:
        samples = int(known.groupby("problem_id")["pool"].max().sum())
    else:
        samples = len(known)
    budgets = wide.columns.to_numpy()
    return Cell(wide.index, budgets, wide.to_numpy(), means, total - len(wide), samples)


def _labelled(names: tuple[str, str, str, str], frame: pd.DataFrame) -> pd.DataFrame:
    for place, (label, name) in enumerate(zip(CURVE, names, strict=True)):
        frame.insert(place, label, name)
    return frame


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


def _thin(budgets: NDArray[np.int64], odd: bool) -> NDArray[np.int64]:
    """Return the indices of at most BUDGETS budgets, geometric, the first and last among them."""
    index = np.arange(budgets.size)
    if odd and (budgets % 2 == 1).sum() >= 2:
        index = index[budgets % 2 == 1]
    if index.size <= BUDGETS:
        return index
    place = np.log(np.maximum(budgets[index], 0.5))
    targets = np.linspace(place[0], place[-1], BUDGETS)
    return np.unique(index[np.abs(place[:, None] - targets[None, :]).argmin(axis=0)])


def _binding(spend: Array) -> NDArray[np.int64]:
    """Return the indices of budgets that spend more than every one before."""
    keep = []
    most = 0.0
    for j, s in enumerate(spend):
        if s > BINDS * most:
            keep.append(j)
            most = s
    return np.array(keep, dtype=np.int64)


def _knee_row(
    names: tuple[str, str, str, str], cell: Cell, axis: str, delta: float, seed: int
) -> dict[str, object]:
    thin = cell.at(_thin(cell.budgets, odd=names[3].startswith("maj@k")))
    binds = _binding(thin.means[axis].to_numpy(float))
    fitted = thin.at(binds)
    flags = _quality(cell)
    if binds.size < thin.budgets.size:
        idle = np.delete(thin.budgets, binds)
        flags.append(f"budgets that did not bind: {', '.join(map(str, idle))}")
    spend = fitted.means[axis].to_numpy(float)
    found = _locate(fitted.Z, spend, delta, seed, flags)
    row = _row(names, axis, delta, found, flags, cell)
    place = found.knee_budget if found else 0
    return row | {"knee_budget": fitted.budgets[place], "chosen": names[3]}


def _frontier_row(
    group: tuple[str, ...], parts: dict[str, Cell], axis: str, delta: float, seed: int
) -> dict[str, object]:
    common = sorted(set.intersection(*(set(cell.problems) for cell in parts.values())))
    options = [
        (float(cell.means[axis].iloc[j]), strategy, budget, cell.Z[rows, j])
        for strategy, cell in parts.items()
        for rows in [cell.problems.get_indexer(pd.Index(common))]
        for j, budget in enumerate(cell.budgets)
    ]
    spends = np.array([option[0] for option in options])
    values = np.stack([option[3] for option in options], axis=1)
    grid = _frontier_grid(spends)
    allowed = spends[None, :] <= grid[:, None] * (1 + 1e-9)
    half = np.random.default_rng(seed).permutation(len(common)) % 2
    Z = np.full((len(common), grid.size), np.nan)
    for side in (0, 1):
        if (half != side).any():
            score = np.where(allowed, values[half != side].mean(axis=0), -np.inf)
            Z[half == side] = values[half == side][:, score.argmax(axis=1)]
    cells = list(parts.values())
    flags = list(dict.fromkeys(flag for cell in cells for flag in _quality(cell)))
    found = _locate(Z, grid, delta, seed, flags) if len(common) > 1 else None
    place = found.knee_budget if found else 0
    best = np.where(allowed[place], values.mean(axis=0) if len(common) else 0.0, -np.inf).argmax()
    whole = Cell(
        pd.Index(common),
        np.arange(grid.size),
        Z,
        pd.DataFrame(),
        max(cell.dropped + len(cell.problems) for cell in cells) - len(common),
        sum(cell.samples for cell in cells),
    )
    row = _row((group[0], group[1], group[2], "frontier"), axis, delta, found, flags, whole)
    return row | {"knee_budget": options[best][2], "chosen": options[best][1]}


def _frontier_grid(spends: Array) -> Array:
    """Return at most BUDGETS spends, geometric, each one that some strategy has."""
    unique = np.unique(spends)
    unique = unique[_binding(unique)]
    if unique.size <= BUDGETS:
        return unique
    targets = np.linspace(np.log(unique[0]), np.log(unique[-1]), BUDGETS)
    near = np.abs(np.log(unique)[:, None] - targets[None, :]).argmin(axis=0)
    return np.asarray(unique[np.unique(near)])


def _locate(Z: Array, spend: Array, delta: float, seed: int, flags: list[str]) -> Knee | None:
    if Z.shape[0] < 2 or Z.shape[1] < 2:
        flags.append(f"no fit: {Z.shape[0]} problems and {Z.shape[1]} budgets that bind")
        return None
    return locate(Z, spend, delta=delta, seed=seed)


def _quality(cell: Cell) -> list[str]:
    flags = []
    if "cap_hit_rate" in cell.means and cell.means["cap_hit_rate"].max() > LIMIT:
        flags.append(f"made by the cap: up to {cell.means['cap_hit_rate'].max():.0%} truncated")
    if "missing_rate" in cell.means and cell.means["missing_rate"].max() > LIMIT:
        flags.append(f"missing: up to {cell.means['missing_rate'].max():.0%} without an answer")
    if cell.dropped:
        flags.append(f"{cell.dropped} problems without every budget left out")
    return flags


def _row(
    names: tuple[str, str, str, str],
    axis: str,
    delta: float,
    found: Knee | None,
    flags: list[str],
    cell: Cell,
) -> dict[str, object]:
    row: dict[str, object] = {
        **dict(zip(CURVE, names, strict=True)),
        "axis": axis,
        "rule": f"delta={delta:g}",
    }
    read: dict[str, Callable[[Knee], object]] = {
        "knee": lambda k: k.knee,
        "low": lambda k: k.low,
        "high": lambda k: k.high,
        "verdict": lambda k: k.verdict,
        "knee_budget": lambda k: k.knee_budget,
        "accuracy_at_knee": lambda k: k.accuracy_at_knee,
        "peak": lambda k: k.peak,
        "peak_accuracy": lambda k: k.peak_accuracy,
        "p_turnover": lambda k: k.p_fall,
        "p_value": lambda k: k.p_value,
        "p_beyond": lambda k: k.p_beyond,
        "gain_left": lambda k: k.gain_left,
        "half_delta": lambda k: k.half_delta,
        "double_delta": lambda k: k.double_delta,
        "gain95": lambda k: k.gain95,
    }
    for column, get in read.items():
        value = get(found) if found else None
        row[column] = np.nan if value is None and column != "verdict" else value
    if not found:
        row["verdict"] = "cannot tell"
    row["n_problems"] = cell.Z.shape[0]
    row["n_samples"] = cell.samples
    row["family"] = found.family if found else None
    row["params"] = (
        ", ".join(f"{k} = {v:.3g} ± {found.errors[k]:.2g}" for k, v in found.params.items())
        if found
        else None
    )
    row["flags"] = "; ".join([*flags, *(found.flags if found else ())])
    return row
