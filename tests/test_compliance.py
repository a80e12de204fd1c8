import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from toy import composed

from tsbench.compliance import COLUMNS, IGNORED, bindings, compliance
from tsbench.curves import curves, knees


def runs(spent, strategy="forced", **columns):
    """One row a problem and budget; `spent` is a list of tokens, a problem each, by budget."""
    rows = [
        (f"p{q}", budget, tokens, 0.4 + 0.02 * j, tokens + 10.0)
        for j, (budget, each) in enumerate(spent.items())
        for q, tokens in enumerate(each)
    ]
    table = pd.DataFrame(
        rows, columns=["problem_id", "budget", "thinking_tokens", "correct", "tokens"]
    )
    return table.assign(task_class="math", strategy=strategy, **columns)


def row(found, **where):
    for name, value in where.items():
        found = found[found[name] == value]
    (only,) = found.to_dict("records")
    return only


def bound(spent, strategy="forced"):
    return compliance(runs(spent, strategy))["bound"].tolist()


def test_what_was_asked_and_spent_by_hand():
    found = compliance(runs({10: [8, 10, 12], 20: [20, 22, 27]}))
    assert list(found) == COLUMNS
    ten = row(found, thinking_budget=10)
    assert (ten["runs"], ten["n_problems"], ten["asked"]) == (3, 3, 10)
    assert (ten["mean"], ten["median"]) == (10, 10)
    assert (ten["q05"], ten["q95"]) == pytest.approx((8.2, 11.8))
    assert (ten["within"], ten["above"], ten["below"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    half = stats.t.ppf(0.975, 2) * np.std([0.8, 1.0, 1.2], ddof=1) / np.sqrt(3)
    assert (ten["ratio"], ten["ratio_low"], ten["ratio_high"]) == pytest.approx(
        (1.0, 1.0 - half, 1.0 + half)
    )
    twenty = row(found, thinking_budget=20)
    assert (twenty["within"], twenty["above"], twenty["below"]) == pytest.approx((2 / 3, 1 / 3, 0))
    change = np.array([12, 12, 15])
    half = stats.t.ppf(0.975, 2) * change.std(ddof=1) / np.sqrt(3)
    assert (twenty["against"], twenty["change"]) == (10, 13)
    assert (twenty["change_low"], twenty["change_high"]) == pytest.approx((13 - half, 13 + half))
    assert (ten["against"], ten["change"], ten["bound"]) == (20, 13, "yes")


def test_one_token_off_a_small_budget_is_within_it_and_no_budget_has_no_ratio():
    found = compliance(runs({0: [0, 1, 3], 4: [3, 5, 6]}))
    none = row(found, thinking_budget=0)
    assert np.isnan([none["ratio"], none["ratio_low"]]).all()
    assert none["within"] == pytest.approx(2 / 3)
    assert row(found, thinking_budget=4)["within"] == pytest.approx(2 / 3)


def test_replicates_are_averaged_within_a_problem_and_counted_as_runs():
    table = pd.concat([runs({10: [10, 20]}), runs({10: [30]}, replicate=1)])
    found = row(compliance(table))
    assert (found["runs"], found["n_problems"], found["mean"], found["ratio"]) == (3, 2, 20, 2.0)


def test_a_server_that_ignores_the_budget_is_found_out():
    rng = np.random.default_rng(0)
    noisy = {b: 50 * rng.lognormal(0, 0.4, 40) for b in (8, 16, 32, 64)}
    assert bound(noisy) == ["no"] * 4
    assert bound(noisy, "effort") == ["no"] * 4


def test_an_ignored_budget_is_seldom_said_to_bind():
    rng = np.random.default_rng(1)
    alarms = [
        "yes" in bound({b: 50 * rng.lognormal(0, 0.4, 30) for b in (8, 16, 32, 64)})
        for _ in range(60)
    ]
    assert sum(alarms) <= 5


def test_a_budget_that_is_kept_binds():
    rng = np.random.default_rng(0)
    assert bound({b: b * rng.lognormal(0, 0.4, 30) for b in (8, 16, 32)}) == ["yes"] * 3
    assert bound({0: [0] * 9, 8: [8] * 9}) == ["yes"] * 2
    assert bound({1: [50, 60], 2: [90, 100], 3: [150, 160]}, "effort") == ["yes"] * 3


def test_where_the_thoughts_end_by_themselves_larger_budgets_do_not_bind():
    ends = np.linspace(10, 60, 30)
    cut = {b: np.minimum(ends, b) for b in (8, 16, 32, 64, 128)}
    assert bound(cut) == ["yes", "yes", "yes", "yes", "no"]
    found = bindings(compliance(runs(cut)))["math", "unknown", "forced"]
    assert (found.idle, found.remark, found.ignored) == ((128.0,), "", False)


def test_equal_small_budgets_keep_the_smallest():
    spent = {8: [40, 42], 16: [40, 42], 64: [64, 65]}
    assert bound(spent) == ["no", "no", "yes"]
    assert bindings(compliance(runs(spent)))["math", "unknown", "forced"].idle == (16.0,)


def test_few_problems_or_one_budget_cannot_tell():
    assert bound({8: [8], 16: [16]}) == ["cannot tell"] * 2
    assert bound({8: [8, 8, 8]}) == ["cannot tell"]
    assert bound({8: [8, 100], 16: [90, 30]}) == ["cannot tell"] * 2
    apart = pd.concat([runs({8: [8, 8]}), runs({16: [16, 16]}).assign(problem_id=["x", "y"])])
    assert compliance(apart)["bound"].tolist() == ["cannot tell"] * 2


def test_nothing_thought_at_any_budget_did_not_bind():
    assert bound({8: [0, 0, 0], 16: [0, 0, 0]}) == ["no", "no"]


def test_problems_of_one_cluster_are_one_witness():
    spent = {8: [10, 10, 10, 10], 16: [30, 12, 30, 12]}
    alone = compliance(runs(spent, cluster=["a", "b", "c", "d"] * 2))
    paired = compliance(runs(spent, cluster=["a", "b", "a", "b"] * 2))
    assert alone["bound"].tolist() == ["cannot tell"] * 2
    wide, narrow = (t["change_high"].iloc[0] for t in (paired, alone))
    assert wide > narrow
    assert compliance(runs(spent))["change_high"].iloc[0] == pytest.approx(narrow)


def test_draws_that_think_first_are_read_at_their_fewest():
    table = composed((8, 32), 4, problems=12)
    table["thinking_tokens"] *= table["budget"]
    found = compliance(table)
    assert found["strategy"].tolist() == [
        f"{s} (forced {t})" for s in ("pass@k", "maj@k") for t in (8, 32)
    ]
    assert found["runs"].tolist() == [12] * 4
    assert found["ratio"].to_numpy() == pytest.approx(1.0, abs=0.05)
    assert found["bound"].tolist() == ["yes"] * 4
    assert found["against"].tolist() == [32, 8, 32, 8]


def test_an_effort_asks_for_no_number():
    found = compliance(composed((1, 2, 3), 2, kind="effort", selectors=("maj@k",)))
    assert found["thinking_budget"].tolist() == [1, 2, 3]
    assert found[["asked", "ratio", "within", "above", "below"]].isna().all(axis=None)
    plain = compliance(runs({1: [50, 60], 2: [90, 100]}, "effort", thinking_budget=np.nan))
    assert plain["thinking_budget"].tolist() == [1, 2]
    assert plain["asked"].isna().all()


def test_unknown_thinking_has_no_row_and_known_rows_are_kept():
    table = runs({8: [8, 9], 16: [16, 17]})
    assert compliance(table.drop(columns="thinking_tokens")).empty
    assert compliance(table.assign(thinking_tokens=np.nan)).empty
    assert list(compliance(table.assign(thinking_tokens=None))) == COLUMNS
    table.loc[0, "thinking_tokens"] = np.nan
    assert compliance(table)["runs"].tolist() == [1, 2]


def test_bad_tokens_are_refused():
    with pytest.raises(ValueError, match="thinking_tokens of 'forced' is -1 for problem 'p1'; all"):
        compliance(runs({8: [8, -1]}))
    with pytest.raises(ValueError, match="outcomes have no column 'budget'"):
        compliance(runs({8: [8]}).drop(columns="budget"))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.lists(st.integers(0, 300), min_size=3, max_size=3), min_size=1, max_size=12
    ),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_shares_add_up_and_neither_order_nor_unit_matters(spent, unit, random):
    table = runs({b: [each[j] for each in spent] for j, b in enumerate((16, 64, 128))})
    found = compliance(table)
    assert found[["within", "above", "below"]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert (found["ratio_low"].fillna(0) <= found["ratio"]).all()
    order = list(range(len(table)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(compliance(table.iloc[order]), found)
    scaled = table.assign(
        thinking_tokens=unit * table["thinking_tokens"], budget=unit * table["budget"]
    )
    larger = compliance(scaled)
    assert larger["bound"].tolist() == found["bound"].tolist()
    assert larger["ratio"].to_numpy() == pytest.approx(found["ratio"].to_numpy())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=10))
def test_equal_spends_never_bind_and_doubled_ones_always_do(spent):
    assert bound({8: spent, 16: spent, 32: spent}) == ["no"] * 3
    constant = [spent[0] + 1] * len(spent)
    assert bound({8: constant, 16: [2 * each for each in constant]}) == ["yes"] * 2


def test_a_fit_leaves_out_budgets_that_did_not_bind():
    ends = np.linspace(10, 60, 30)
    table = runs({b: np.minimum(ends, b) for b in (8, 16, 32, 64, 128)})
    noise = np.random.default_rng(0).uniform(0, 30, len(table))
    found = knees(table.assign(tokens=table["tokens"] * 4 + noise + table["budget"]))
    forced = row(found, strategy="forced")
    assert "budgets that did not bind: 128" in forced["flags"]
    assert row(found, strategy="frontier")["knee_budget"] != 128
    assert curves(table)["budget"].tolist() == [8, 16, 32, 64, 128]


def test_an_ignored_strategy_is_not_part_of_a_frontier_that_has_another():
    rng = np.random.default_rng(0)
    ignored = runs({b: rng.uniform(45, 55, 40) for b in (8, 16, 32)})
    better = ignored.assign(correct=0.9)
    single = runs({1: [0.0] * 40}, "single").assign(thinking_tokens=np.nan)
    found = knees(pd.concat([better, single]))
    forced, frontier = row(found, strategy="forced"), row(found, strategy="frontier")
    assert IGNORED in forced["flags"]
    assert "no fit" in forced["flags"]
    assert (frontier["chosen"], frontier["accuracy_at_knee"]) == ("single", pytest.approx(0.4))
    assert f"forced left out: {IGNORED}" in frontier["flags"]
    alone = row(knees(better), strategy="frontier")
    assert alone["flags"] == f"no fit: {IGNORED}"
    assert np.isnan(alone["knee"])


def test_ignored_thinking_before_draws_is_flagged_and_its_curves_are_fitted():
    found = knees(composed((8, 16, 32), 8, ignored=True, selectors=("maj@k",)))
    lines = found[found["strategy"] != "frontier"]
    assert lines["flags"].str.contains(IGNORED).all()
    assert lines["peak"].notna().all()
    assert set(found.loc[found["strategy"] == "frontier", "flags"]) == {f"no fit: {IGNORED}"}


def test_one_budget_before_draws_that_did_not_bind_says_so():
    table = composed((8, 32, 128), 4, selectors=("maj@k",), problems=12)
    table.loc[table["thinking_budget"] == 128, "thinking_tokens"] = 32.0
    found = knees(table)
    flags = found[found["axis"] == "tokens"].set_index("strategy")["flags"]
    assert "thinking budget 128 did not bind" in flags["maj@k (forced 128)"]
    assert "did not bind" not in flags["maj@k (forced 32)"]
