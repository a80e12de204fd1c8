"""How well a verifier tells right draws from wrong ones, and what best-of-n can make of it.

Draws of one problem are not independent, so every interval is over problems, and every problem
counts once, however many draws it has: a draw weighs one over the draws of its problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.cells import HELD
from tsbench.outcomes import named
from tsbench.pool import best_of
from tsbench.tally import BLANK, LOST, conditioned, require

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

LABELS = ["task_class", "model", "verifier"]
JUDGED = [*LABELS, "task", "problem_id", "score", "correct"]
READ = (
    *("task_class", "model", "task", "problem_id", "kind", "partial", "verifier", "of", "score"),
    *("key", "index", "params", "thinking_budget", "status", "correct"),
)
"""Every column of a run's samples that is read."""
POINT = ("threshold", "true_accept", "false_accept")
COLUMNS = [
    *LABELS,
    *("n_draws", "n_problems", "n_mixed", "missing"),
    *("auc", "auc_low", "auc_high", "auc_within", "auc_within_low", "auc_within_high"),
    *("ece", "ece_low", "ece_high", "threshold", "true_accept", "false_accept"),
    *("ceiling", "ceiling_low", "ceiling_high"),
    *("ceiling_within", "ceiling_within_low", "ceiling_within_high", "n", "single", "reached"),
]
LEVEL = 0.95
BINS = 10
"""Bins of equal width that a probability's calibration is read in."""
ROUNDS = 2000
"""Random weights of the problems, or random errors, that an interval is read from."""


def judged(samples: pd.DataFrame) -> pd.DataFrame:
    """Return every draw that a verifier was to score, a row for each draw and verifier.

    `samples` is a run's table (see docs/files.md). A verifier's pool is the draws that were asked
    like one that it judged, up to the largest index that it judged; draws that saw or continued
    another reply are no pool. In the result `correct` is 0
    or 1 and `score` is NaN where the verifier gave none or was not asked, as for a draw without
    an answer. Comparisons of two draws are no scores and left out, and so are draws that the
    infrastructure lost or that are not graded yet, and all of a task with grades between 0 and 1,
    which says of no draw that it is right; blank ones are wrong, as in
    `outcomes_from_samples`. A thinking budget is in the verifier's name. The other columns are
    task_class, model, verifier, task and problem_id. Raises ValueError for a missing column.
    """
    require(samples, READ, "samples")
    compared = samples["params"].astype("string").str.contains('"against": ', regex=False)
    judges = samples[(samples["kind"] == "judge") & ~compared.fillna(value=False)]
    judges = judges.drop_duplicates(["verifier", "of"])
    plain = (samples["kind"] == "draw") & ~samples["partial"].eq(other=True)
    whole = samples["correct"].isna() | samples["correct"].isin([0.0, 1.0])
    plain &= ~samples["task"].isin(samples.loc[plain & ~whole, "task"])
    ungraded = samples["status"].eq("ok") & samples["correct"].isna()
    known = plain & ~samples["status"].isin(LOST) & ~ungraded & ~conditioned(samples)
    draws = samples[known].drop(columns=["verifier", "score"])
    asked = ["task_class", "model", "task", "params"]
    found = []
    for verifier, marks in judges.groupby("verifier"):
        scored = draws.merge(marks[["of", "score"]], left_on="key", right_on="of")
        reach = scored.groupby(asked)["index"].max().rename("reach").reset_index()
        pool = draws.merge(reach, on=asked).query("index <= reach")
        pool["score"] = pool["key"].map(scored.set_index("key")["score"]).astype(float)
        pool["verifier"] = [named(str(verifier), budget) for budget in pool["thinking_budget"]]
        blank = pool["correct"].isna() | pool["status"].isin(BLANK)
        pool["correct"] = pool["correct"].astype(float).mask(blank, 0.0)
        found.append(pool[JUDGED])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=JUDGED)


