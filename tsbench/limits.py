"""Where more test-time compute pays on a class and where it does not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.arms import waited
from tsbench.contest import BOUND, ROUTED, SLOW, Contest
from tsbench.savings import LEVEL

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST = 0.02
"""A gain in accuracy that is worth having, where no value of a right answer is given."""
TELLS = 0.6
"""An AUC that tells easy problems from hard ones."""
COLUMNS = [
    *("task_class", "model", "axis", "pays", "reason", "one_pass", "best", "best_arm"),
    *("gain", "gain_low", "gain_high", "coverage", "headroom", "captured", "left"),
    *("routing_pays", "routing_reason", "n_problems"),
]


@dataclass(frozen=True)
class Gain:
    """A mean over problems with its 95 % t interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, each: Array, clusters: Counts) -> Gain:
        """Return it for differences (problems,), over clusters, with a floor of 0.2 / G^2."""
        mean, groups = float(each.mean()), int(clusters.max()) + 1
        if groups < 2:
            return cls(mean, np.nan, np.nan)
        sums = np.bincount(clusters, (each - mean) / each.size, minlength=groups)
        variance = max(float((sums**2).sum()) * groups / (groups - 1), 0.2 / groups**2)
        half = float(stats.t.ppf((1 + LEVEL) / 2, groups - 1)) * np.sqrt(variance)
        return cls(mean, mean - half, mean + half)


def limits(
    contest: Contest, table: pd.DataFrame, difficulty: pd.DataFrame, coverage: Array | None
) -> dict[str, object]:
    """Return whether the axis pays on a class, whether routing does, and why or why not.

    `table` and `difficulty` are the contest's rows and its estimates' rows; `coverage` (problems,)
    is the chance that any draw of the pool is right, None where it is not known. The best uniform
    budget is the most accurate one (by value: the most valuable), chosen on some folds of the
    problems and valued on the other; its gain is over one pass, paired. It pays where the interval
    of the gain is above 0 (of value, where a value is given) and the gain is at least 2 points.
    Else, in this order: there is nothing to think about where the oracle's headroom is below 2
    points; latency is unaffordable where a slower arm gains; the verifier or vote is too weak
    where there is headroom that no selector converts.
    """
    every = np.arange(len(contest.menu.arms))
    fixed = np.array([i for i in every if contest.menu.arms[i].fixed], dtype=np.int64)
    first = contest.one_pass(fixed)
    allowed = np.union1d(contest.bench.fixed, [first])
    best, gain, value = _best(contest, allowed, first)
    single = float(contest.bench.mean(contest.menu.Z[:, first]).mean())
    known = coverage is not None and bool(coverage.size)
    top = float(coverage.mean()) if coverage is not None and known else np.nan
    headroom = top - single
    found: dict[str, object] = {
        "task_class": contest.task_class,
        "model": contest.model,
        "axis": contest.axis,
        "one_pass": single,
        "best": single + gain.value,
        "best_arm": contest.menu.arms[best].name,
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "coverage": top,
        "headroom": headroom,
        "captured": gain.value / headroom if headroom > 0 else np.nan,
        "left": top - single - gain.value,
        "n_problems": len(contest.problems),
    }
    pays = value.low > 0.0 and (contest.economy.value is not None or gain.value >= LEAST)
    found["pays"] = "yes" if pays else "no" if value.high < LEAST else "cannot tell"
    found["reason"] = _reason(contest, bool(pays), gain, fixed, allowed, first, found, known)
    found["routing_pays"], found["routing_reason"] = _routing(table, difficulty)
    return found


def _best(contest: Contest, arms: Counts, first: int) -> tuple[int, Gain, Gain]:
    """Return the best arm, its cross-fitted gain in accuracy over one pass, and in value."""
    Z, C = (contest.bench.mean(table) for table in (contest.menu.Z, contest.menu.C))
    price = contest.economy.target().price
    worth = Z - price * C
    gain, value = np.empty(len(Z)), np.empty(len(Z))
    for held in range(int(contest.fold.max()) + 1):
        inside = contest.fold == held
        learnt = ~inside if contest.fold.max() else inside
        arm = int(arms[worth[learnt][:, arms].mean(axis=0).argmax()])
        gain[inside] = (Z[:, arm] - Z[:, first])[inside]
        value[inside] = (worth[:, arm] - worth[:, first])[inside]
    best = int(arms[worth[:, arms].mean(axis=0).argmax()])
    return best, Gain.of(gain, contest.clusters), Gain.of(value, contest.clusters)


