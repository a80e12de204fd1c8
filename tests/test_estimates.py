from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.cells import cells_of_draws
from tsbench.estimates import estimates, estimates_by_score, spends
from tsbench.pool import best_of_k, expected_max, maj_at_k, pass_at_k, weighted_best_of_k
from tsbench.tally import tally


def counted(answers, status=None, score=None, **columns):
    """One pool; the answer "a" is right, None is none."""
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": "p",
            "answer": pd.Series(answers, dtype=object),
            "correct": [None if a is None else float(a == "a") for a in answers],
            "status": status or ["ok" if a is not None else "unparsed" for a in answers],
        }
    )
    if score is not None:
        table["score"] = score
    return tally([table.assign(**columns)], scores=score is not None).whole()


def test_the_bounds_are_what_missing_draws_could_be():
    pools = counted(["a", "b", "b", None, None], ["ok", "ok", "ok", "truncated", "error"])
    oracle, vote = estimates(pools)
    assert oracle.accuracy[0] == pytest.approx(pass_at_k(4, 1))
    assert oracle.if_wrong[0] == pytest.approx(pass_at_k(5, 1))
    assert oracle.if_right[0] == pytest.approx(pass_at_k(5, 3))
    assert vote.accuracy[0] == pytest.approx([*maj_at_k([1, 2], [1, 0], 1)])
    assert vote.if_wrong[0] == pytest.approx(maj_at_k([1, 2], [1, 0], 2))
    assert vote.if_right[0] == pytest.approx(maj_at_k([3, 2], [1, 0]))


def test_with_nothing_missing_the_bounds_are_the_estimate():
    for each in estimates(counted(["a", "b", "a"])):
        assert each.if_wrong.tolist() == each.accuracy.tolist() == each.if_right.tolist()


def test_a_right_answer_that_nobody_gave_can_still_be_missing():
    _, vote = estimates(counted(["b", None, None]))
    assert vote.accuracy[0] == pytest.approx([0.0] * 3)
    assert vote.if_right[0] == pytest.approx(maj_at_k([1, 2], [0, 1]))


def test_scores_choose_and_weigh():
    scores = [0.9, 0.5, 0.5, np.nan]
    pools = counted(["b", "a", "a", None], score=scores)
    best, weighted = estimates_by_score(pools, "reward")
    assert (best.strategy, weighted.strategy) == ("best-of-n:reward", "weighted-best-of-n:reward")
    assert best.accuracy[0] == pytest.approx(best_of_k(scores, [0, 1, 1, 0]))
    codes = np.array([0, 1, 1, -1])
    assert weighted.accuracy[0] == pytest.approx(weighted_best_of_k(codes, scores, [0, 1, 1, 0]))
    assert (best.if_right >= best.accuracy).all()


def test_negative_scores_have_no_weighted_vote():
    (best,) = estimates_by_score(counted(["a", "b"], score=[-1.0, -2.0]))
    assert best.strategy == "best-of-n"


def test_spend_is_the_mean_of_what_is_known():
    pools = counted(
        ["a", "b", "b", None],
        ["ok", "ok", "ok", "error"],
        tokens=[10.0, 20.0, np.nan, 1000.0],
        seconds=[1.0, 2.0, 6.0, 99.0],
    )
    spent = spends(pools, 3)
    assert spent["tokens"][0].tolist() == [15.0, 30.0, 45.0]
    assert spent["seconds"][0] == pytest.approx(expected_max([1.0, 2.0, 6.0]))
    assert spent["asks"][0].tolist() == [1.0, 2.0, 3.0]
    assert "dollars" not in spent


def test_a_verifier_is_paid_for_by_what_it_chose_alone():
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": "p",
            "answer": ["a", "b"],
            "correct": [1.0, 0.0],
            "tokens": 10.0,
            "seconds": 1.0,
            "score": [0.9, 0.1],
            "verifier_prompt_tokens": 20.0,
            "verifier_completion_tokens": 3.0,
            "verifier_seconds": 0.5,
        }
    )
    cells = cells_of_draws(tally([table], scores=True), verifier="judge")
    cost = {names[3]: cell.means.iloc[-1] for names, cell in cells.items()}
    for name in ("pass@k", "maj@k"):
        assert cost[name][["tokens", "verifier_tokens", "seconds"]].tolist() == [20.0, 0.0, 1.0]
    for name in ("best-of-n:judge", "weighted-best-of-n:judge"):
        assert cost[name][["tokens", "verifier_tokens", "seconds"]].tolist() == [26.0, 46.0, 1.5]


def test_a_verifier_whose_spend_is_unknown_makes_the_whole_unknown():
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": "p",
            "correct": [1.0, 0.0],
            "tokens": 10.0,
            "score": [0.9, 0.1],
            "verifier_prompt_tokens": 20.0,
            "verifier_completion_tokens": np.nan,
        }
    )
    pools = tally([table], scores=True).whole()
    assert np.isnan(spends(pools, 2, verified=True)["tokens"]).all()
    assert spends(pools, 2)["tokens"].tolist() == [[10.0, 20.0]]


graded = st.lists(
    st.tuples(
        st.sampled_from((0.0, 1 / 6, 0.5, 1.0, None)),
        st.sampled_from(("ok", "truncated", "error")),
    ),
    min_size=1,
    max_size=7,
)


@settings(deadline=None)
@given(graded)
def test_pass_at_k_of_grades_is_the_best_of_every_subset(
    draws: list[tuple[float | None, str]],
) -> None:
    rows = pd.DataFrame(draws, columns=["correct", "status"]).assign(
        task_class="essays", problem_id="p"
    )
    rows.loc[rows["status"] != "ok", "correct"] = np.nan
    unread = rows["correct"].isna() & (rows["status"] == "ok")
    rows.loc[unread, "status"] = "unparsed"
    (oracle, *_) = estimates(tally([rows.assign(correct=rows["correct"].astype(float))]).whole())
    kept = rows[rows["status"] != "error"]
    bounds = {
        "accuracy": kept["correct"].fillna(0.0),
        "if_wrong": rows["correct"].fillna(0.0),
        "if_right": rows["correct"].fillna(1.0),
    }
    for name, grades in bounds.items():
        found = getattr(oracle, name)[0]
        for k in range(1, len(grades) + 1):
            best = [max(some) for some in combinations(grades, k)]
            assert found[k - 1] == pytest.approx(np.mean(best)), (name, k)


def test_grades_of_two_halves_and_of_many_batches_are_those_of_all():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "task_class": "essays",
            "problem_id": np.repeat(["p", "q"], 8),
            "index": np.tile(np.arange(8), 2),
            "correct": rng.integers(0, 7, 16) / 6,
        }
    )
    whole = tally([table])
    parts = tally([table.iloc[:5], table.iloc[5:6], table.iloc[6:]])
    (one,), (two,) = (list(estimates(pools.whole())) for pools in (whole, parts))
    assert one.accuracy == pytest.approx(two.accuracy)
    assert one.accuracy[:, 0] == pytest.approx(table.groupby("problem_id")["correct"].mean())
    (halves,) = estimates(whole)
    assert halves.accuracy[:, 3] == pytest.approx(
        table.groupby(["problem_id", table["index"] % 2])["correct"].max()
    )
    (last,) = estimates(whole.at(np.array([3, 0])))
    assert last.accuracy == pytest.approx(halves.accuracy[[3, 0]])
