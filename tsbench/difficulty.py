"""How hard a problem looks before it is solved: cheap features, calibrated, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tsbench.arm import GRADE
from tsbench.arms import Visits
from tsbench.calibration import SURE, Calibration, prompt_features
from tsbench.rocs import area, calibration_error

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kind = Literal["logistic", "isotonic"]

SHARED = 0.9
"""A feature is used where this share of visits has it."""
LEVELS = 12
"""The most values of a column of words that each become a feature."""
KINDS = ("prompt", "level", "first draw", "judge", "agreement", "solved")
"""Kinds of estimates that can be left out; what is given is always tried."""
BINS = 10
"""Bins of equal width that calibration is read in."""
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A guess at how hard a problem is: its features, and what must be made to know them.

    `pilot` draws are made first; `verifier` scores the first of them. `table` (visits, features)
    holds the features, NaN where one is missing.
    """

    name: str
    table: pd.DataFrame
    pilot: int = 0
    verifier: str | None = None


def fitted(table: pd.DataFrame, right: Array, weight: Array, kind: Kind) -> Calibration:
    """Return the calibration of features (visits, features) to `right` in [0, 1], (visits,).

    Visits are weighted by `weight` (visits,); those that lack a feature are left out. Without a
    usable one the chance is a constant.
    """
    known = table.notna().all(axis=1).to_numpy()
    X, y, w = table.to_numpy(float)[known], right[known], weight[known]
    names = tuple(map(str, table.columns))
    if not known.any():
        X, y, w = np.zeros((1, len(names))), right[:1] * 0 + right.mean(), np.ones(1)
    centre = np.average(X, axis=0, weights=w)
    scale = np.sqrt(np.average((X - centre) ** 2, axis=0, weights=w))
    scale = np.where(scale > 0.0, scale, 1.0)
    mean = float(np.clip(np.average(y, weights=w), SURE, 1.0 - SURE))
    slopes, start = np.zeros(len(names)), float(logit(mean))
    if names and w[y > 0].sum() > 0 and w[y < 1].sum() > 0:
        standard = (X - centre) / scale
        model = LogisticRegression(C=1.0, max_iter=1000)
        model.fit(
            np.concatenate([standard, standard]),
            np.repeat([1, 0], y.size),
            np.concatenate([w * y, w * (1.0 - y)]),
        )
        slopes, start = model.coef_[0], float(model.intercept_[0])
    knots: tuple[tuple[float, float], ...] = ()
    if kind == "isotonic" and slopes.any():
        index = start + ((X - centre) / scale) @ slopes
        curve = IsotonicRegression(y_min=SURE, y_max=1.0 - SURE, out_of_bounds="clip")
        curve.fit(index, y, w)
        knots = tuple(zip(curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist(), strict=True))
    return Calibration(
        names,
        tuple(centre.tolist()),
        tuple(scale.tolist()),
        tuple(slopes.tolist()),
        start,
        tuple(X.min(axis=0).tolist()),
        tuple(X.max(axis=0).tolist()),
        knots,
    )


def coded(column: pd.Series[Any], name: str) -> pd.DataFrame:
    """Return a user's column as features: itself where it is numbers, else one for each value."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if numbers.notna().sum() >= column.notna().sum():
        return numbers.to_frame(name)
    values = column.astype("string")
    common = sorted(values.value_counts().index[:LEVELS])
    table = pd.DataFrame({f"{name}={v}": (values == v).astype(float) for v in common})
    table.loc[~values.isin(common).to_numpy(bool)] = np.nan
    return table


def estimates(
    problems: pd.DataFrame,
    visits: Visits | None,
    columns: Sequence[str],
    pilots: Sequence[int],
    without: Sequence[str] = (),
) -> list[Estimate]:
    """Return every estimate that can be made, the cheapest first; see `Estimate`.

    "none" knows nothing; "prompt" reads the text; "given" is the user's `columns` and "level" a
    declared difficulty, by problem; "first draw" is its mean log-probability, self-certainty and
    length; "judge V" is verifier V's score of it; "agreement of m" is that of m pilot draws, and
    "solved of m" what share of them a grade known at once accepts. "all with m" is all of these.
    Kinds in `without` are left out.
    """
    problem = np.arange(len(problems)) if visits is None else visits.problem
    free: dict[str, pd.DataFrame] = {}
    if "prompt" in problems and problems["prompt"].notna().any():
        texts = problems["prompt"].fillna("").astype(str)
        free["prompt"] = pd.DataFrame([prompt_features(text) for text in texts])
    if "stratum" in problems and "stratum" not in columns:
        free["level"] = coded(problems["stratum"], "level")
    if columns:
        parts = [coded(problems[name], name).reset_index(drop=True) for name in columns]
        free["given"] = pd.concat(parts, axis=1)
    free = {name: table for name, table in free.items() if name not in without}
    plain = {name: _useful(t.reset_index(drop=True).iloc[problem]) for name, t in free.items()}
    found = [Estimate(name, table) for name, table in plain.items()]
    made = _of_draws(visits, pilots) if visits is not None else []
    made = [e for e in made if not any(e.name.startswith(kind) for kind in without)]
    found += made
    firsts = [e for e in made if e.pilot == 1 and e.verifier is None]
    for pilot in dict.fromkeys(e.pilot for e in made):
        more = [e for e in made if 1 < e.pilot == pilot]
        parts = [*plain.values(), *(e.table for e in (*firsts, *more))]
        if len(parts) > 1:
            found.append(Estimate(f"all with {pilot}", _joined(parts), pilot))
    return [e for e in found if e.table.shape[1]]


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def _useful(table: pd.DataFrame) -> pd.DataFrame:
    """Return the features that nearly all visits have and that are not the same for all."""
    table = table.reset_index(drop=True)
    kept = [
        c for c in table if table[c].notna().mean() >= SHARED and np.ptp(table[c].dropna()) > 0.0
    ]
    return table[kept]


def _of_draws(visits: Visits, pilots: Sequence[int]) -> list[Estimate]:
    """Return the estimates that draws must be made for."""
    pool = visits.pool
    first = {
        name: visits.seen(table)[:, 0]
        for name, table in pool.traits.items()
        if not np.isnan(table).all()
    }
    found = [Estimate("first draw", _useful(pd.DataFrame(first)), 1)] if first else []
    for verifier, scores in pool.scores.items():
        if verifier != GRADE:
            table = pd.DataFrame({f"score:{verifier}": visits.seen(scores)[:, 0]})
            found.append(Estimate(f"judge {verifier}", _useful(table), 1, verifier))
    for m in sorted({m for m in pilots if 1 < m < pool.n}):
        if pool.answer is not None:
            table = _agreement(visits.seen(pool.answer)[:, :m].astype(np.int64))
            found.append(Estimate(f"agreement of {m}", _useful(table), m))
        if GRADE in pool.scores:
            solved = visits.seen(pool.scores[GRADE])[:, :m].mean(axis=1)
            found.append(Estimate(f"solved of {m}", _useful(pd.DataFrame({"solved": solved})), m))
    return [e for e in found if e.table.shape[1]]


def _agreement(answer: Counts) -> pd.DataFrame:
    """Return `agreement_features` of every visit's pilot (visits, m) of numbered answers."""
    ordered = np.sort(answer, axis=1)
    same = ordered[:, 1:] == ordered[:, :-1]
    run = np.ones(len(answer), dtype=np.int64)
    most = (ordered[:, 0] >= 0).astype(np.int64)
    for j in range(same.shape[1]):
        run = np.where(same[:, j], run + 1, 1)
        most = np.maximum(most, np.where(ordered[:, j + 1] >= 0, run, 0))
    given = (answer >= 0).sum(axis=1)
    repeats = (same & (ordered[:, 1:] >= 0)).sum(axis=1)
    m = answer.shape[1]
    return pd.DataFrame(
        {"agreement": most / m, "distinct": (given - repeats) / m, "answered": given / m}
    )