def _reason(
    contest: Contest,
    pays: bool,
    gain: Gain,
    fixed: Counts,
    allowed: Counts,
    first: int,
    found: dict[str, object],
    known: bool,
) -> str:
    points = f"{100 * gain.value:.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    left = f"{100 * float(found['left']):.1f}"  # type: ignore[arg-type]
    if pays:
        more = f"; an oracle would add {left} points" if known else ""
        return f"{found['best_arm']} gains {points} over one pass{more}"
    if known and float(found["headroom"]) < LEAST:  # type: ignore[arg-type]
        return (
            "nothing to think about: even the best of all draws is right no more than "
            f"{100 * float(found['headroom']):.1f} points more often than one"  # type: ignore[arg-type]
        )
    if allowed.size < fixed.size:
        slow, faster, _ = _best(contest, fixed, first)
        if faster.low > 0.0 and faster.value >= LEAST:
            wait = float(np.quantile(waited(contest.menu, contest.visits, 0)[:, slow], SLOW))
            return (
                f"latency unaffordable: {contest.menu.arms[slow].name} would gain "
                f"{100 * faster.value:.1f} points and takes {wait:.3g} s, the limit is "
                f"{contest.economy.latency:g} s"
            )
    if gain.high >= LEAST and gain.low < LEAST:
        why = "not decided by these problems"
    else:
        why = "verifier too weak" if known else "no strategy gains"
    more = f", and an oracle would add {left} points that no selector finds" if known else ""
    return f"{why}: the best gains {points} over one pass{more}"


def _routing(table: pd.DataFrame, difficulty: pd.DataFrame) -> tuple[str, str]:
    """Return whether routing saves at the first target of equal accuracy, and why not.

    It does where it spares some of the target's spend and loses less than LEAST, both by their
    intervals, or where it saves on the best uniform budget.
    """
    rows = table[table["matched"] == "accuracy"]
    rows = rows[rows["target"] == rows["target"].iloc[0]] if len(rows) else rows
    if rows.empty:
        return "cannot tell", "no uniform budget to match"
    routed = rows[rows["policy"] == ROUTED].iloc[0]
    bound = rows[rows["policy"] == BOUND].iloc[0]
    said = _share(routed)
    by = routed["flags"].partition(";")[0].removeprefix("is ")
    on = f" on {routed['estimate']}" if routed["estimate"] else ""
    if routed["spared_low"] > 0.0 and routed["change_low"] > -LEAST:
        change = f"{100 * routed['change']:+.1f} points"
        ends = f"{100 * routed['change_low']:+.1f} to {100 * routed['change_high']:+.1f}"
        spared = _share(routed, "spared")
        return "yes", f"{by}{on} spares {spared} of {routed['target']}, at {change} ({ends})"
    if routed["saving_low"] > 0.0:
        return "yes", f"{by}{on} saves {said} of the best uniform budget of its accuracy"
    if bound["saving_high"] < 0.05:
        return "no", f"all problems want the same budget: an oracle would save {_share(bound)}"
    auc = difficulty["auc"].max() if len(difficulty) else np.nan
    if not auc >= TELLS:
        best = "none was made" if np.isnan(auc) else f"the best has an AUC of {auc:.2f}"
        return "no", f"no estimate tells easy problems from hard ones ({best}); saving {said}"
    return "cannot tell", f"the saving is {said}, an oracle's {_share(bound)}"


def _share(row: pd.Series, name: str = "saving") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    ends = "" if np.isnan(low) else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * row[name]:.0f} %{ends}"


def limit_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Return the rows as a table."""
    return pd.DataFrame(rows, columns=COLUMNS)
