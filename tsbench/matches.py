"""Strategies against each other on the same problems: at equal measured spend, at equal budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.cells import ALL, Cell, Cells
from tsbench.estimates import BEST, MAJORITY, WEIGHTED, deployable
from tsbench.grid import binding, thin

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

SINGLE = "single"
DRAWN = (
    *(MAJORITY, BEST, WEIGHTED, "mbr", "adaptive-vote", "window-vote"),
    *("tournament", "usc", "fuse"),
)
"""Strategies whose budget counts draws of a pool: equal budgets of two see the same draws."""
BUDGETS = 5
"""The most budgets at which a strategy is compared with one rival."""
CLOSE = 0.01
"""Spends that differ by less than this share are equal."""
UNIT = 0.3
"""Problems that differ by 1 and are taken to be seen beforehand."""
LEVEL = 0.95
TEXTS = ["task_class", "model", "axis", "strategy", "rival", "matched", "verdict", "flags"]
COLUMNS = [
    *("task_class", "model", "axis", "strategy", "budget", "rival", "rival_budget", "matched"),
    *("spend", "rival_spend", "accuracy", "rival_accuracy", "difference", "low", "high"),
    *("all_low", "all_high", "spend_ratio", "ratio_low", "ratio_high", "n_problems", "verdict"),
    "flags",
]


def matches(cells: Cells, *, axes: Sequence[str]) -> pd.DataFrame:
    """Return strategies against their rivals, a row for each pair, budget and way of matching.

    Rivals are the two ways to spend draws that need no search: majority vote and best-of-n.
    Every strategy meets maj@k and best-of-n by its own verifier; where neither was run, every
    best-of-n. Of two rivals the later one in the order maj@k, best-of-n:A, best-of-n:B meets the
    earlier. Pools of thoughts, as in "maj@k (thinking 64)", have rivals of their own, and the
    first of these meets those of the plain pool. Strategies that need an oracle, and a single
    pass, with which every pool begins, meet no one. A strategy is compared at no more than 5 of
    its budgets, geometric, and with a rival over its own pool from 2 draws on. Only the class as a
    whole is compared, on each of `axes` where spend is known by problem.

    `matched` says how a rival stands:

    - "spend": at a mix of its two neighbouring budgets that spends the same in the mean. That is
      a policy that can be deployed, toss a coin for each problem, so nothing between budgets is
      guessed; its accuracy is linear in spend between them, and `rival_budget` is its mean
      budget. `spend_ratio` is 1 by construction (at the ends of the rival's curve, to within
      1 %) and has no interval.
    - "largest": at its largest budget, where that spends less than the strategy, so spend is not
      equal and `spend_ratio` says by how much. Where even its smallest budget spends more there
      is no row.
    - "budget": at the same number of draws of one pool (see DRAWN), so that an early stop or a
      verifier shows in `spend_ratio`. Left out where spends differ by less than 1 %: the row of
      equal spend says the same.

    `difference` is accuracy less the rival's, over the problems that both have, `n_problems`;
    `spend` and `rival_spend` are means over these in the axis's unit, accuracies in [0, 1].
    `low` and `high` bound its 95 % t interval over problems, or over clusters where there are
    any. The mix depends on measured spends, which is counted: to first order, the difference
    varies as the mean of Z - R - s (C - D) does, with accuracies Z and R and spends C and D of a
    problem, and s the slope of the rival's accuracy in spend, on which C - D is zero in the mean.
    So that unanimity is not certainty, one problem's doubt is added to the variance, m / n^2: half
    a problem more that only the one solves, and half a one that only the other does (Agresti and
    Min 2005, Statistics in Medicine 24:729), each by the square difference m that a problem has:
    the mean over the problems that differ, weighted by how much they do, and with 0.3 of a problem
    that differs by 1. It is 1 for runs that are right or wrong, and less for expectations over a
    pool that differ a little in every problem (docs/adr/0009-matches.md).
    `spend_ratio` is strategy over rival, with a t interval of its logarithm, without that doubt:
    ratios that are equal in all problems are taken to be exact.

    `verdict` is "better" or "worse" where the interval leaves out zero, else "cannot tell". It
    is pointwise: of many rows without a difference one in twenty is said to have one.
    `all_low` and `all_high` hold for all rows of the class, model and axis at once (Bonferroni).

    The spend that an early stop saves at equal accuracy is not given: majority vote is flat where
    votes stop, and the spend at which a flat curve has some accuracy is anything. The row at equal
    budget says the same in two numbers that are well defined: the difference, and the ratio.
    """
    rows: list[dict[str, object]] = []
    for task_class, model in dict.fromkeys((names[0], names[2]) for names in cells):
        group = (task_class, ALL, model)
        mine = {names[3]: cell for names, cell in cells.items() if names[:3] == group}
        for axis in axes:
            known = {s: c for s, c in mine.items() if axis in c.spent and c.spends(axis)}
            labels = {"task_class": task_class, "model": model, "axis": axis}
            rows += [
                labels | row
                for strategy, rival in _pairs(list(known))
                for row in _Pair.of(strategy, rival, known, axis).rows()
            ]
    return _judged(pd.DataFrame(rows, columns=[*COLUMNS, "error", "ratio_error", "freedom"]))


def _pairs(strategies: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every strategy with each of its rivals."""
    useful = [s for s in strategies if deployable(s) and _parts(s)[0] != SINGLE]
    for strategy in useful:
        _, verifier, pool = _parts(strategy)
        earlier = _earlier(strategy, useful, pool) or _earlier(strategy, useful, "")
        own = [r for r in earlier if _parts(r)[0] == MAJORITY or _parts(r)[1] == verifier]
        for rival in own or earlier:
            yield strategy, rival