def one_pass(visits: Visits, pilot: int) -> Array:
    """Return each visit's share of right draws among those after the pilot, (visits,)."""
    right = visits.seen(visits.pool.right)
    fresh = right[:, pilot:] if pilot < right.shape[1] else right
    share: Array = fresh.mean(axis=1)
    return share


def measured(
    estimate: Estimate, right: Array, problem: Counts, fold: Counts, kind: Kind, *, seed: int = 0
) -> tuple[dict[str, float], pd.DataFrame]:
    """Return an estimate's AUC and calibration error, out of fold, and its reliability by bin.

    `right` (visits,) is the chance of one pass, `fold` (problems,) which part a problem is in. The
    intervals are 95 %, over problems; see `tsbench.rocs.area` and `calibration_error`. Reliability
    has a row per bin of equal width: the mean claimed, the mean found with a t interval over the
    problems in it, and its share of all visits.
    """
    weight = 1.0 / np.bincount(problem)[problem]
    claimed = np.full(right.size, np.nan)
    for held in range(int(fold.max()) + 1):
        inside = fold[problem] == held
        train = ~inside if fold.max() else inside
        made = fitted(estimate.table[train], right[train], weight[train], kind)
        claimed[inside] = made.chance(estimate.table[inside].to_numpy(float))
    known = ~np.isnan(claimed)
    claimed, right, weight = claimed[known], right[known], weight[known]
    number = np.unique(problem[known], return_inverse=True)[1].astype(np.int64)
    if not claimed.size:
        return {}, pd.DataFrame()
    auc = area(
        np.tile(claimed, 2),
        np.repeat([True, False], claimed.size),
        np.concatenate([weight * right, weight * (1.0 - right)]),
        np.tile(number, 2),
    )
    ece = calibration_error(claimed, right, number, seed=seed)
    found = dict(zip(("auc", "auc_low", "auc_high"), auc, strict=True))
    found |= dict(zip(("ece", "ece_low", "ece_high"), ece, strict=True))
    return found, _reliability(claimed, right, weight, number)


def _reliability(claimed: Array, right: Array, weight: Array, problem: Counts) -> pd.DataFrame:
    bins = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
    rows = []
    for b in np.unique(bins):
        inside = bins == b
        w, each = weight[inside], np.unique(problem[inside], return_inverse=True)[1]
        total = np.bincount(each, w)
        mean = np.bincount(each, w * right[inside]) / total
        found = float(np.average(right[inside], weights=w))
        n = total.size
        half = np.nan
        if n > 1:
            variance = float((total**2 * (mean - found) ** 2).sum() / total.sum() ** 2)
            half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * np.sqrt(
                max(variance * n / (n - 1), 0.2 / n**2)
            )
        rows.append(
            {
                "claimed": float(np.average(claimed[inside], weights=w)),
                "found": found,
                "low": max(found - half, 0.0) if half == half else np.nan,
                "high": min(found + half, 1.0) if half == half else np.nan,
                "share": float(w.sum() / weight.sum()),
                "n_problems": n,
            }
        )
    return pd.DataFrame(rows)
