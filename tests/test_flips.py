import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tsbench.flips import flips


def runs(before, after, **columns):
    """One run a problem at budgets 1 and 2."""
    frame = pd.DataFrame(
        {
            "problem_id": [*range(len(before)), *range(len(after))],
            "budget": np.repeat([1, 2], [len(before), len(after)]),
            "correct": [*before, *after],
        }
    )
    return frame.assign(task_class="math", strategy="revise", **columns)


def test_right_to_wrong_and_wrong_to_right_are_counted_apart():
    (row,) = flips(runs([1, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 1])).to_dict("records")
    assert (row["before"], row["after"], row["n"]) == (1, 2, 6)
    assert (row["right_to_wrong"], row["wrong_to_right"], row["ratio"]) == (3, 1, 3.0)
    assert row["p_value"] == pytest.approx(stats.binomtest(3, 4).pvalue)


def test_a_curve_falls_just_where_the_ratio_passes_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        before, after = rng.integers(0, 2, (2, 30))
        (row,) = flips(runs(before, after)).to_dict("records")
        assert (row["ratio"] > 1) == (after.mean() < before.mean())


def test_the_best_budget_is_set_against_the_last():
    table = pd.concat([runs([0, 0, 1], [1, 1, 1]), runs([1, 0, 0], []).assign(budget=4)])
    found = flips(table)
    assert found[["before", "after"]].to_numpy().tolist() == [[1, 2], [2, 4]]
    longer = pd.concat([table, runs([0, 0, 0], []).assign(budget=8)])
    assert flips(longer)[["before", "after"]].to_numpy().tolist() == [
        [1, 2],
        [2, 4],
        [4, 8],
        [2, 8],
    ]


def test_replicates_of_a_problem_are_no_new_evidence():
    one = runs([1] * 12, [0] * 12)
    many = pd.concat([one.assign(replicate=r) for r in range(10)])
    (row,) = flips(many).to_dict("records")
    assert row["right_to_wrong"] == 120
    assert row["p_value"] == pytest.approx(stats.chi2.sf(12, 1))


def test_a_missing_run_is_in_no_pair_and_no_flip_is_no_ratio():
    (row,) = flips(runs([1, 1, None], [1, 1, 0])).to_dict("records")
    assert row["n"] == 2
    assert np.isnan(row["ratio"])
    assert row["p_value"] == 1.0
    (worse,) = flips(runs([1, 1], [1, 0])).to_dict("records")
    assert np.isinf(worse["ratio"])


def test_expectations_have_no_flips():
    assert flips(runs([0.5, 1], [1, 1])).empty
