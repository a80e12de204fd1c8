"""From a table of draws to the pools that a policy is fitted on: a row per problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.arm import GRADE
from tsbench.arms import Pool
from tsbench.cells import HELD
from tsbench.cost import Prices
from tsbench.tally import BLANK, LOST, accuracies, conditioned, require

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

READ = (
    *("task_class", "task", "problem_id", "stratum", "cluster", "model", "kind", "partial"),
    *("params", "thinking_budget", "thinking_kind", "key", "index", "status", "answer"),
    *("correct", "completion_tokens", "tokens", "prompt_tokens", "cached_tokens", "seconds"),
    *("flops", "dollars", "logprob_mean", "confidence", "verifier", "of", "score", "prompt"),
    *("verifier_prompt_tokens", "verifier_completion_tokens", "verifier_seconds"),
)
"""Every column of a samples table that is read, the user's own apart."""
LABELS = ("task", "problem_id", "stratum", "cluster", "prompt")
AXES = ("tokens", "prompt_tokens", "flops", "dollars", "asks")
"""Spends that add up over draws."""


@dataclass(frozen=True)
class Reading:
    """How a table of draws is read.

    `axis` is one of AXES; `prices` gives FLOPs and dollars where the table has none. `scored_by`
    names the verifier of a column `score`; `known` says that a draw's grade is known when it is
    made. `columns` are the user's own of a problem. `blank` as in `tsbench.pool.majority`.
    """

    axis: str
    prices: Prices | None = None
    scored_by: str | None = None
    known: bool = False
    columns: Sequence[str] = ()
    blank: str = "drop"


def pools(samples: pd.DataFrame, reading: Reading) -> Iterator[tuple[str, str, Pool]]:
    """Yield each class and model with the pool of its plain draws.

    A pool reaches as far as nine problems in ten do, and has the problems that reach as far. As in
    `tsbench.tally.tally` a draw that the infrastructure lost is no draw; one without an answer is
    one that is not right and does not vote. Thinking, continued and partial draws are not plain.
    A spend that is not known is the problem's mean, or where there is none, the class's.

    Raises ValueError for a missing column, a `correct` that is none, and a spend not known at all.
    """
    require(samples, ("task_class", "problem_id", "correct", *reading.columns), "samples")
    table = samples.assign(
        **{
            column: value
            for column, value in (("model", "unknown"), ("task", samples["task_class"]))
            if column not in samples
        }
    )
    drawn = table["kind"] == "draw" if "kind" in table else pd.Series(True, table.index)
    draws = table[drawn & _plain(table)].copy()
    draws["correct"] = accuracies(draws, "samples")
    draws["spend"] = spent(draws, reading)
    judges = _judges(table, draws, reading)
    for (task_class, model), mine in draws.groupby(["task_class", "model"], observed=True):
        marks = judges[judges["of"].isin(mine["key"])] if len(judges) else judges
        yield str(task_class), str(model), _pool(mine, marks, reading, f"{task_class}, {model}")


def spent(rows: pd.DataFrame, reading: Reading, prefix: str = "") -> pd.Series[float]:
    """Return each row's spend on the axis, NaN where it is not known."""
    axis, none = reading.axis, pd.Series(np.nan, rows.index)
    if axis == "asks":
        return pd.Series(1.0, rows.index)
    if axis in rows and not prefix:
        return rows[axis].astype(float)
    made = rows.get(f"{prefix}completion_tokens", rows.get("tokens", none) if not prefix else none)
    read = rows.get(f"{prefix}prompt_tokens", none)
    if axis == "tokens":
        return made.astype(float)
    if axis == "prompt_tokens":
        return read.astype(float)
    if reading.prices is None:
        return none
    cached = rows.get("cached_tokens", none).astype(float).fillna(0.0)
    who = rows["verifier"] if "verifier" in rows else pd.Series(None, rows.index, dtype=object)
    parts = []
    for name, part in rows.groupby(who.astype("string").fillna(""), sort=False):
        price = reading.prices.of(name)
        counts = (series.loc[part.index].astype(float) for series in (read, cached, made))
        r, c, m = counts
        parts.append(price.flops(r, c, m) if axis == "flops" else price.dollars(r, m))
    found: pd.Series[float] = pd.concat(parts).loc[rows.index] if parts else none
    return found


def _plain(table: pd.DataFrame) -> pd.Series[bool]:
    """Say of each row whether it is no step, no continuation and had no thinking budget."""
    plain = pd.Series(True, table.index)
    if "partial" in table:
        plain &= ~table["partial"].astype("boolean").fillna(value=False).astype(bool)
    if "params" in table:
        plain &= ~conditioned(table)
    if "thinking_budget" in table:
        plain &= table["thinking_budget"].isna()
    if "thinking_kind" in table:
        plain &= table["thinking_kind"].astype("string").fillna("none").eq("none").astype(bool)
    if "status" in table:
        plain &= ~table["status"].isin(LOST)
    return plain


