import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import beyond, composed, curve, knee

from tsbench.cells import cells_of_outcomes
from tsbench.compositions import (
    COLUMNS,
    EXTERNAL,
    INTERNAL,
    LEVELS,
    WHOLE,
    compositions,
    grids,
    leading,
    rounds,
)
from tsbench.curves import curves


def lines(accuracy, *, draws=(1, 2, 4), thinking=(8, 32), selector="best-of-n:v", kind="forced"):
    """Curves whose N draws after T tokens of thought spend N (T + 2) tokens."""
    return pd.concat(
        [
            curve("math", f"{selector} ({kind} {t:g})", row, budgets=draws, tokens=t + 2.0)
            for t, row in zip(thinking, accuracy, strict=True)
        ],
        ignore_index=True,
    )


def outcomes(right, *, draws=(1, 2), thinking=(8, 32), selector="best-of-n:v"):
    """Outcomes of `right` (problems, thinking, draws); costs as in `lines`."""
    rows = [
        (f"p{q}", f"{selector} (forced {t})", n, right[q][i][j], n * (t + 2.0))
        for q in range(len(right))
        for i, t in enumerate(thinking)
        for j, n in enumerate(draws)
    ]
    table = pd.DataFrame(rows, columns=["problem_id", "strategy", "budget", "correct", "tokens"])
    return table.assign(task_class="math", model="toy", stratum=None)


def found(table):
    cells = cells_of_outcomes(table)
    return compositions(cells, curves(cells), "tokens")


def at(table, level, among=WHOLE):
    (row,) = table[(table["level"] == level) & (table["among"] == among)].to_dict("records")
    return row


