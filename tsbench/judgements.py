"""What a judge's verdicts are worth, and the win rates that they give strategies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.estimates import BEST, ORACLE
from tsbench.length_control import Interval, LengthControl, length_terms
from tsbench.pool import best_of
from tsbench.similarity import choices, similarities
from tsbench.tally import BLANK, LOST, conditioned, require

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LEVEL = 0.95
ROUNDS = 2000
"""Random weights of the problems that an interval is read from."""
READ = (
    *("key", "kind", "task_class", "task", "problem_id", "model", "verifier", "of", "index"),
    *("params", "partial", "thinking_kind", "text", "answer", "correct", "status", "score"),
)
"""Every column of a run's samples that is read."""
LABELS = ["task_class", "task", "model", "judge"]
MEASURES = ("position_bias", "consistency", "agreement", "noise", "noise_share", "length_effect")
ENDS = ("", "_low", "_high")
JUDGES = [
    *(*LABELS, "n_problems", "n_replies", "n_judgements", "unread", "failed"),
    *(name + end for name in MEASURES for end in ENDS),
]
RATES = [
    *("task_class", "task", "model", "strategy", "budget", "win_rate", "low", "high"),
    *("lc_win_rate", "lc_low", "lc_high", "length_ratio", "ungraded", "n"),
]
HELD = ["problem", "budget", "held_out", "task_class", "model"]
NONE = Interval(np.nan, np.nan, np.nan)