def _judges(table: pd.DataFrame, draws: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Return a row for each draw and verifier: of, verifier, score, spend and seconds."""
    columns = ["of", "verifier", "score", "spend", "seconds"]
    found = []
    if "kind" in table and "of" in table and (table["kind"] == "judge").any():
        judges = table[table["kind"] == "judge"]
        params = judges["params"].astype("string").fillna("")
        judges = judges[~params.str.contains('"against": ', regex=False).astype(bool)]
        judges = judges.drop_duplicates(["verifier", "of"])
        judges = judges.assign(spend=spent(judges, reading))
        found.append(judges.reindex(columns=columns))
    if reading.scored_by:
        require(draws, ("score",), "draws")
        extra = spent(draws, reading, "verifier_").fillna(0.0)
        if reading.axis == "asks":
            extra = extra * 0.0
        found.append(
            pd.DataFrame(
                {
                    "of": _keys(draws),
                    "verifier": reading.scored_by,
                    "score": draws["score"].astype(float),
                    "spend": extra,
                    "seconds": draws.get("verifier_seconds", pd.Series(0.0, draws.index)),
                }
            )
        )
    draws["key"] = _keys(draws)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def _keys(draws: pd.DataFrame) -> pd.Series[str]:
    given = draws["key"] if "key" in draws else pd.Series(draws.index, draws.index)
    return given.astype(str)


def _pool(draws: pd.DataFrame, marks: pd.DataFrame, reading: Reading, who: str) -> Pool:
    draws = draws.sort_values("index", kind="stable") if "index" in draws else draws
    name = draws["task"].astype(str) + "/" + draws["problem_id"].astype(str)
    turn = name.groupby(name).cumcount()
    size = name.value_counts()
    n = int(np.sort(size.to_numpy())[int(np.floor((1.0 - HELD) * len(size) + 1e-9))])
    full = name.isin(size.index[size >= n]) & (turn < n)
    draws, name = draws[full], name[full]
    order = np.argsort(pd.factorize(name)[0], kind="stable")
    draws, name = draws.iloc[order], name.iloc[order]
    Q = len(draws) // n

    def grid(values: pd.Series[float]) -> Array:
        return np.asarray(values, dtype=np.float64).reshape(Q, n)

    status = draws["status"] if "status" in draws else pd.Series("ok", draws.index)
    blank = draws["correct"].isna() | status.isin(BLANK)
    right = draws["correct"].mask(blank, 0.0)
    answer, worth = _answers(draws, blank, right, name, reading.blank)
    spend = _filled(grid(draws["spend"]))
    if spend is None:
        raise ValueError(
            f"{who}: no draw's {reading.axis} are known; allowed are {', '.join(AXES)}."
        )
    waited = _filled(grid(draws["seconds"])) if "seconds" in draws else None
    traits = {
        "first_log_tokens": (1.0 + _tokens(draws)).map(np.log2),
        "first_logprob": draws.get("logprob_mean"),
        "first_confidence": draws.get("confidence"),
        "first_answered": (~blank).astype(float),
        "prompt_tokens": draws.get("prompt_tokens"),
    }
    known = {k: grid(v.astype(float)) for k, v in traits.items() if v is not None}
    scores, judging, checking = {}, {}, {}
    for verifier, part in marks.groupby("verifier", observed=True):
        by = part.set_index("of").reindex(draws["key"])
        scores[str(verifier)] = grid(by["score"])
        judging[str(verifier)] = grid(by["spend"].fillna(by["spend"].mean()).mask(
            ~draws["key"].isin(part["of"]).to_numpy(), 0.0
        ))  # fmt: skip
        checking[str(verifier)] = grid(by["seconds"].fillna(0.0))
    if reading.known:
        scores[GRADE] = grid(right)
        judging[GRADE] = checking[GRADE] = np.zeros((Q, n))
    labels = [c for c in dict.fromkeys((*LABELS, *reading.columns)) if c in draws]
    problems = draws[labels].iloc[::n].set_index(pd.Index(name.iloc[::n], name="problem"))
    return Pool(
        problems, grid(right), grid(worth), answer, spend, waited, known, scores, judging, checking
    )


def _tokens(draws: pd.DataFrame) -> pd.Series[float]:
    none = pd.Series(np.nan, draws.index)
    return draws.get("completion_tokens", draws.get("tokens", none)).astype(float)


def _filled(values: Array) -> Array | None:
    """Return the values with what is not known as its row's mean, or all rows'; None of none."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), values[known].mean())
    return np.where(known, values, mean[:, None])


def _answers(
    draws: pd.DataFrame,
    blank: pd.Series[bool],
    right: pd.Series[float],
    name: pd.Series[str],
    blanks: str,
) -> tuple[Counts | None, pd.Series[float]]:
    """Return the answers, numbered in each problem, and the correctness of each draw's answer."""
    if "answer" not in draws or draws["answer"].isna().all():
        return None, right
    text = draws["answer"].astype("string").str.strip()
    text = text.mask(blank.to_numpy() | text.eq("").fillna(value=True).to_numpy(bool))
    if blanks == "vote":
        text = text.fillna("\0")
    Q = name.nunique()
    both = [name.to_numpy(), text.fillna("").to_numpy()]
    worth = right.groupby(both).transform("mean").where(text.notna().to_numpy(), 0.0)
    codes = pd.factorize(text)[0].reshape(Q, -1)
    answer = np.full(codes.shape, -1, dtype=np.int64)
    for row, given in enumerate(codes):
        voted = given >= 0
        answer[row, voted] = np.unique(given[voted], return_inverse=True)[1]
    return answer, worth
