"""Headroom capture: from a draw at random to the best one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.cells import cells_of_outcomes
from tsbench.headroom import headroom, oracle, ratio, selects
from tsbench.outcomes import best_of_outcomes, outcomes_from_samples


def pool(grades: np.ndarray, score: np.ndarray | None = None) -> pd.DataFrame:
    """Return outcomes of pass@k and best-of-k over pools of draws, `grades` (problems, draws)."""
    Q, n = grades.shape
    draws = pd.DataFrame(
        {
            "task_class": "open_ended",
            "problem_id": np.repeat([f"q{i}" for i in range(Q)], n),
            "index": np.tile(np.arange(n), Q),
            "correct": grades.ravel(),
            "tokens": 10,
            "score": grades.ravel() if score is None else score.ravel(),
        }
    )
    best = best_of_outcomes(draws, "best-of-n:judge")
    return pd.concat([outcomes_from_samples(draws), best], ignore_index=True)


def captured(outcomes: pd.DataFrame, k: int) -> pd.Series:
    table = headroom(cells_of_outcomes(outcomes))
    return table[table["budget"] == k].set_index("strategy").loc["best-of-n:judge"]


pools = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from((0.0, 0.25, 0.5, 1.0)), min_size=n, max_size=n),
        min_size=3,
        max_size=8,
    )
)


@settings(deadline=None)
@given(pools)
def test_an_oracle_converts_all_and_a_blind_selector_nothing(grades: list[list[float]]) -> None:
    table = np.array(grades)
    k = table.shape[1]
    found = captured(pool(table), k)
    if (np.ptp(table, axis=1) == 0).all():
        assert np.isnan(found["capture"])
        assert "every draw of a problem has the same grade" in found["flags"]
        return
    assert found["capture"] == pytest.approx(1.0)
    assert found["mean"] == pytest.approx(table.mean())
    assert found["best"] == pytest.approx(table.max(axis=1).mean())
    assert np.isnan(found["low"]) or found["low"] < 1.0
    blind = captured(pool(table, np.zeros_like(table)), k)
    assert blind["capture"] == pytest.approx(0.0, abs=1e-9)
    worst = captured(pool(table, -table), k)
    assert worst["capture"] < 0.0


@settings(deadline=None)
@given(pools, st.integers(0, 2**16), st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_capture_does_not_hang_on_the_scale_of_grades(
    grades: list[list[float]], seed: int, scale: float, shift: float
) -> None:
    table = np.array(grades)
    score = np.random.default_rng(seed).permutation(table.size).reshape(table.shape).astype(float)
    moved = scale * table + (1.0 - scale) * shift
    one, other = (captured(pool(each, score), table.shape[1]) for each in (table, moved))
    for column in ("capture", "low", "high"):
        assert other[column] == pytest.approx(one[column], rel=1e-4, abs=1e-6, nan_ok=True)


def test_a_selector_is_compared_with_draws_that_thought_alike() -> None:
    assert oracle("maj@k (forced 32)") == "pass@k (forced 32)"
    assert oracle("best-of-n:logprob") == "pass@k"
    names = ("maj@k", "maj@k (effort 2)", "best-of-n:x", "mbr", "tournament:pairwise", "usc")
    assert all(map(selects, names))
    assert not any(map(selects, ("pass@k", "revise", "fuse", "beam:x", "forced", "frontier")))


def test_one_problem_and_a_headroom_that_may_be_none_have_no_interval() -> None:
    over, under = np.array([0.2, 0.0, 0.1]), np.array([0.5, 0.0, 0.0])
    capture, low, high, flags = ratio(over, under, np.arange(3))
    assert capture == pytest.approx(0.6)
    assert np.isnan([low, high]).all()
    assert flags == "no interval: the headroom may be none"
    *_, flags = ratio(over, under, np.zeros(3, dtype=int))
    assert flags == "no interval: one problem or cluster"


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    under = np.repeat(rng.uniform(0.2, 0.6, 20), 5)
    over = np.repeat(rng.uniform(0.0, 0.4, 20), 5)
    alone = ratio(over, under, np.arange(100))
    together = ratio(over, under, np.repeat(np.arange(20), 5))
    assert together[0] == alone[0]
    assert together[2] - together[1] > 1.8 * (alone[2] - alone[1])


@pytest.mark.parametrize("Q", [20, 100])
def test_intervals_hold_the_truth(Q: int) -> None:
    rng = np.random.default_rng(Q)
    held, studies, share = 0, 1000, 0.4
    for _ in range(studies):
        under = rng.beta(1.0, 2.0, Q)
        over = under * rng.beta(2.0, 3.0, Q)
        _, low, high, _ = ratio(over, under, np.arange(Q))
        held += low <= share <= high
    assert 0.92 <= held / studies <= 0.98


def test_a_held_out_best_is_used_where_it_is_known() -> None:
    grades = np.random.default_rng(0).uniform(size=(20, 4))
    score = np.random.default_rng(1).uniform(size=(20, 4))
    outcomes = pool(grades, score)
    names = pd.Index([f"open_ended/q{i}" for i in range(20)])
    held = pd.DataFrame(
        {
            "task_class": "open_ended",
            "model": "unknown",
            "problem": names,
            "budget": 4,
            "held_out": 0.5 + 0.5 * grades.mean(axis=1),
        }
    )
    table = headroom(cells_of_outcomes(outcomes), held).set_index(["strategy", "budget"])
    row = table.loc[("best-of-n:judge", 4.0)]
    assert row["held_out"] == pytest.approx(held["held_out"].mean())
    gain = row["chosen"] - row["mean"]
    assert row["held_capture"] == pytest.approx(gain / (row["held_out"] - row["mean"]))
    assert np.isnan(table.loc[("best-of-n:judge", 2.0), "held_capture"])


def test_a_headroom_that_is_none_held_out_is_flagged() -> None:
    grades = np.random.default_rng(0).choice((0.0, 0.5, 1.0), size=(20, 4))
    outcomes = pool(grades, np.random.default_rng(1).uniform(size=(20, 4)))
    held = pd.DataFrame(
        {
            "task_class": "open_ended",
            "model": "unknown",
            "problem": [f"open_ended/q{i}" for i in range(20)],
            "budget": 4,
            "held_out": grades.mean(axis=1) + 0.2 * np.tile((1.0, -1.0), 10) + 0.01,
        }
    )
    table = headroom(cells_of_outcomes(outcomes), held).set_index(["strategy", "budget"])
    row = table.loc[("best-of-n:judge", 4.0)]
    assert np.isnan([row["held_capture"], row["held_low"]]).all()
    assert not np.isnan(row["capture"])
    assert row["flags"] == "held out: no interval: the headroom may be none"