def _earlier(strategy: str, strategies: Sequence[str], pool: str) -> list[str]:
    """Return the rivals over a pool, those before `strategy` where that is one of them."""
    over = [s for s in strategies if _parts(s)[0] in (MAJORITY, BEST) and _parts(s)[2] == pool]
    over.sort(key=lambda rival: (not rival.startswith(MAJORITY), rival))
    return over[: over.index(strategy)] if strategy in over else over


def _parts(strategy: str) -> tuple[str, str, str]:
    """Return a strategy's kind, its verifier and its pool: "best-of-n:v (thinking 8)" in three."""
    head, _, pool = strategy.partition(" (")
    kind, _, verifier = head.partition(":")
    return kind, verifier, pool


@dataclass(frozen=True)
class _Curve:
    """A strategy's accuracy `Z` and spend `S` on some problems, both (problems, budgets)."""

    budgets: Counts
    Z: Array
    S: Array

    @classmethod
    def of(cls, cell: Cell, axis: str, problems: pd.Index) -> _Curve:
        """Return a cell's curve; a spend that is not known is taken to be the others' mean."""
        rows = cell.problems.get_indexer(problems)
        spend, mean = cell.spent[axis][rows], cell.means[axis].to_numpy(float)
        return cls(cell.budgets, cell.Z[rows], np.where(np.isnan(spend), mean, spend))

    def spending(self, spend: float) -> _Stand | None:
        """Return the mix that spends so much, the largest budget where that spends less.

        None where the smallest spends more, and for a curve of one budget.
        """
        keep = binding(self.S.mean(axis=0), 1.0)
        means = self.S.mean(axis=0)[keep]
        if keep.size < 2 or spend < means[0] * (1.0 - CLOSE):
            return None
        if spend > means[-1] * (1.0 + CLOSE):
            return self.standing(int(keep[-1]), "largest")
        left = min(max(int(np.searchsorted(means, spend, side="right")) - 1, 0), keep.size - 2)
        low, high = keep[left : left + 2]
        span = means[left + 1] - means[left]
        share = float(np.clip((spend - means[left]) / span, 0.0, 1.0))
        budget, Z, S = (
            (1.0 - share) * table[..., low] + share * table[..., high]
            for table in (self.budgets, self.Z, self.S)
        )
        slope = float((self.Z[:, high] - self.Z[:, low]).mean() / span)
        return _Stand("spend", round(float(budget), 6), Z, S, slope)

    def standing(self, place: int, matched: str) -> _Stand:
        """Return the budget with this index."""
        return _Stand(
            matched, float(self.budgets[place]), self.Z[:, place], self.S[:, place], slope=0.0
        )


@dataclass(frozen=True)
class _Stand:
    """Where a rival stands: accuracy `Z` and spend `S` (problems,), and its slope in spend."""

    matched: str
    budget: float
    Z: Array
    S: Array
    slope: float