def rocs(
    draws: pd.DataFrame, thresholds: Mapping[str, float] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Return a row for each class, model and verifier: what its scores are worth.

    `draws` is a table as `judged` returns it, a row per draw and verifier: task_class, verifier,
    problem_id, score (NaN: none) and correct (0 or 1); model and task where known. Columns:

    - n_draws, n_problems, missing (draws without a score) and n_mixed: problems with right and
      wrong draws, the only ones that a selector can mend.
    - auc: P(a right draw outscores a wrong one) + P(they tie) / 2, over all pairs of draws, with
      the variance of Obuchowski (1997, Biometrics 53:567) over problems; it is DeLong's where
      every draw is a problem of its own. It also rewards a verifier that only knows easy problems
      from hard ones, so beside it auc_within: the same over pairs of one problem, a mean over
      mixed problems, which is what best-of-n lives on.
    - ece: sum over BINS equal bins of score of |P(bin and right) - E[score in bin]|, the expected
      calibration error (Naeini et al. 2015, AAAI; Guo et al. 2017, arXiv 1706.04599), where all
      scores lie in [0, 1] and so can be probabilities, else NaN. See `calibration_error`.
    - true_accept t, false_accept f: the shares of right and of wrong draws whose score is at
      least `threshold`: the one that `thresholds` gives the verifier, else that of the largest
      t - f (Youden 1950, Cancer 3:32), which is chosen on these data and so flatters a little.
    - ceiling: the mean over problems of p t / (p t + (1 - p) f), with p the problem's share of
      right draws: what best-of-n goes to as n grows if it takes any accepted draw, and t and f
      are the same for all problems (Stroebl et al. 2024, arXiv 2411.17501, for t = 1). They
      seldom are, so beside it ceiling_within, with each problem's own: the mean share of right
      draws among those accepted, p where none is. In both a problem that no draw solved counts
      0, so they are what these draws can show: endless draws go some points higher.
    - reached: best-of-n's exact accuracy at the largest n that nine problems in ten have, where a
      draw without a score ranks last; single is a draw taken at random, the same at n = 1. Taking
      the best score, not any accepted one, it can pass the ceilings of a graded score.

    All but the last line is over draws with a score. Intervals are 95 %, over problems; those of
    the areas and of ceiling_within are t intervals with the variance floor of the curves,
    0.2 / problems^2, so that a verifier without a fault on few problems is not said to be
    perfect. NaN where a class has no such draws or a single problem. Raises ValueError for a
    missing column, a `correct` that is not 0 or 1, and an infinite score.
    """
    rows = []
    for names, part in _groups(draws):
        pool = _Pool.of(part)
        scored = pool.scored()
        chosen = (thresholds or {}).get(str(names["verifier"]))
        rows.append(
            names
            | {"n_draws": pool.score.size, "missing": pool.score.size - scored.score.size}
            | {"n_problems": pool.problems}
            | _areas(scored)
            | _calibration(scored, seed)
            | _acceptance(scored, chosen, seed)
            | _selection(pool)
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def points(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the ROC curves of every class, model and verifier, from (0, 0) to (1, 1).

    A row for each distinct score, falling: `threshold`, and `true_accept` and `false_accept` of
    accepting a draw that scores at least that; the first row accepts none, at infinity. `draws`
    and errors as for `rocs`; a verifier without both right and wrong scored draws has no row.
    """
    found = []
    for names, part in _groups(draws):
        scored = _Pool.of(part).scored()
        if scored.right.any() and not scored.right.all():
            curve = dict(zip(POINT, _roc(scored), strict=True))
            found.append(pd.DataFrame(names | curve))
    empty = pd.DataFrame(columns=[*LABELS, *POINT])
    return pd.concat(found, ignore_index=True) if found else empty


def calibration_error(
    claimed: Array, right: Array, problem: Counts, *, seed: int = 0
) -> tuple[float, float, float]:
    """Return the expected calibration error and its 95 % interval, over problems.

    `claimed` (n,) are probabilities, `right` (n,) 0 or 1, `problem` (n,) the numbers 0..Q-1. The
    error is |d|, the sum over bins of the absolute d_b = E[(right - claimed) in bin b], every
    problem counting once: the mean of vectors, one a problem, with covariance S. |d| is biased
    upwards, as noise never cancels in it, so its own quantiles would not do. With error e ~ S,
    whatever the truth D: |d| - |D| <= |e| by the triangle inequality, which gives the lower end,
    and |d| - |D| >= s'e for the signs s of D, which gives the upper end at the worst signs. Bins
    hide what cancels inside them: it is the error of the binned score. NaN ends for one problem.
    """
    bins = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
    size = np.bincount(problem)
    used, place = np.unique(bins, return_inverse=True)
    gaps = np.zeros((size.size, used.size))
    np.add.at(gaps, (problem, place), (right - claimed) / size[problem])
    d = gaps.mean(axis=0)
    error = float(np.abs(d).sum())
    if size.size < 2:
        return error, np.nan, np.nan
    S = np.atleast_2d(np.cov(gaps, rowvar=False)) / size.size
    freedom = size.size - 1
    rng = np.random.default_rng(seed)
    noise = rng.multivariate_normal(np.zeros(used.size), S, ROUNDS, method="eigh")
    noise /= np.sqrt(rng.chisquare(freedom, (ROUNDS, 1)) / freedom)
    below = float(np.quantile(np.abs(noise).sum(axis=1), (1 + LEVEL) / 2))
    signs = np.array(list(product((-1.0, 1.0), repeat=used.size)))
    worst = float(np.sqrt(np.einsum("ij,jk,ik->i", signs, S, signs).max()))
    above = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * worst
    return error, max(0.0, error - below), min(1.0, error + above)


@dataclass(frozen=True)
class _Pool:
    """One verifier's draws: score, right and problem (0..problems-1), all (n,)."""

    score: Array
    right: Flags
    problem: Counts

    @classmethod
    def of(cls, part: pd.DataFrame) -> _Pool:
        numbers = part.groupby(["task", "problem_id"], sort=False, dropna=False).ngroup()
        problem = np.asarray(numbers, dtype=np.int64)
        order = np.argsort(problem, kind="stable")
        return cls(
            part["score"].to_numpy(float)[order],
            part["correct"].to_numpy(float)[order] > 0.5,
            problem[order],
        )

    @property
    def problems(self) -> int:
        return int(np.unique(self.problem).size)

    @property
    def weight(self) -> Array:
        """One over the draws of the draw's problem."""
        weight: Array = 1.0 / np.bincount(self.problem)[self.problem]
        return weight

    def scored(self) -> _Pool:
        """Return the draws that have a score, their problems numbered anew."""
        known = ~np.isnan(self.score)
        problem = np.unique(self.problem[known], return_inverse=True)[1]
        return _Pool(self.score[known], self.right[known], problem.astype(np.int64))

    def sums(self, values: Array | Flags) -> Array:
        """Return the weighted sum of `values` (n,) by problem, shape (problems,)."""
        sums: Array = np.bincount(self.problem, self.weight * values).astype(np.float64)
        return sums


def _groups(draws: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    require(draws, ("task_class", "verifier", "problem_id", "score", "correct"), "judged draws")
    known = {"model": "unknown", "task": ""}
    table = draws.assign(**{c: v for c, v in known.items() if c not in draws})
    if not pd.to_numeric(table["correct"]).isin([0.0, 1.0]).all():
        raise ValueError("judged draws need a correct of 0 or 1 each.")
    if np.isinf(pd.to_numeric(table["score"]).to_numpy(float)).any():
        raise ValueError("judged draws have an infinite score; allowed are numbers and NaN.")
    for names, part in table.groupby(LABELS):
        yield dict(zip(LABELS, names, strict=True)), part


def _areas(pool: _Pool) -> dict[str, object]:
    """Return the pooled and the within-problem AUC with their intervals."""
    right, wrong = pool.right, ~pool.right
    pooled = area(pool.score, right, pool.weight, pool.problem)
    within = (np.nan, np.nan, np.nan)
    m, n = np.bincount(pool.problem, right), np.bincount(pool.problem, wrong)
    mixed = (m > 0) & (n > 0)
    if mixed.any():
        rank = pd.Series(pool.score).groupby(pool.problem).rank().to_numpy()
        won = np.bincount(pool.problem, rank * right) - m * (m + 1) / 2
        each = won[mixed] / (m * n)[mixed]
        within = _interval(float(each.mean()), float(each.var()) / each.size, each.size)
    return {"n_mixed": int(mixed.sum())} | {
        f"{name}{end}": value
        for name, found in (("auc", pooled), ("auc_within", within))
        for end, value in zip(("", "_low", "_high"), found, strict=True)
    }


def area(score: Array, right: Flags, weight: Array, problem: Counts) -> tuple[float, float, float]:
    """Return the AUC of weighted scores and its 95 % interval, over problems.

    `score`, `right`, `weight` and `problem` (n,), problems numbered from 0. P(a right one outscores
    a wrong one) + P(they tie) / 2, with Obuchowski's variance (1997, Biometrics 53:567). NaN where
    all are right or all are wrong.
    """
    wrong = ~right
    if not (weight[right].sum() > 0.0 and weight[wrong].sum() > 0.0):
        return np.nan, np.nan, np.nan
    above = _share_below(score[right], score[wrong], weight[wrong])
    below = 1.0 - _share_below(score[wrong], score[right], weight[right])
    auc = float(np.average(above, weights=weight[right]))
    pulls = np.zeros(right.size)
    pulls[right] = weight[right] * (above - auc) / weight[right].sum()
    pulls[wrong] = weight[wrong] * (below - auc) / weight[wrong].sum()
    pulled = np.bincount(problem, pulls)
    return _interval(auc, float((pulled**2).sum()), pulled.size)


def _share_below(at: Array, others: Array, weight: Array) -> Array:
    """Return the weighted share of `others` below each of `at`, those equal counting half."""
    order = np.argsort(others)
    total = np.concatenate([[0.0], np.cumsum(weight[order])])
    ends = [np.searchsorted(others[order], at, side) for side in ("left", "right")]
    share: Array = (total[ends[0]] + total[ends[1]]) / (2.0 * total[-1])
    return share


def _interval(value: float, spread: float, problems: int) -> tuple[float, float, float]:
    """Return a value in [0, 1] with its t interval; `spread` is its plug-in variance."""
    if problems < 2:
        return value, np.nan, np.nan
    variance = max(spread * problems / (problems - 1), 0.2 / problems**2)
    half = float(stats.t.ppf((1 + LEVEL) / 2, problems - 1)) * float(np.sqrt(variance))
    return value, max(0.0, value - half), min(1.0, value + half)


def _calibration(pool: _Pool, seed: int) -> dict[str, object]:
    names, score = ("ece", "ece_low", "ece_high"), pool.score
    if not score.size or score.min() < 0.0 or score.max() > 1.0:
        return dict.fromkeys(names, np.nan)
    right = pool.right.astype(float)
    found = calibration_error(score, right, pool.problem, seed=seed)
    return dict(zip(names, found, strict=True))


def _roc(pool: _Pool) -> tuple[Array, Array, Array]:
    """Return threshold, true and false accept rates, from accepting none to accepting all."""
    levels, place = np.unique(-pool.score, return_inverse=True)
    rates = []
    for mine in (pool.right, ~pool.right):
        passed = np.cumsum(np.bincount(place, pool.weight * mine))
        rates.append(np.concatenate([[0.0], passed / passed[-1]]))
    return np.concatenate([[np.inf], -levels]), rates[0], rates[1]


def _acceptance(pool: _Pool, threshold: float | None, seed: int) -> dict[str, object]:
    """Return the accept rates at a threshold and the ceiling that they imply."""
    ends = [column for column in COLUMNS if column.startswith("ceiling")]
    if not pool.right.any() or pool.right.all():
        return dict.fromkeys((*POINT, *ends), np.nan)
    if threshold is None:
        levels, true, false = _roc(pool)
        threshold = float(levels[1:][np.argmax(true[1:] - false[1:])])
    passed = pool.score >= threshold
    p = pool.sums(pool.right)
    right, wrong = pool.sums(passed & pool.right), pool.sums(passed & ~pool.right)
    t, f = right.sum() / p.sum(), wrong.sum() / (1.0 - p).sum()
    own = _limit(p, right / np.where(p > 0, p, 1.0), wrong / np.where(p < 1, 1.0 - p, 1.0))
    ceiling = float(_limit(p, t, f).mean())
    within = _interval(float(own.mean()), float(own.var()) / own.size, own.size)
    found = (threshold, t, f, ceiling, *_ceilings(p, right, wrong, ceiling, seed), *within)
    return dict(zip((*POINT, *ends), map(float, found), strict=True))


def _limit(p: Array, t: Array | float, f: Array | float) -> Array:
    """Return P(right | accepted); where nothing is accepted, one is taken at random: p."""
    right, wrong = p * t, (1.0 - p) * f
    accepted = right + wrong
    limit: Array = np.where(accepted > 0, right / np.where(accepted > 0, accepted, 1.0), p)
    return limit


def _ceilings(
    p: Array, right: Array, wrong: Array, ceiling: float, seed: int
) -> tuple[float, float]:
    """Return the ends of the ceiling's interval, by a Bayesian bootstrap of the problems.

    Problems are weighed by a flat Dirichlet (Rubin 1981, Annals of Statistics 9:130), with half a
    problem more where all is accepted and half a one where nothing is, Jeffreys' prior: a ceiling
    hangs on small f, and no false accept in few problems is no proof that there are none.
    """
    if p.size < 2:
        return np.nan, np.nan
    shape = np.concatenate([np.ones(p.size), [0.5, 0.5]])
    weight = np.random.default_rng(seed).standard_gamma(shape, (ROUNDS, shape.size))
    mine, all_in, none_in = weight[:, :-2], weight[:, -2], weight[:, -1]
    rates = [
        (mine @ passed + mean * all_in) / (mine @ whole + mean * (all_in + none_in))
        for passed, whole, mean in ((right, p, p.mean()), (wrong, 1.0 - p, 1.0 - p.mean()))
    ]
    limits = _limit(p[None, :], rates[0][:, None], rates[1][:, None])
    ceilings = (mine * limits).sum(axis=1) / mine.sum(axis=1)
    low, high = np.quantile(ceilings, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), ceiling), max(float(high), ceiling)


def _selection(pool: _Pool) -> dict[str, object]:
    """Return what best-of-n by the scores makes of the whole pool."""
    size = np.bincount(pool.problem)
    best = best_of(np.concatenate([[0], np.cumsum(size)]), pool.score, pool.right.astype(float))
    n = int(np.sort(size)[size.size - int(np.ceil(HELD * size.size))])
    held = size >= n
    return {
        "n": n,
        "single": float(pool.sums(pool.right)[held].mean()),
        "reached": float(best[held, n - 1].mean()),
    }
