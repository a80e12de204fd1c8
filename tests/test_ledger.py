import numpy as np
import pandas as pd
import pytest

from tsbench.cost import Price, Prices
from tsbench.ledger import as_row, tables
from tsbench.pool import weighted_best_of_k
from tsbench.similarity import choices, similarities
from tsbench.strategies import (
    AdaptiveVote,
    BestOf,
    Coverage,
    Fuse,
    MinimumBayesRisk,
    Truncated,
    WeightedVote,
)
from tsbench.types import Outcome, Usage

UNPRICED = Prices(Price(None, None, None))


def samples(answers: list[str | None], correct: list[float | None]) -> pd.DataFrame:
    """Draws of one problem, each judged with its own length as the score."""
    common = {
        "task_class": "open_ended",
        "task": "t",
        "problem_id": "p",
        "stratum": None,
        "model": "m",
        "partial": False,
        "thinking_kind": "none",
        "thinking_budget": None,
        "params": '{"prefix": ""}',
        "text": "",
        "reasoning_tokens": None,
        "reason": None,
        "prompt_tokens": 10,
        "cached_tokens": 4,
        "seconds": 1.0,
    }
    draws = [
        {
            **common,
            "key": str(i),
            "kind": "draw",
            "index": i,
            "answer": answer,
            "correct": right,
            "status": "unparsed" if answer is None else "ok",
            "completion_tokens": 5,
            "verifier": None,
            "of": None,
            "score": None,
        }
        for i, (answer, right) in enumerate(zip(answers, correct, strict=True))
    ]
    judges = [
        {
            **draw,
            "key": f"j{draw['key']}",
            "kind": "judge",
            "answer": None,
            "correct": None,
            "completion_tokens": 1,
            "verifier": "length",
            "of": draw["key"],
            "score": float(len(str(draw["answer"]))),
        }
        for draw in draws
        if draw["answer"] is not None
    ]
    return pd.DataFrame(draws + judges)


def test_a_draw_without_an_answer_is_never_the_choice_of_minimum_bayes_risk() -> None:
    rows = samples(["a cat sat", "a cat sits", None], [1.0, 1.0, None])
    table = tables(rows, [(MinimumBayesRisk(3), [])], UNPRICED)["mbr"].set_index("budget")
    assert table["correct"][3] == 1.0
    assert table["correct"][1] == pytest.approx(2 / 3, abs=0.12)


def test_a_verifier_is_paid_for_and_picks() -> None:
    rows = samples(["aa", "b", "ccc"], [0.0, 0.0, 1.0])
    ran = [(BestOf(3, "length"), []), (Coverage(3), [])]
    found = tables(rows, ran, Prices(Price(1e6, None, None)))
    best = found["best-of-n:length"].set_index("budget")
    oracle = found["pass@k"].set_index("budget")
    assert best["correct"].to_dict() == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1.0})
    assert (best["tokens"] - oracle["tokens"]).to_dict() == {1: 1.0, 2: 2.0, 3: 3.0}
    assert (best["verifier_tokens"]).to_dict() == {1: 11.0, 2: 22.0, 3: 33.0}
    assert oracle["flops"][1] == 2e6 * (10 - 4 + 5)
    assert best["flops"][1] == 2e6 * (10 - 4 + 5 + 10 - 4 + 1)
    assert best["dollars"].isna().all(), "an unknown price is unknown"


def test_expected_choice_at_the_whole_pool_is_the_choice_itself() -> None:
    texts = ["red blue green", "red blue grey", "something else", "red blue"]
    alike = similarities(texts)
    np.fill_diagonal(alike, 0.0)
    winner = int(alike.sum(axis=1).argmax())
    correct = np.eye(4)[winner]
    assert (choices(similarities(texts)) @ correct)[-1] == 1.0


