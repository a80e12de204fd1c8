"""What a table of draws comes to, query by query: counts, votes and spend, read batch by batch.

A pool is the draws of one problem by one model under one thinking budget. Its exact estimates need
only how many draws there were, how many had which grade, and how they voted, so a file of any
length is read in one pass and a row is forgotten once counted. Each pool is counted in two halves,
every other draw, so that a stratum can be taken from draws that are not the ones evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.util import hash_array

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LOST = ("error", "timeout", "sandbox_error")
"""Statuses of the infrastructure: such a draw leaves its pool."""
BLANK = ("truncated", "unparsed", "refused")
"""Statuses that the model reached without an answer: such a draw counts, and is not correct."""
STATUSES = ("ok", *BLANK, *LOST)
POOL = ["task_class", "task", "problem_id", "stratum", "model", "thinking_budget"]
PAID = ("tokens", "prompt_tokens", "flops", "dollars", "seconds")
VERIFIED = ("verifier_prompt_tokens", "verifier_completion_tokens")
COUNTED = ("n", "right", "blank", "truncated", *LOST)
OPTIONAL = ("task", "stratum", "model", "thinking_budget", "cluster", "status", "kind", "partial")
READ = (
    *("task_class", "problem_id", "correct", "answer", "completion_tokens", "key", "index"),
    *("n_draws", "n_correct", "verifier_seconds", "params"),
    *(*OPTIONAL, *PAID, *VERIFIED),
)
"""Every column of a samples table that is read; the others may hold anything."""


@dataclass(frozen=True)
class Tally:
    """The sufficient statistics of pools, in entries: one a pool, or one a half of a pool.

    `labels` (pools,) has the columns of POOL and `cluster`; `pool` (entries,) is each entry's row
    in it, and `half` (entries,) 0 or 1, or -1 for both. `counts` (entries,) has the columns
    COUNTED: draws kept, right (the sum of their grades), blank and truncated ones, and those lost
    to each of LOST. `paid` and `known` (entries,) have a column for each spend: its sum over kept
    draws, and how many of them it is known of.
    The ragged parts are sorted by entry: `grades` has a row for each distinct grade of kept draws
    that is neither 0 nor 1 (entry, right, draws), None where there are none; `ballot` has a row for
    each distinct answer (entry, vote: the answer's hash, votes, right: mean correctness), None
    without a column `answer`; `drawn` has a row per kept draw (entry, seconds, verifier_seconds,
    score, right, blank, vote), as far as asked for and known.
    """

    labels: pd.DataFrame
    pool: Counts
    half: Counts
    counts: pd.DataFrame
    paid: pd.DataFrame
    known: pd.DataFrame
    grades: pd.DataFrame | None
    ballot: pd.DataFrame | None
    drawn: pd.DataFrame | None

    def whole(self) -> Tally:
        """Return the tally with the halves of each pool put together."""
        grades = self.grades
        if grades is not None:
            grades = _grades([grades.assign(entry=self.pool[grades["entry"]])])
        ballot = self.ballot
        if ballot is not None:
            ballot = _ballot([ballot.assign(entry=self.pool[ballot["entry"]])])
        drawn = self.drawn
        if drawn is not None:
            drawn = drawn.assign(entry=self.pool[drawn["entry"]])
            drawn = drawn.sort_values("entry", kind="stable", ignore_index=True)
        counts, paid, known = (
            table.groupby(self.pool).sum() for table in (self.counts, self.paid, self.known)
        )
        pools = np.arange(len(self.labels))
        return Tally(self.labels, pools, 0 * pools - 1, counts, paid, known, grades, ballot, drawn)

    def at(self, entries: Counts) -> Tally:
        """Return the tally of these entries, numbered anew in their order; labels stay."""

        def of(ragged: pd.DataFrame | None) -> pd.DataFrame | None:
            if ragged is None:
                return None
            place = np.full(self.pool.size, -1)
            place[entries] = np.arange(entries.size)
            moved = place[ragged["entry"]]
            kept = ragged[moved >= 0].assign(entry=moved[moved >= 0])
            return kept.sort_values("entry", kind="stable", ignore_index=True)

        counts, paid, known = (
            table.iloc[entries].reset_index(drop=True)
            for table in (self.counts, self.paid, self.known)
        )
        return Tally(
            self.labels,
            self.pool[entries],
            self.half[entries],
            counts,
            paid,
            known,
            of(self.grades),
            of(self.ballot),
            of(self.drawn),
        )


def tally(batches: Iterable[pd.DataFrame], *, scores: bool = False) -> Tally:
    """Count the draws of a samples table that comes in batches of rows; see `Tally`.

    Columns: task_class, problem_id and correct (0 to 1, or null), or instead of correct n_draws and
    n_correct where a row stands for many draws; where known answer, completion_tokens (or
    tokens), prompt_tokens, seconds, flops, dollars, task, stratum, model, thinking_budget,
    cluster, status, kind and partial. Rows of another kind than "draw" and partial ones are left
    out. A status of another tool's is not read where there is a grade. With `scores` the column
    `score` is kept for each draw.

    Raises ValueError for a missing column, a `correct` or `status` that is none, a draw that
    comes twice (by `key`, else by problem, model and `index`), and where there is no draw.
    """
    book = _Book(scores)
    for batch in batches:
        book.add(batch)
    return book.close()


def require(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """Raise ValueError that names the first of `columns` that `table` has not."""
    for column in columns:
        if column not in table:
            raise ValueError(
                f"{what} have no column {column!r}; found {', '.join(map(str, table.columns))}."
            )


def accuracies(table: pd.DataFrame, what: str, *, start: int = 0) -> pd.Series[float]:
    """Return `correct` as floats, NaN where null; ValueError for a value that is no accuracy.

    Allowed are 0 to 1. The first row is number `start`.
    """
    given = table["correct"]
    correct = pd.to_numeric(given, errors="coerce").astype(float)
    odd = given.notna() & ~correct.between(0.0, 1.0)
    if odd.any():
        row = int(odd.to_numpy().argmax())
        raise ValueError(
            f"{what} row {start + row} has correct = {given.iloc[[row]].tolist()[0]!r}; "
            "allowed are 0 to 1 and null."
        )
    return correct


class _Book:
    """The running totals of `tally`."""

    def __init__(self, scores: bool) -> None:
        self.scores = scores
        self.rows = 0
        self.pools: dict[tuple[object, ...], int] = {}
        self.seen = np.zeros(0, dtype=np.int64)
        self.totals: list[pd.DataFrame] = []
        self.grades: list[pd.DataFrame] = []
        self.ballots: list[pd.DataFrame] = []
        self.drawn: list[pd.DataFrame] = []
        self.marks: list[NDArray[np.uint64]] = []

    def add(self, batch: pd.DataFrame) -> None:
        rows = _draws(batch, self.rows)
        self.rows += len(batch)
        if self.scores:
            require(batch, ("score",), "draws")
        if rows.empty:
            return
        pool = self._pools(rows)
        self._mark(rows, pool)
        entry = 2 * pool + self._turns(pool) % 2
        lost = rows["status"].isin(LOST)
        blank = ~lost & (rows["correct"].isna() | rows["status"].isin(BLANK))
        right = rows["correct"].where(~blank & ~lost, 0.0)
        counted = {
            "n": ~lost,
            "right": right,
            "blank": blank,
            "truncated": rows["status"] == "truncated",
            **{status: rows["status"] == status for status in LOST},
        }
        spent = {c: rows[c].astype(float).mask(lost) for c in (*PAID, *VERIFIED) if c in rows}
        columns = (
            {f"counts {name}": values for name, values in counted.items()}
            | {f"paid {name}": values for name, values in spent.items()}
            | {f"known {name}": values.notna() for name, values in spent.items()}
        )
        sums = {
            name: np.bincount(entry, values.to_numpy(dtype=float, na_value=0.0))
            for name, values in columns.items()
        }
        total = pd.DataFrame(sums)
        self.totals.append(total[np.bincount(entry, minlength=len(total)) > 0])
        part = ~right.isin([0.0, 1.0]).to_numpy()
        if part.any():
            each = pd.DataFrame({"entry": entry, "right": right.to_numpy(), "draws": 1})
            self.grades.append(_grades([each[part]]))
        if "answer" in rows:
            vote = _votes(rows["answer"])
            voting = (vote != 0) & (~lost & ~blank).to_numpy()
            ballot = pd.DataFrame({"entry": entry, "vote": vote, "votes": 1.0, "right": right})
            self.ballots.append(_ballot([ballot[voting]]))
        if "seconds" in rows or self.scores:
            self.drawn.append(_each(rows, right, blank, entry)[~lost.to_numpy()])

    def close(self) -> Tally:
        if not self.totals:
            raise ValueError("samples have no draw." if self.rows else "samples have no row.")
        if self.marks and pd.Series(np.concatenate(self.marks)).duplicated().any():
            raise ValueError(
                "samples have a draw twice: the same key, or the same index of a problem and model."
            )
        totals = pd.concat(self.totals).groupby(level=0).sum()
        labels = pd.DataFrame(list(self.pools), columns=[*POOL, "cluster"])
        entry = totals.index.to_numpy(dtype=np.int64)
        place = np.zeros(2 * len(self.pools), dtype=np.int64)
        place[entry] = np.arange(entry.size)
        grades = _grades(self.grades) if self.grades else None
        ballot = _ballot(self.ballots) if self.ballots else None
        drawn = pd.concat(self.drawn) if self.drawn else None
        if drawn is not None:
            drawn = drawn.sort_values("entry", kind="stable", ignore_index=True)
        for ragged in (grades, ballot, drawn):
            if ragged is not None:
                ragged["entry"] = place[ragged["entry"]]
        parts: dict[str, dict[str, Array]] = {"counts": {}, "paid": {}, "known": {}}
        for name, values in totals.items():
            part, column = str(name).split(" ")
            parts[part][column] = values.to_numpy()
        counts, paid, known = (pd.DataFrame(p, index=range(entry.size)) for p in parts.values())
        whole = {name: np.int64 for name in COUNTED if name != "right"}
        return Tally(
            labels,
            entry // 2,
            entry % 2,
            counts.astype(whole),
            paid,
            known,
            grades,
            ballot,
            drawn,
        )

    def _pools(self, rows: pd.DataFrame) -> Counts:
        """Return each row's pool, a number that it keeps through all batches."""
        code = np.zeros(len(rows), dtype=np.int64)
        for column in (*POOL, "cluster"):
            if column in rows:
                part, levels = pd.factorize(rows[column], use_na_sentinel=False)
                code = pd.factorize(code * max(len(levels), 1) + part)[0].astype(np.int64)
        _, first, here = np.unique(code, return_index=True, return_inverse=True)
        labels = rows.iloc[first].reindex(columns=[*POOL, "cluster"]).astype(object)
        labels["task"] = labels["task"].where(labels["task"].notna(), labels["task_class"])
        labels["model"] = labels["model"].where(labels["model"].notna(), "unknown")
        labels = labels.where(labels.notna(), None)
        names = labels.itertuples(index=False, name=None)
        known = [self.pools.setdefault(name, len(self.pools)) for name in names]
        return np.array(known, dtype=np.int64)[here]

    def _turns(self, pool: Counts) -> Counts:
        """Return which draw of its pool each row is, counted over all batches."""
        order = np.argsort(pool, kind="stable")
        size = np.bincount(pool, minlength=len(self.pools))
        turn = np.empty_like(pool)
        turn[order] = np.arange(pool.size) - np.repeat(np.cumsum(size) - size, size)
        self.seen = np.concatenate([self.seen, np.zeros(size.size - self.seen.size, np.int64)])
        turn += self.seen[pool]
        self.seen = self.seen + size
        return turn

    def _mark(self, rows: pd.DataFrame, pool: Counts) -> None:
        if "key" in rows:
            self.marks.append(hash_array(rows["key"].to_numpy(dtype=object)))
        elif "index" in rows and rows["index"].notna().all():
            self.marks.append((pool * 2**32 + rows["index"].to_numpy(np.int64)).astype(np.uint64))


def _draws(batch: pd.DataFrame, start: int) -> pd.DataFrame:
    """Return the rows of a batch that are draws, a row for each, with the columns checked."""
    require(batch, ("task_class", "problem_id"), "samples")
    rows = _expanded(batch, start) if "n_draws" in batch else batch
    require(rows, ("correct",), "samples")
    rows = rows[[column for column in dict.fromkeys((*READ, "score")) if column in rows]]
    rows = rows.assign(correct=accuracies(rows, "samples", start=start))
    for column in ("task_class", "problem_id"):
        if rows[column].isna().any():
            row = start + int(rows[column].isna().to_numpy().argmax())
            raise ValueError(f"samples row {row} has no {column}.")
    status = rows["status"].astype(object) if "status" in rows else pd.Series("ok", rows.index)
    rows["status"] = status.where(status.notna(), "ok")
    unknown = ~rows["status"].isin(STATUSES) & rows["correct"].isna()
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        raise ValueError(
            f"samples row {start + row} has no correct and status {rows['status'].iloc[row]!r}; "
            f"allowed are {', '.join(STATUSES)}."
        )
    if "completion_tokens" in rows:
        rows["tokens"] = rows["completion_tokens"]
    if "kind" in rows:
        rows = rows[rows["kind"] == "draw"]
    if "params" in rows:
        rows = rows[~conditioned(rows)]
    if "partial" in rows:
        rows = rows[~rows["partial"].astype("boolean").fillna(value=False).to_numpy(bool)]
    return rows


def conditioned(rows: pd.DataFrame) -> pd.Series[bool]:
    """Say of our own draws whether they saw or continued a reply, or had a thinking parameter.

    They are steps of a strategy (a revision, a beam's end) and no part of a pool of equal draws.
    A forced answer continues its thoughts, but has a pool of its own by its thinking budget.
    """
    params = rows["params"].astype("string").fillna("")
    continued = params.str.contains('"prefix": "[^"]', regex=True)
    if "thinking_budget" in rows:
        continued &= rows["thinking_budget"].isna()
    shown = params.str.contains('"turns": ', regex=False)
    treated = params.str.contains('"effort": |"thinking_kind": "native"', regex=True)
    return continued | shown | treated


def _expanded(batch: pd.DataFrame, start: int) -> pd.DataFrame:
    """Return a row per draw of rows that count n_draws draws of which n_correct are right.

    In an order that says nothing of which are right, so that the halves are fair.
    """
    require(batch, ("n_draws", "n_correct"), "samples")
    n, c = (pd.to_numeric(batch[name], errors="coerce") for name in ("n_draws", "n_correct"))
    bad = ~((n >= 1) & (c >= 0) & (c <= n) & (n % 1 == 0) & (c % 1 == 0))
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(
            f"samples row {start + row} has n_draws = {batch['n_draws'].tolist()[row]!r} and "
            f"n_correct = {batch['n_correct'].tolist()[row]!r}; allowed are whole numbers, "
            "0 <= n_correct <= n_draws."
        )
    each = batch.loc[batch.index.repeat(n.astype(int))].reset_index(drop=True)
    order = np.random.default_rng(start).permutation(len(each))
    turn = each.groupby(np.repeat(np.arange(len(batch)), n.astype(int))).cumcount()
    correct = (turn < np.repeat(c.to_numpy(), n.astype(int))).astype(float)
    return each.assign(correct=correct).iloc[order]


def _votes(answer: pd.Series[str]) -> NDArray[np.uint64]:
    """Return each answer's hash, whatever its spaces about it; 0 where there is none."""
    code, levels = pd.factorize(answer)
    texts = np.array([str(level).strip() for level in levels], dtype=object)
    hashes = np.append(np.where(texts == "", 0, hash_array(texts)), 0).astype(np.uint64)
    return hashes[code]


def _grades(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the parts' draws summed by entry and grade."""
    rows = pd.concat(parts, ignore_index=True)
    return rows.groupby(["entry", "right"], sort=True)["draws"].sum().reset_index()


def _ballot(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the parts' votes summed by entry and answer, the correctness a mean over votes."""
    rows = pd.concat(parts, ignore_index=True)
    rows["right"] *= rows["votes"]
    sums = rows.groupby(["entry", "vote"], sort=True)[["votes", "right"]].sum().reset_index()
    sums["right"] /= sums["votes"]
    return sums


def _each(
    rows: pd.DataFrame, right: pd.Series[float], blank: pd.Series[bool], entry: Counts
) -> pd.DataFrame:
    """Return what is kept of every draw."""
    kept = pd.DataFrame({"entry": entry}, index=rows.index)
    if "seconds" in rows:
        kept["seconds"] = rows["seconds"].astype(float)
        if "verifier_seconds" in rows:
            kept["verifier_seconds"] = rows["verifier_seconds"].astype(float).fillna(0.0)
    if "score" in rows:
        kept["score"] = rows["score"].astype(float)
        kept["right"] = right
        kept["blank"] = blank
        if "answer" in rows:
            kept["vote"] = _votes(rows["answer"])
    return kept
