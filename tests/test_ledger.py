import numpy as np
import pandas as pd
import pytest

from tsbench.cost import Price
from tsbench.ledger import expected_choice, tables
from tsbench.strategies import BestOf, Coverage, MinimumBayesRisk
from tsbench.strategies.similarity import similarities

UNPRICED = Price(None, None, None)


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
    found = tables(rows, ran, Price(1e6, None, None))
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
    assert expected_choice(similarities(texts), correct)[-1] == 1.0
