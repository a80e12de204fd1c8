from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scripted import PROBLEM

from tsbench.replay import replay, replayed
from tsbench.strategies import AdaptiveVote, WindowVote
from tsbench.types import Reply


def draws(
    answers: str, right: str = "a", *, problem: str = "p", status: str = "ok"
) -> pd.DataFrame:
    """Return a pool, a letter a draw; a dot gave no answer."""
    return pd.DataFrame(
        {
            "key": [f"{problem}{i}" for i in range(len(answers))],
            "task_class": "math",
            "task": "t",
            "problem_id": problem,
            "stratum": None,
            "model": "m",
            "kind": "draw",
            "partial": False,
            "thinking_budget": np.nan,
            "index": range(len(answers)),
            "text": list(answers),
            "answer": [None if letter == "." else letter for letter in answers],
            "correct": [None if letter == "." else float(letter == right) for letter in answers],
            "status": ["unparsed" if letter == "." else status for letter in answers],
            "prompt_tokens": 10,
            "cached_tokens": None,
            "completion_tokens": range(1, len(answers) + 1),
            "reasoning_tokens": None,
            "flops": 100.0,
            "dollars": np.nan,
            "seconds": 2.0,
        }
    )


def test_a_strategy_takes_the_draws_in_their_order() -> None:
    replies = [Reply(str(i), letter, letter) for i, letter in enumerate("abbbbba")]
    picked, spent = replay(WindowVote(6, window=2), PROBLEM, replies)
    assert picked is replies[1]
    assert spent.asks == 4


def test_agreement_stops_early_and_pays_for_what_it_asked() -> None:
    table = replayed(draws("aaaaaaaa"), AdaptiveVote(8)).set_index("budget")
    assert table.index.tolist() == [1, 2, 4, 8]
    assert table["correct"].tolist() == [1.0] * 4
    assert table["asks"].tolist() == [1.0, 2.0, 4.0, 4.0], "four votes are enough"
    assert table["seconds"].tolist() == [2.0, 4.0, 8.0, 8.0], "one after the other"
    assert table["flops"].tolist() == [100.0, 200.0, 400.0, 400.0]
    assert table["tokens"].to_numpy() == pytest.approx([4.5, 9.0, 18.0, 18.0], rel=0.1)
    assert table["dollars"].isna().all(), "an unknown price is unknown"
    assert set(table["strategy"]) == {"adaptive-vote"}


def test_the_mean_over_random_orders_is_near_that_over_all() -> None:
    pool = draws("aabbc.")
    strategy = WindowVote(6, window=2)
    replies = [Reply(f"p{i}", a, None if a == "." else a) for i, a in enumerate("aabbc.")]
    runs = [replay(strategy, PROBLEM, order) for order in permutations(replies)]
    right = np.mean([picked is not None and picked.answer == "a" for picked, _ in runs])
    asks = np.mean([spent.asks for _, spent in runs])
    last = replayed(pool, strategy).iloc[-1]
    assert last["correct"] == pytest.approx(right, abs=0.15)
    assert last["asks"] == pytest.approx(asks, abs=0.6)


def test_lost_draws_leave_the_pool_and_each_problem_has_its_own() -> None:
    both = pd.concat(
        [
            draws("aaa"),
            draws("bb", problem="q"),
            draws("a", problem="r").assign(status="error", correct=None),
            draws("...", problem="s"),
        ],
        ignore_index=True,
    )
    table = replayed(both, AdaptiveVote(4)).set_index(["problem_id", "budget"])
    assert table["correct"].to_dict() == {
        ("p", 1): 1.0,
        ("p", 2): 1.0,
        ("q", 1): 0.0,
        ("q", 2): 0.0,
        ("r", 1): pytest.approx(np.nan, nan_ok=True),
        ("s", 1): 0.0,
        ("s", 2): 0.0,
    }
    assert table.loc[("r", 1), "status"] == "error"
    assert (table.loc["s", "missing_rate"] == 1.0).all()