def test_a_weighted_vote_is_exact_over_the_pool_and_pays_its_verifier() -> None:
    answers, correct = ["aa", "bbb", "aa", "c"], [1.0, 0.0, 1.0, 0.0]
    ran = [(WeightedVote(4, "length"), []), (BestOf(4, "length"), [])]
    found = tables(samples(answers, correct), ran, Prices(Price(1e6, None, None)))
    table = found["weighted-best-of-n:length"].set_index("budget")
    codes, scores = [0, 1, 0, 2], [2.0, 3.0, 2.0, 1.0]
    expected = weighted_best_of_k(codes, scores, correct)
    assert table["correct"].tolist() == pytest.approx(list(expected))
    assert table["correct"][4] == 1.0, "4 against 3"
    best = found["best-of-n:length"].set_index("budget")
    assert best["correct"][4] == 0.0
    assert table["tokens"].tolist() == best["tokens"].tolist()


def test_a_weighted_vote_by_negative_scores_is_an_error_and_no_curve() -> None:
    rows = samples(["aa", "b"], [1.0, 0.0])
    rows["score"] *= -1
    reason = "ValueError: a weighted vote needs scores of 0 and more, found -2"
    lost = Outcome("p", "w", 0, None, "error", reason, Usage(), {}, 4)
    ran = [(WeightedVote(2, "length"), [lost])]
    (table,) = tables(rows, ran, UNPRICED).values()
    assert table[["status", "reason"]].to_numpy().tolist() == [["error", reason]]


def test_early_stopping_is_replayed_over_the_pool() -> None:
    rows = samples(["a"] * 8, [1.0] * 8)
    table = tables(rows, [(AdaptiveVote(8), [])], Prices(Price(1e6, None, None)))["adaptive-vote"]
    assert table["budget"].tolist() == [1, 2, 4, 8]
    assert table["flops"].tolist() == [2e6 * (10 - 4 + 5) * n for n in (1, 2, 4, 4)]


def test_draws_on_other_prompts_are_not_in_the_pool() -> None:
    rows = samples(["aa", "b", "ccc"], [1.0, 1.0, 0.0])
    draws = rows["kind"] == "draw"
    shown = rows[draws].assign(
        key="shown", params='{"prefix": "", "turns": [["user", "x"]]}', correct=0.0
    )
    continued = rows[draws].assign(key="more", params='{"prefix": "a"}', correct=0.0)
    both = pd.concat([rows, shown.iloc[:1], continued.iloc[:1]], ignore_index=True)
    ran = [(Coverage(3), [])]
    alone = tables(rows, ran, UNPRICED)["pass@k"]
    pd.testing.assert_frame_equal(tables(both, ran, UNPRICED)["pass@k"], alone)


def test_a_run_that_picked_nothing_is_unparsed() -> None:
    label = samples(["aa"], [1.0]).to_dict("records")[0]
    nothing = Outcome("p", "fuse", 0, None, "ok", None, Usage(), {}, 4)
    row = as_row(nothing, Fuse(4), label, None, UNPRICED)
    assert (row["status"], row["reason"]) == ("unparsed", "the strategy picked no reply")
    assert row["missing_rate"] == 1.0
    assert np.isnan(row["correct"])


def test_the_thinking_budget_is_that_of_the_strategy() -> None:
    picked = samples(["aa"], [1.0]).assign(thinking_budget=8).to_dict("records")[0]
    run = Outcome("p", "truncated", 0, None, "ok", None, Usage(), {}, 4)
    row = as_row(run, Truncated(32), picked, picked, UNPRICED)
    assert row["thinking_budget"] == 32, "a chain that ended early shares its answer"
    assert np.isnan(as_row(run, Fuse(4), picked, picked, UNPRICED)["thinking_budget"])


def test_a_run_that_asked_nothing_still_has_a_row() -> None:
    silent = Outcome("q", "fuse", 0, None, "error", "asked nothing", Usage(), {}, 0)
    (table,) = tables(samples(["aa"], [1.0]), [(Fuse(4), [silent])], UNPRICED).values()
    assert table[["problem_id", "status", "task"]].to_numpy().tolist() == [["q", "error", "t"]]