@dataclass(frozen=True)
class _Pair:
    """A strategy and its rival on the problems that both have; `left_out` are the others."""

    strategy: str
    rival: str
    mine: _Curve
    theirs: _Curve
    clusters: Counts
    left_out: int

    @classmethod
    def of(cls, strategy: str, rival: str, cells: dict[str, Cell], axis: str) -> _Pair:
        mine, theirs = cells[strategy], cells[rival]
        problems = mine.problems.intersection(theirs.problems, sort=False)
        marked = mine if theirs.clusters is None else theirs
        clusters = np.arange(len(problems))
        if marked.clusters is not None:
            clusters = pd.factorize(marked.clusters[marked.problems.get_indexer(problems)])[0]
        return cls(
            strategy,
            rival,
            _Curve.of(mine, axis, problems),
            _Curve.of(theirs, axis, problems),
            clusters.astype(np.int64),
            len(mine.problems) + len(theirs.problems) - 2 * len(problems),
        )

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield every row of the pair."""
        if not self.clusters.size:
            return
        kind, _, pool = _parts(self.strategy)
        drawn = kind in DRAWN and pool == _parts(self.rival)[2]
        budgets = np.flatnonzero(self.mine.budgets > 1) if drawn else self.mine.budgets.argsort()
        for place in budgets[thin(self.mine.budgets[budgets], most=BUDGETS)]:
            spend = self.mine.S[:, place]
            stand = self.theirs.spending(float(spend.mean()))
            if stand is not None:
                yield self._row(place, stand)
            same = np.flatnonzero(self.theirs.budgets == self.mine.budgets[place])
            if drawn and same.size:
                cap = self.theirs.standing(int(same[0]), "budget")
                if abs(cap.S.mean() / spend.mean() - 1.0) >= CLOSE:
                    yield self._row(place, cap)

    def _row(self, place: int, stand: _Stand) -> dict[str, object]:
        Z, S = self.mine.Z[:, place], self.mine.S[:, place]
        spend, theirs = float(S.mean()), float(stand.S.mean())
        G = int(self.clusters.max()) + 1
        pulls = Z - stand.Z - stand.slope * (S - stand.S)
        variance = self._variance(pulls) + self._doubt(pulls)
        ratio = self._variance(S / spend - stand.S / theirs)
        return {
            "strategy": self.strategy,
            "budget": float(self.mine.budgets[place]),
            "rival": self.rival,
            "rival_budget": stand.budget,
            "matched": stand.matched,
            "spend": spend,
            "rival_spend": theirs,
            "accuracy": Z.mean(),
            "rival_accuracy": stand.Z.mean(),
            "difference": Z.mean() - stand.Z.mean(),
            "spend_ratio": spend / theirs,
            "n_problems": Z.size,
            "flags": "; ".join(self._flags(stand, theirs / spend, G)),
            "error": np.sqrt(variance),
            "ratio_error": np.nan if stand.matched == "spend" else np.sqrt(ratio),
            "freedom": G - 1,
        }

    def _variance(self, pulls: Array) -> float:
        """Return the variance of the mean of `pulls` (problems,), NaN for one cluster."""
        sums = np.bincount(self.clusters, (pulls - pulls.mean()) / pulls.size)
        return float((sums**2).sum() * sums.size / (sums.size - 1)) if sums.size > 1 else np.nan

    def _doubt(self, pulls: Array) -> float:
        """Return the variance that one problem more would add."""
        moves = np.abs(np.bincount(self.clusters, pulls))
        moves *= moves.size / pulls.size
        m = (UNIT + (moves**3).sum()) / (UNIT + moves.sum())
        return float(m) / moves.size**2

    def _flags(self, stand: _Stand, share: float, clusters: int) -> Iterator[str]:
        if stand.matched == "largest":
            yield f"not at equal spend: the rival's largest budget spends {share:.0%} as much"
        if self.left_out:
            yield f"{self.left_out} problems that only one of both has left out"
        if clusters < 2:
            yield "no interval: one problem or cluster"


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with intervals and verdicts."""
    table = rows.astype({column: float for column in rows if column not in TEXTS})
    family = table.groupby(["task_class", "model", "axis"])["budget"].transform("size")
    for prefix, tail in (("", (1 - LEVEL) / 2), ("all_", (1 - LEVEL) / 2 / family)):
        half = table["error"] * stats.t.isf(tail, table["freedom"])
        table[f"{prefix}low"] = (table["difference"] - half).clip(-1.0, 1.0)
        table[f"{prefix}high"] = (table["difference"] + half).clip(-1.0, 1.0)
    spread = np.exp(table["ratio_error"] * stats.t.isf((1 - LEVEL) / 2, table["freedom"]))
    table["ratio_low"] = table["spend_ratio"] / spread
    table["ratio_high"] = table["spend_ratio"] * spread
    table["verdict"] = np.select(
        [table["low"] > 0.0, table["high"] < 0.0], ["better", "worse"], "cannot tell"
    )
    return table[COLUMNS].astype({"n_problems": int} | dict.fromkeys(TEXTS, str))