def test_a_grid_is_by_thinking_budget_and_draws():
    (grid,) = grids(lines([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), "tokens")
    assert (grid.selector, grid.kind) == ("best-of-n:v", "forced")
    assert grid.thinking.tolist() == [8, 32]
    assert grid.draws.tolist() == [1, 2, 4]
    assert grid.accuracy.tolist() == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert grid.spend.tolist() == [[10, 20, 40], [34, 68, 136]]
    assert grid.strategies == ("best-of-n:v (forced 8)", "best-of-n:v (forced 32)")
    assert grid.best() == (1, 2)
    assert grid.best(50.0) == (1, 0)
    assert grid.best(33.9) == (0, 1)


def test_the_cheapest_of_equals_is_best():
    (grid,) = grids(lines([[0.5] * 3, [0.5] * 3]), "tokens")
    assert grid.best() == (0, 0)


def test_draws_are_powers_of_two_and_the_largest_and_votes_are_odd():
    every = range(1, 22)
    accuracy = [np.linspace(0.2, 0.8, 21)] * 2
    (plain,) = grids(lines(accuracy, draws=every), "tokens")
    assert plain.draws.tolist() == [1, 2, 4, 8, 16, 21]
    (votes,) = grids(lines(accuracy, draws=every, selector="maj@k"), "tokens")
    assert votes.draws.tolist() == [1, 3, 7, 15, 21]
    (even,) = grids(lines([[0.1, 0.2]] * 2, draws=(2, 8), selector="maj@k"), "tokens")
    assert even.draws.tolist() == [2, 8], "no odd vote is there that an even one repeats"


def test_a_cell_that_was_not_run_is_missing():
    table = lines([[0.1, 0.2, 0.3], [0.4, 0.5, 0.9]])
    (grid,) = grids(table.drop(index=5), "tokens")
    assert np.isnan([grid.accuracy[1, 2], grid.spend[1, 2]]).all()
    assert grid.best() == (1, 1)
    assert len(grid.places) == 5


def test_what_is_no_grid():
    both = lines([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert grids(both[both["strategy"].str.contains("32")], "tokens") == []
    assert grids(both[both["budget"] == 1], "tokens") == []
    assert grids(both.assign(stratum="level1"), "tokens") == []
    assert grids(both.assign(tokens=np.nan), "tokens") == []
    assert grids(curve("math", "forced", [0.1, 0.2], budgets=(8, 32)), "tokens") == []
    votes = lines([[0.1, 0.2], [0.4, 0.5]], draws=(1, 2), selector="maj@k")
    assert grids(votes, "tokens") == [], "a vote of two is one draw over again"


def test_pools_under_a_thinking_budget_are_a_grid_too():
    (grid,) = grids(lines([[0.1, 0.2, 0.3]] * 2, kind="thinking"), "tokens")
    assert grid.kind == "thinking"


def test_levels_are_round_and_last_comes_the_dearest():
    (grid,) = grids(lines([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), "tokens")
    assert grid.levels() == [10, 20, 50, 100, 136]
    assert rounds(np.array([10.0, 20, 90, 400, 3000, 20000])) == [10, 30, 100, 1000, 3000]
    assert rounds(np.array([15.0, 120, 1500, 9000])) == [30, 300, 3000]
    assert rounds(np.array([12.0, 12.1])) == []


@given(st.lists(st.floats(0.001, 1e15), min_size=2, max_size=40, unique=True))
def test_levels_part_the_cells_differently(spends):
    spend = np.sort(spends)
    marks = rounds(spend)
    assert len(marks) <= LEVELS
    assert marks == sorted(set(marks))
    below = [int((spend <= mark).sum()) for mark in marks]
    assert len(set(below)) == len(below)
    assert all(0 < n < spend.size for n in below)


def test_the_best_cells_within_a_spend_by_hand():
    right = [[[0.2, 0.4], [0.5, 0.9]]] * 4
    table = found(outcomes(right))
    assert list(table) == COLUMNS
    assert sorted(table["level"].unique())[-1] == 68
    whole = at(table, 68)
    assert (whole["thinking_budget"], whole["budget"], whole["spend"]) == (32, 2, 68)
    assert (whole["accuracy"], whole["held_out"]) == pytest.approx((0.9, 0.9))
    assert whole["low"] < 0.9 < whole["high"]
    internal, external = at(table, 68, INTERNAL), at(table, 68, EXTERNAL)
    assert (internal["thinking_budget"], internal["budget"]) == (32, 1)
    assert (external["thinking_budget"], external["budget"]) == (8, 2)
    assert (internal["held_out"], external["held_out"]) == pytest.approx((0.5, 0.4))
    assert whole["gain"] == pytest.approx(0.4)
    assert whole["gain_low"] < 0.4 < whole["gain_high"]
    assert np.isnan(internal["gain"])


def test_within_a_small_spend_the_best_is_an_edge_and_mixing_gains_nothing():
    table = found(outcomes([[[0.2, 0.4], [0.5, 0.9]]] * 4))
    level = table["level"].min()
    whole = at(table, level)
    assert whole["spend"] <= level < 34
    assert (whole["gain"], whole["gain_low"], whole["gain_high"]) == (0, 0, 0)


def test_a_cell_is_never_valued_on_the_problems_that_chose_it():
    rng = np.random.default_rng(3)
    draws, thinking = (1, 2, 4, 8), (8, 16, 32, 64)
    shown, held_out, gain = [], [], []
    for _ in range(20):
        right = rng.integers(0, 2, (24, 4, 4)).astype(float)
        whole = at_last(found(outcomes(right, draws=draws, thinking=thinking)))
        shown.append(whole["accuracy"])
        held_out.append(whole["held_out"])
        gain.append(whole["gain"])
    assert np.mean(shown) > 0.6
    assert np.mean(held_out) == pytest.approx(0.5, abs=0.05)
    assert np.mean(gain) == pytest.approx(0.0, abs=0.05)


def at_last(table):
    return at(table, table["level"].max())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_no_cell_within_the_spend_is_better(seed, problems):
    rng = np.random.default_rng(seed)
    right = rng.uniform(size=(problems, 3, 3))
    table = found(outcomes(right, draws=(1, 2, 4), thinking=(0, 8, 32)))
    mean = right.mean(axis=0)
    spend = np.outer((2.0, 10.0, 34.0), (1, 2, 4))
    for level in table["level"].unique():
        whole = at(table, level)
        assert whole["accuracy"] == pytest.approx(mean[spend <= level].max())
        assert whole["spend"] <= level
        for among, part in ((INTERNAL, np.s_[:, :1]), (EXTERNAL, np.s_[:1, :])):
            assert at(table, level, among)["accuracy"] == pytest.approx(
                mean[part][spend[part] <= level].max()
            )
    best = table[table["among"] == WHOLE].sort_values("level")["accuracy"]
    assert best.is_monotonic_increasing


def test_one_problem_cannot_be_held_out():
    table = found(outcomes([[[0.2, 0.4], [0.5, 0.9]]]))
    assert table["accuracy"].notna().all()
    assert table["held_out"].isna().all()


def test_an_edge_that_no_spend_pays_for_has_no_row():
    right = [[[0.2, 0.4], [0.5, 0.9]]] * 4
    table = outcomes(right)
    lone = (table["strategy"] == "best-of-n:v (forced 8)") & (table["budget"] == 1)
    table = found(table[~lone])
    first = table[table["level"] == table["level"].min()]
    assert set(first["among"]) == {WHOLE, EXTERNAL}
    assert at_last(table)["thinking_budget"] == 32


def test_each_class_and_model_has_its_own_grids():
    table = pd.concat(
        [
            composed((8, 32), 4, problems=6),
            composed((8, 32), 4, problems=6, task_class="code"),
            composed((8, 32), 4, problems=6, kind="effort").assign(model="other"),
        ]
    )
    named = found(table)[["task_class", "model", "selector", "kind"]].drop_duplicates()
    assert len(named) == 6
    assert set(named["kind"][named["model"] == "other"]) == {"effort"}


def test_of_a_grid_only_the_lines_of_the_best_budget_lead():
    votes = lines([[0.3, 0.5, 0.6], [0.4, 0.8, 0.7]], draws=(1, 3, 7), selector="maj@k")
    oracle = lines([[0.3, 0.9, 0.99], [0.4, 0.8, 0.9]], draws=(1, 3, 7), selector="pass@k")
    table = pd.concat([votes, oracle, curve("math", "single", [0.2], budgets=[1])])
    rows = pd.DataFrame([knee("math", "frontier", chosen="maj@k (forced 32)")])
    assert set(leading(table, rows, "tokens")["strategy"]) == {
        "maj@k (forced 32)",
        "pass@k (forced 32)",
        "single",
    }
    rows = pd.DataFrame([knee("math", "frontier", chosen="maj@k (forced 8)")])
    kept = set(leading(table, rows, "tokens")["strategy"])
    assert kept == {"maj@k (forced 32)", "pass@k (forced 32)", "maj@k (forced 8)", "single"}
    alone = pd.DataFrame([beyond("math", "pass@k (forced 8)")])
    assert set(leading(oracle, alone, "tokens")["strategy"]) == {"pass@k (forced 8)"}
    assert len(leading(curve("math", "maj@k", [0.1] * 6), rows, "tokens")) == 6
