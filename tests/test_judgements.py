"""A judge of known biases and noise, and what the tables say of it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from tsbench.cells import cells_of_outcomes
from tsbench.headroom import headroom
from tsbench.judgements import held_out, judgements, judges
from tsbench.outcomes import best_of_outcomes, outcomes_from_samples

BASELINE = "w" * 500


class Study:
    """Replies of known worth, compared with a baseline's by a judge of known biases.

    The reply wins with the log-odds of its worth, `length` times its length term and, shown first,
    `position`; shown second, minus that.
    """

    def __init__(
        self,
        Q: int = 150,
        n: int = 4,
        repeats: int = 4,
        *,
        position: float = 0.0,
        length: float = 0.0,
        spread: float = 1.0,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.n = n
        self.worth = spread * rng.standard_normal((Q, n))
        size = np.maximum(1, rng.normal(560, 100, (Q, n))).astype(int)
        difference = size - len(BASELINE)
        liking = self.worth + length * np.tanh(difference / difference.std())
        self.p = np.stack([expit(liking + position), expit(liking - position)])
        self.fair = expit(self.worth)
        won = rng.uniform(size=(repeats, 2, Q, n)) < self.p
        self.grade = won.mean(axis=(0, 1))
        rows = [
            row("baseline", f"b{q}", q, text=BASELINE, params={"baseline": True}) for q in range(Q)
        ]
        for q in range(Q):
            for i in range(n):
                key = f"{q}/{i}"
                rows.append(
                    row("draw", key, q, index=i, text="x" * size[q, i], correct=self.grade[q, i])
                )
                rows += [
                    row(
                        "grade",
                        f"{key}/{order}/{r}",
                        q,
                        index=r,
                        verifier="judge:pairwise",
                        of=key,
                        params={"swapped": bool(order), "against": f"b{q}"},
                        score=float(won[r, order, q, i]),
                    )
                    for order in (0, 1)
                    for r in range(repeats)
                ]
        self.samples = pd.DataFrame(rows)
        drawn = self.samples[self.samples["kind"] == "draw"].assign(tokens=10)
        self.outcomes = outcomes_from_samples(drawn.drop(columns="answer"))

    @property
    def judge(self) -> pd.Series:
        (found,) = judges(self.samples).to_dict("records")
        return pd.Series(found)


def row(kind: str, key: str, q: int, **values: object) -> dict[str, object]:
    params = values.pop("params", {"prefix": ""})
    return {
        "key": key,
        "kind": kind,
        "task_class": "open_ended",
        "task": "essays",
        "problem_id": f"q{q}",
        "model": "m",
        "verifier": None,
        "of": None,
        "index": 0,
        "params": json.dumps(params),
        "partial": False,
        "thinking_kind": "none",
        "text": "",
        "answer": values.get("text"),
        "correct": np.nan,
        "status": "ok",
        "score": np.nan,
        **values,
    }


def within(found: pd.Series, name: str, truth: float) -> bool:
    return bool(found[f"{name}_low"] <= truth <= found[f"{name}_high"])


@pytest.mark.parametrize("position", [-0.6, 0.0, 1.0])
def test_a_known_position_bias_is_recovered_and_moves_no_grade(position: float) -> None:
    study = Study(position=position)
    found = study.judge
    first, second = study.p
    assert within(found, "position_bias", float((first - second).mean() / 2))
    assert np.sign(found["position_bias"]) == np.sign(position) or not position
    assert found["position_bias_low"] <= 0.0 <= found["position_bias_high"] or position
    same = first * second + (1 - first) * (1 - second)
    assert within(found, "consistency", float(same.mean()))
    table = judgements(study.samples, study.outcomes)
    one = table[(table["strategy"] == "pass@k") & (table["budget"] == 1)].iloc[0]
    assert one["win_rate"] == pytest.approx(study.grade.mean())
    assert one["low"] <= 0.5 <= one["high"]


def test_known_noise_is_recovered() -> None:
    study = Study(Q=300, position=0.5)
    found = study.judge
    spread = (study.p * (1 - study.p)).mean(axis=0) / (2 * 4)
    assert within(found, "noise", float(np.sqrt(spread.mean())))
    assert within(found, "agreement", float((study.p**2 + (1 - study.p) ** 2).mean()))
    share = spread.mean() / study.n / study.grade.mean(axis=1).var(ddof=1)
    assert within(found, "noise_share", float(share))
    again = Study(Q=300, position=0.5, seed=1).grade - study.grade
    assert again.std() > found["noise"], "other replies differ by more than a judge's noise"
    assert (found["n_replies"], found["n_problems"]) == (1200, 300)
    assert (found["n_judgements"], found["unread"], found["failed"]) == (9600, 0.0, 0)


def test_one_repeat_tells_nothing_of_noise() -> None:
    study = Study(Q=20, repeats=1)
    found = study.judge
    assert found[["agreement", "noise", "noise_share"]].isna().all()
    assert not np.isnan(found["consistency"])
    assert held_out(study.samples, study.outcomes).empty


@pytest.mark.parametrize("length", [-1.0, 1.5])
def test_a_known_length_bias_is_taken_out_of_win_rates(length: float) -> None:
    study = Study(Q=300, length=length)
    table = judgements(study.samples, study.outcomes).set_index(["strategy", "budget"])
    one = table.loc[("pass@k", 1)]
    assert one["lc_low"] <= study.fair.mean() <= one["lc_high"]
    assert not one["low"] <= study.fair.mean() <= one["high"]
    assert one["length_ratio"] == pytest.approx(560 / 500, rel=0.02)
    assert np.sign(study.judge["length_effect"]) == np.sign(length)
    best = table.loc[("pass@k", 4)]
    assert best["win_rate"] == pytest.approx(study.grade.max(axis=1).mean())
    assert (one["n"], one["ungraded"]) == (300, 0.0)


def test_the_best_of_equal_replies_is_noise_and_held_out_it_is_none() -> None:
    study = Study(Q=400, n=8, repeats=2, spread=0.0)
    whole = study.outcomes[study.outcomes["budget"] == 8]
    assert whole["correct"].mean() > 0.75
    held = held_out(study.samples, study.outcomes)
    assert set(held["budget"]) == set(range(1, 9))
    for _, part in held.groupby("budget"):
        error = part["held_out"].std() / np.sqrt(len(part))
        assert abs(part["held_out"].mean() - 0.5) < 4 * error


def test_the_best_held_out_is_worth_what_it_is() -> None:
    study = Study(Q=400, n=4, repeats=2, spread=2.0)
    held = held_out(study.samples, study.outcomes)
    mean = held[held["budget"] == 4]["held_out"].mean()
    verdicts = study.samples[study.samples["kind"] == "grade"]
    halves = verdicts.groupby(["of", "index"])["score"].mean()
    truth = study.fair.ravel()
    worth = []
    for r in (0, 1):
        by_key = halves.xs(r, level="index")
        grades = np.array([by_key[f"{q}/{i}"] for q in range(400) for i in range(4)])
        table, fair = grades.reshape(400, 4), truth.reshape(400, 4)
        top = table == table.max(axis=1, keepdims=True)
        worth.append(((top * fair).sum(axis=1) / top.sum(axis=1)).mean())
    assert mean == pytest.approx(np.mean(worth), abs=0.02)
    best = study.outcomes[study.outcomes["budget"] == 4]["correct"].mean()
    assert mean < best
    table = headroom(cells_of_outcomes(study.outcomes), held)
    assert table.empty, "an oracle is no selector"


def test_a_verifier_s_picks_are_weighed_as_best_of_n_weighs_them() -> None:
    study = Study(Q=60, n=5, seed=3)
    rng = np.random.default_rng(0)
    drawn = study.samples[study.samples["kind"] == "draw"]
    score = np.round(rng.uniform(size=len(drawn)), 1)
    marks = [
        row("judge", f"v{key}", 0, verifier="mine", of=key, score=s) | {"problem_id": problem}
        for key, problem, s in zip(drawn["key"], drawn["problem_id"], score, strict=True)
    ]
    samples = pd.concat([study.samples, pd.DataFrame(marks)], ignore_index=True)
    best = best_of_outcomes(drawn.assign(score=score, tokens=1), "best-of-n:mine")
    table = judgements(samples, best).set_index("budget")
    exact = best.groupby("budget")["correct"].mean()
    assert list(table.index) == [1, 2, 4, 5]
    for k in table.index:
        assert table.loc[k, "win_rate"] == pytest.approx(exact[k])


def test_runs_are_weighed_by_what_they_picked_and_what_is_ungraded_is_counted() -> None:
    study = Study(Q=10, n=2, repeats=1)
    samples = study.samples.copy()
    cut = samples["key"].isin([f"{q}/1" for q in range(10)])
    samples.loc[cut, ["correct", "status"]] = [np.nan, "truncated"]
    samples = samples[~samples["of"].isin(samples["key"][cut])]
    runs = pd.DataFrame(
        {
            "task_class": "open_ended",
            "task": "essays",
            "model": "m",
            "problem_id": [f"q{q}" for q in range(10) for _ in range(2)],
            "strategy": "tournament:pairwise",
            "budget": 2,
            "replicate": [0, 1] * 10,
            "picked": [f"{q}/{r}" for q in range(10) for r in range(2)],
        }
    )
    (found,) = judgements(samples, runs).to_dict("records")
    assert found["ungraded"] == pytest.approx(0.5)
    assert found["n"] == 10
    assert found["win_rate"] == pytest.approx(study.grade[:, 0].mean())
    lost = samples[samples["correct"].isna() | (samples["kind"] != "draw")]
    with_none = judgements(lost, runs)
    assert with_none["win_rate"].isna().all()
    assert with_none["ungraded"].eq(1.0).all()


def test_marks_have_no_order_and_are_as_long_as_the_mean_reply() -> None:
    study = Study(Q=40, n=4, repeats=2)
    samples = study.samples[study.samples["kind"] != "baseline"].copy()
    grades = samples["kind"] == "grade"
    samples.loc[grades, "verifier"] = "judge:rubric"
    swapped = samples["params"].str.contains('"swapped": true')
    samples = samples[~swapped]
    samples["params"] = samples["params"].str.replace(r', "against": "b\d+"', "", regex=True)
    (found,) = judges(samples).to_dict("records")
    assert np.isnan([found["position_bias"], found["consistency"]]).all()
    assert not np.isnan(found["noise"])
    table = judgements(samples, study.outcomes)
    one = table[table["budget"] == 1].iloc[0]
    assert one["length_ratio"] == pytest.approx(1.0)


def test_a_judge_that_is_read_in_one_order_alone_grades_nobody() -> None:
    study = Study(Q=10, n=2, repeats=2)
    samples = study.samples.copy()
    swapped = samples["params"].str.contains('"swapped": true')
    samples.loc[swapped, ["score", "status"]] = [np.nan, "unparsed"]
    samples["correct"] = np.nan
    (found,) = judges(samples).to_dict("records")
    assert (found["n_replies"], found["unread"]) == (0, 0.5)
    assert not np.isnan(found["agreement"])
    empty = ("position_bias", "consistency", "noise", "noise_share", "length_effect")
    assert np.isnan([found[name] for name in empty]).all()
    assert held_out(samples, study.outcomes).empty
    assert judgements(samples, study.outcomes)["ungraded"].eq(1.0).all()


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="samples have no column 'verifier'"):
        judges(Study(Q=2).samples.drop(columns="verifier"))