def judges(samples: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return a row for each class, task, model and judge: how far its verdicts can be trusted.

    `samples` is a run's table (see docs/files.md). Every problem counts once, and intervals
    (`_low`, `_high`) are 95 %, over problems. A verdict is from 0 to 1. Columns:

    - n_problems, n_replies and n_judgements that were judged; `unread`, the share of the judge's
      answers that gave no verdict; `failed`, the times that the judge did not answer.
    - position_bias: P(the reply shown first wins) - 1/2, ties half, where replies were compared in
      both orders: from -1/2 to 1/2.
    - consistency: the share of comparisons with the same verdict on the reply in both orders, a
      tie being the same as a tie alone (Zheng et al. 2023, arXiv 2306.05685).
    - agreement: the share of pairs of repeats, equal in all but the seed, with the same verdict.
    - noise: the standard deviation of a reply's grade if it were judged again, as often as it was;
      its square is the variance between repeats over their number and that of the orders.
    - noise_share: the part of the variance of the class's accuracy, with one draw a problem at
      random from those judged, that is judge noise: the noise of the problems' mean grades over
      the variance of those means.
    - length_effect: log-odds of a grade for a length term of 1; see `LengthControl`.

    The measures of repeats are NaN where each judgement was asked once, those of orders where
    there is but one. Raises ValueError for a missing column.
    """
    rows = []
    for labels, group in groups(samples):
        bias, same = orders(group.verdicts)
        agreed, noise, share = repeats(group, seed)
        control = group.control(seed)
        effect = NONE if control is None else control.effect
        found = (bias, same, agreed, noise, share, effect)
        rows.append(
            labels
            | {
                "n_problems": group.replies["problem_id"].nunique(),
                "n_replies": len(group.replies),
                "n_judgements": len(group.verdicts),
                "unread": group.verdicts["score"].isna().mean(),
                "failed": group.failed,
            }
            | {
                name + end: value
                for name, interval in zip(MEASURES, found, strict=True)
                for end, value in zip(ENDS, ends(interval), strict=True)
            }
        )
    return pd.DataFrame(rows, columns=JUDGES)


def judgements(samples: pd.DataFrame, outcomes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return a row for each task, model, strategy and budget: the grades of what it picked.

    `samples` and `outcomes` are a run's tables. `win_rate` is the mean grade over picks that the
    judge graded, every problem counting once; `ungraded` is the share of picks that it did not,
    such as truncated ones, which are no part of it. `lc_win_rate` is the win rate at a length term
    of 0 (see `LengthControl`): what a reply as long as the baseline's would have or, of marks, one
    as long as the mean reply to its problem. `length_ratio` is the picks' mean length in
    characters over that. Intervals are 95 % over problems (Rubin 1981). `n` is the problems.

    pass@k and best-of-n are exact expectations over the pool's subsets, mbr over random ones,
    and any strategy that says what it picked is over its runs; others are left out. Of a pool, k
    is a power of two or all of it. Raises ValueError for a missing column.
    """
    rows = []
    for labels, group in groups(samples):
        mine = all_of(decoded(outcomes), labels)
        control = group.control(seed)
        for strategy, part in mine.groupby("strategy", sort=False):
            for budget, picks in group.picks(str(strategy), part):
                rows.append(
                    {k: labels[k] for k in ("task_class", "task", "model")}
                    | {"strategy": strategy, "budget": budget}
                    | group.rates(control, picks)
                )
    return pd.DataFrame(rows, columns=RATES)


def held_out(samples: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the grade of the best of k draws by verdicts that did not choose it.

    The best of many noisy grades is too good by their noise; here one half of the repeats chooses
    and the other values, both ways about, so that it is too good by nothing, and no better than
    half the repeats can choose. A row for each class, model, problem and k: task_class, model,
    `problem` (as cells name it), budget and held_out. Nothing where judgements were asked once, or
    pass@k was not run.
    """
    rows = []
    for labels, group in groups(samples):
        mine = all_of(decoded(outcomes), labels)
        budgets = mine.loc[mine["strategy"] == ORACLE, "budget"]
        for k, worth in group.held_out(int(budgets.max())) if len(budgets) else ():
            names = f"{labels['task']}/" + worth.index.astype(str)
            table = pd.DataFrame({"problem": names, "budget": k, "held_out": worth.to_numpy()})
            rows.append(table.assign(task_class=labels["task_class"], model=labels["model"]))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=HELD)


def groups(samples: pd.DataFrame) -> Iterator[tuple[dict[str, Any], Group]]:
    """Yield the judgements of each class, task, model and judge."""
    require(samples, READ, "samples")
    samples = decoded(samples)
    asked = samples[samples["kind"] == "grade"].rename(columns={"verifier": "judge"})
    for names, verdicts in asked.groupby(LABELS, sort=False):
        labels = dict(zip(LABELS, names, strict=True))
        yield labels, Group.of(all_of(samples, labels), samples, verdicts)


def decoded(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of codes are the words that they stand for."""
    coded = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(coded, object))


def all_of(table: pd.DataFrame, labels: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table's rows of one class, task and model."""
    keep = pd.Series(data=True, index=table.index)
    for column in ("task_class", "task", "model"):
        keep &= table[column] == labels[column]
    return table[keep]


@dataclass(frozen=True)
class Group:
    """One judge's verdicts on the replies of one model to one task.

    `verdicts` has a row for each that the judge answered (of, problem_id, swapped, index, score);
    `failed` counts the others. `replies` has a row for each graded reply: key, problem_id,
    problem (numbered from 0), grade, length, against (the length of what it is compared with).
    `draws` are the task's plain draws, `marks` the scores of other verifiers.
    """

    verdicts: pd.DataFrame
    failed: int
    replies: pd.DataFrame
    draws: pd.DataFrame
    marks: pd.DataFrame

    @classmethod
    def of(cls, mine: pd.DataFrame, samples: pd.DataFrame, verdicts: pd.DataFrame) -> Group:
        params = [json.loads(text) for text in verdicts["params"]]
        asked = verdicts.assign(
            swapped=[bool(each["swapped"]) for each in params],
            against=[each.get("against") for each in params],
        )
        answered = asked[asked["status"].isin(("ok", "unparsed"))]
        whole = mine[(mine["kind"] == "draw") & ~mine["partial"].astype(bool)]
        graded = whole[whole["correct"].notna() & whole["key"].isin(answered["of"])]
        length = graded["text"].str.len().astype(float)
        against = answered.drop_duplicates("of").set_index("of")["against"]
        if against.notna().any():
            texts = samples.drop_duplicates("key").set_index("key")["text"]
            compared = graded["key"].map(against).map(texts).str.len().astype(float)
        else:
            compared = length.groupby(graded["problem_id"]).transform("mean")
        replies = pd.DataFrame(
            {
                "key": graded["key"],
                "problem_id": graded["problem_id"],
                "problem": pd.factorize(graded["problem_id"])[0],
                "grade": graded["correct"].astype(float),
                "length": length,
                "against": compared,
            }
        ).reset_index(drop=True)
        plain = whole[(whole["thinking_kind"] == "none") & ~conditioned(whole)]
        return cls(
            answered[["of", "problem_id", "swapped", "index", "score"]],
            len(asked) - len(answered),
            replies,
            plain[~plain["status"].isin(LOST)],
            mine[mine["kind"] == "judge"],
        )

    def control(self, seed: int) -> LengthControl | None:
        """Return the effect of length on grades, None where no reply has one."""
        if self.replies.empty:
            return None
        length, against = (self.replies[c].to_numpy(float) for c in ("length", "against"))
        return LengthControl.fit(
            self.replies["grade"].to_numpy(float),
            length_terms(length, against),
            self.replies["problem"].to_numpy(np.int64),
            seed=seed,
        )

    def picks(self, strategy: str, rows: pd.DataFrame) -> Iterator[tuple[int, Picks]]:
        """Yield what a strategy picks at its budgets; nothing where that is not known.

        `rows` are the strategy's outcomes.
        """
        if "picked" in rows and rows["picked"].notna().any():
            for budget, runs in rows.groupby("budget"):
                times = runs.groupby("problem_id")["picked"].transform("size")
                share = (1.0 / times).groupby(runs["picked"]).sum()
                shares = dict(zip(share.index.astype(str), share.to_numpy(float), strict=True))
                yield int(str(budget)), Picks(shares, float((1.0 / times).sum()))
            return
        chosen = self.chosen(strategy)
        if chosen is not None:
            largest = int(rows["budget"].max())
            ks = sorted({*(2**i for i in range(largest.bit_length())), largest})
            yield from self.pooled(chosen, largest, self.draws, ks)

    def chosen(self, strategy: str) -> Chooser | None:
        """Return how a strategy over a pool chooses, None where it is not one that is known."""
        if strategy == ORACLE:
            return by_score(self.draws.set_index("key")["correct"].astype(float).fillna(0.0))
        if strategy == "mbr":
            return by_similarity
        if strategy.startswith(f"{BEST}:"):
            mine = self.marks[self.marks["verifier"] == strategy.partition(":")[2]]
            marks = mine.drop_duplicates("of").set_index("of")["score"].astype(float)
            return None if marks.empty else by_score(marks)
        return None

    def pooled(
        self, chooser: Chooser, largest: int, draws: pd.DataFrame, ks: Iterable[int]
    ) -> Iterator[tuple[int, Picks]]:
        """Yield a chooser's picks out of k of the first `largest` draws."""
        pool = draws[draws["index"] < largest]
        each = [(draws["key"].tolist(), chooser(draws)) for _, draws in pool.groupby("problem_id")]
        for k in ks:
            held = [(keys, share[k - 1]) for keys, share in each if len(keys) >= k]
            if held:
                shares = {
                    key: float(part)
                    for keys, row in held
                    for key, part in zip(keys, row, strict=True)
                }
                yield k, Picks(shares, float(len(held)))

    def rates(self, control: LengthControl | None, picks: Picks) -> dict[str, object]:
        """Return what picks are worth."""
        weight = np.array(self.replies["key"].map(picks.share).fillna(0.0), dtype=np.float64)
        if control is None or not weight.sum():
            return {"ungraded": 1.0, "n": 0}
        raw, controlled = control.rate(weight)
        length, against = (float(weight @ self.replies[c]) for c in ("length", "against"))
        return (
            dict(zip(("win_rate", "low", "high"), ends(raw), strict=True))
            | dict(zip(("lc_win_rate", "lc_low", "lc_high"), ends(controlled), strict=True))
            | {
                "length_ratio": length / against if against else np.nan,
                "ungraded": max(0.0, 1.0 - weight.sum() / picks.problems),
                "n": self.replies["problem"][weight > 0].nunique(),
            }
        )

    def held_out(self, largest: int) -> Iterator[tuple[int, pd.Series[float]]]:
        """Yield k and, by problem, the grade of the best of k draws by repeats that did not choose.

        Repeats of even and of odd number choose and value in turn, so nothing comes of one repeat.
        A draw without an answer counts 0, and one that a half could not grade is none.
        """
        halves = [self.grades(self.verdicts[self.verdicts["index"] % 2 == odd]) for odd in (0, 1)]
        blank = self.draws["key"][self.draws["status"].isin(BLANK)]
        both = halves[0].dropna().index.intersection(halves[1].dropna().index)
        if both.empty:
            return
        first, second = (
            pd.concat([half.reindex(both), pd.Series(0.0, index=blank)]) for half in halves
        )
        known = self.draws[self.draws["key"].isin(first.index)]
        problem = known.set_index("key")["problem_id"]
        ks = range(1, largest + 1)
        pools = [self.pooled(by_score(half), largest, known, ks) for half in (first, second)]
        for (k, one), (_, other) in zip(*pools, strict=True):
            worth = pd.Series(one.share) * second + pd.Series(other.share) * first
            yield k, worth.dropna().groupby(problem).sum() / 2.0

    def grades(self, verdicts: pd.DataFrame) -> pd.Series[float]:
        """Return each reply's mean over orders of these verdicts, NaN where one has none."""
        means = verdicts.pivot_table(index="of", columns="swapped", values="score", dropna=False)
        asked = self.verdicts["swapped"].unique()
        return means.reindex(columns=asked).mean(axis=1, skipna=False)


@dataclass(frozen=True)
class Picks:
    """How often each reply is picked, by its key, in a sum over so many problems."""

    share: Mapping[str, float]
    problems: float


Chooser = Callable[[pd.DataFrame], Array]
"""From a problem's draws to P(draw i is picked of k of them), (n, n): k = 1..n by draw."""


def by_score(score: pd.Series[float]) -> Chooser:
    """Return what picks the best by `score`, a value by key; a draw without one is last."""

    def chosen(draws: pd.DataFrame) -> Array:
        n = len(draws)
        mine = score.reindex(draws["key"]).to_numpy(float)
        offsets = np.arange(n + 1) * n
        each = best_of(offsets, np.tile(mine, n), np.eye(n).ravel())
        share: Array = each.T
        return share

    return chosen


def by_similarity(draws: pd.DataFrame) -> Array:
    """Return the picks of minimum Bayes risk."""
    return choices(similarities([t if isinstance(t, str) else None for t in draws["answer"]]))


def orders(verdicts: pd.DataFrame) -> tuple[Interval, Interval]:
    """Return the position bias and the consistency of verdicts in both orders."""
    wide = verdicts.pivot_table(
        index=["problem_id", "of", "index"], columns="swapped", values="score"
    ).dropna()
    if wide.shape[1] < 2 or wide.empty:
        return NONE, NONE
    first, second = wide[False], wide[True]
    same = (first == second).astype(float)
    bias = ((first - second) / 2.0).groupby("problem_id").mean()
    held = same.groupby("problem_id").mean()
    return over_problems(bias, -0.5, 0.5), over_problems(held, 0.0, 1.0)


def repeats(group: Group, seed: int) -> tuple[Interval, Interval, Interval]:
    """Return the agreement of repeats, the noise of a grade, and its part of the variance."""
    read = group.verdicts.dropna(subset="score")
    cells = read.groupby(["problem_id", "of", "swapped"])["score"].agg(["size", "var", agreeing])
    cells.columns = pd.Index(["size", "var", "agreed"])
    twice = cells[cells["size"] > 1]
    if twice.empty:
        return NONE, NONE, NONE
    agreed = over_problems(twice["agreed"].groupby("problem_id").mean(), 0.0, 1.0)
    spread = twice["var"].groupby("problem_id").mean().rename("spread")
    inverse = (1.0 / cells["size"]).groupby(["problem_id", "of"]).agg(["sum", "size"])
    inverse = (inverse["sum"] / inverse["size"] ** 2).groupby("problem_id").agg(["mean", "size"])
    table = inverse.join(spread, how="inner")
    table = table.join(group.replies.groupby("problem_id")["grade"].mean(), how="inner")
    if table.empty:
        return agreed, NONE, NONE
    noise = (table["spread"] * table["mean"]).to_numpy(float)
    of_mean = noise / table["size"].to_numpy(float)
    Q = len(table)
    weights = np.random.default_rng(seed).dirichlet(np.ones(Q), ROUNDS)
    weights = np.concatenate([np.full((1, Q), 1.0 / Q), weights])
    grade = table["grade"].to_numpy(float)
    variance = (weights @ grade**2 - (weights @ grade) ** 2) * (Q / max(Q - 1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.minimum(weights @ of_mean / variance, 1.0)
    found = [read_off(np.sqrt(weights @ noise), Q), read_off(share, Q)]
    return agreed, found[0], found[1]


def agreeing(scores: pd.Series[float]) -> float:
    """Return the share of pairs of scores that are equal, NaN where there is no pair."""
    n = scores.size
    counts = np.unique(scores.to_numpy(float), return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else float("nan")


def read_off(values: Array, problems: int) -> Interval:
    """Return the first value with the quantiles of the others; none for one problem."""
    if problems < 2 or not np.isfinite(values[0]):
        return Interval(float(values[0]), np.nan, np.nan)
    low, high = np.nanquantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), min(float(low), values[0]), max(float(high), values[0]))


def over_problems(values: pd.Series[float], least: float, most: float) -> Interval:
    """Return the mean of values, one a problem, and its t interval with the curves' floor."""
    mean, Q = float(values.mean()), values.size
    if Q < 2:
        return Interval(mean, np.nan, np.nan)
    variance = max(float(values.var(ddof=1)) / Q, 0.2 * ((most - least) / Q) ** 2)
    half = float(stats.t.isf((1 - LEVEL) / 2, Q - 1)) * float(np.sqrt(variance))
    return Interval(mean, max(least, mean - half), min(most, mean + half))


def ends(interval: Interval) -> tuple[float, float, float]:
    """Return a value and the ends of its interval."""
    return interval.value, interval.low, interval.high
