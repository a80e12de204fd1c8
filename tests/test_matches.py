from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tsbench.cells import ALL, Cell, cells_of_draws, cells_of_outcomes
from tsbench.fit import Fit
from tsbench.matches import COLUMNS, matches
from tsbench.pool import coverage
from tsbench.simulate import Coverage, Difficulty
from tsbench.tally import tally

RUN = Path(__file__).parents[1] / "runs" / "example"


def cell(Z, tokens, budgets=None, *, clusters=None, names=None):
    """A curve with these accuracies and tokens (problems, budgets); one row of tokens is all's."""
    Z = np.asarray(Z, dtype=float)
    spent = np.broadcast_to(np.asarray(tokens, dtype=float), Z.shape)
    return Cell(
        problems=pd.Index(range(len(Z)) if names is None else names).map(str),
        budgets=np.asarray(2 ** np.arange(Z.shape[1]) if budgets is None else budgets),
        Z=Z,
        means=pd.DataFrame({"tokens": np.nanmean(spent, axis=0)}),
        dropped=0,
        samples=Z.size,
        n_problems=len(Z),
        clusters=clusters,
        spent={"tokens": spent},
    )


def found(**curves):
    """Comparisons of curves by strategy, `maj` and `bon_v` standing for maj@k and best-of-n:v."""
    names = {"maj": "maj@k", "bon": "best-of-n:v", "bon_w": "best-of-n:w", "beam": "beam:v"}
    cells = {("math", ALL, "m", names.get(s, s)): c for s, c in curves.items()}
    return matches(cells, axes=["tokens"])


def only(**curves):
    (row,) = found(**curves).to_dict("records")
    return row


def t(freedom):
    return stats.t.ppf(0.975, freedom)


def test_at_equal_spend_the_rival_stands_between_its_neighbours():
    maj = cell([[0.0, 0.4, 1.0], [0.2, 0.6, 0.6]], [10.0, 20.0, 40.0])
    row = only(maj=maj, beam=cell([[1.0], [0.0]], [[30.0], [20.0]], [8]))
    assert (row["strategy"], row["budget"], row["rival"]) == ("beam:v", 8, "maj@k")
    assert (row["matched"], row["spend"], row["rival_spend"]) == ("spend", 25.0, 25.0)
    assert row["rival_budget"] == 2 + 0.25 * 2
    assert row["rival_accuracy"] == pytest.approx(0.5 + 0.25 * 0.3)
    assert row["difference"] == pytest.approx(0.5 - 0.575)
    assert row["spend_ratio"] == 1.0
    assert np.isnan([row["ratio_low"], row["ratio_high"]]).all()
    assert row["n_problems"] == 2


def test_the_interval_counts_that_the_spend_was_measured():
    maj = cell([[0.0, 0.4], [0.2, 0.6], [0.4, 0.8]], [[8.0, 16.0], [10.0, 20.0], [12.0, 24.0]])
    beam = cell([[1.0], [0.0], [1.0]], [[10.0], [12.0], [23.0]], [8])
    row = only(maj=maj, beam=beam)
    mixed = np.array([0.2, 0.4, 0.6])
    slope = 0.4 / 10.0
    pulls = np.array([1.0, 0.0, 1.0]) - mixed
    pulls -= slope * (np.array([10.0, 12.0, 23.0]) - np.array([12.0, 15.0, 18.0]))
    assert pulls.mean() == pytest.approx(row["difference"])
    moves = np.abs(pulls)
    m = (0.3 + (moves**3).sum()) / (0.3 + moves.sum())
    half = t(2) * np.sqrt(pulls.var(ddof=1) / 3 + m / 9)
    assert row["low"] == pytest.approx(max(row["difference"] - half, -1))
    assert row["high"] == pytest.approx(min(row["difference"] + half, 1))


def test_where_the_rival_cannot_spend_as_much_it_stands_at_its_largest_budget():
    maj = cell(np.tile([0.2, 0.5], (40, 1)), [10.0, 20.0])
    row = only(maj=maj, beam=cell(np.ones((40, 1)), [80.0], [8]))
    assert (row["matched"], row["rival_budget"], row["spend_ratio"]) == ("largest", 2, 4.0)
    assert row["flags"] == "not at equal spend: the rival's largest budget spends 25% as much"
    assert row["verdict"] == "better"
    assert found(maj=maj, beam=cell(np.ones((40, 1)), [8.0], [8])).empty


def test_equal_budgets_tell_what_an_early_stop_spends():
    votes = np.tile([0.5, 0.5, 0.75], (20, 1))
    spend = np.outer(np.linspace(5, 15, 20), [1, 2, 4])
    stops = cell(votes, spend * [1, 1, 0.5])
    rows = found(**{"maj": cell(votes, spend), "adaptive-vote": stops})
    assert rows["budget"].tolist() == [2, 4, 4], "a single draw is the same draw"
    assert rows["matched"].tolist() == ["spend", "spend", "budget"]
    last = rows.iloc[-1]
    assert (last["difference"], last["rival_budget"]) == (0.0, 4)
    assert last[["spend_ratio", "ratio_low", "ratio_high"]].tolist() == pytest.approx([0.5] * 3)
    assert rows["difference"].tolist() == pytest.approx([0.0, 0.25, 0.0])


def test_the_ratio_of_spends_has_an_interval_over_problems():
    votes = np.tile([0.5, 0.5], (4, 1))
    stops = cell(votes, np.outer([2.0, 4.0, 4.0, 6.0], [1, 1]))
    row = found(**{"maj": cell(votes, [5.0, 10.0]), "adaptive-vote": stops}).iloc[-1]
    assert (row["matched"], row["spend_ratio"]) == ("budget", 0.4)
    error = np.std(np.array([2, 4, 4, 6]) / 4, ddof=1) / 2
    ends = 0.4 * np.exp(t(3) * error * np.array([-1, 1]))
    assert row[["ratio_low", "ratio_high"]].tolist() == pytest.approx(ends.tolist())


def test_a_strategy_meets_majority_vote_and_best_of_n_by_its_own_verifier():
    curve = cell(np.full((5, 2), 0.5), [10.0, 20.0])
    names = ["maj@k", "best-of-n:v", "best-of-n:w", "beam:v", "revise", "single", "pass@k"]

    def pairs(*names):
        cells = {("math", ALL, "m", name): curve for name in names}
        table = matches(cells, axes=["tokens"])
        return set(table[["strategy", "rival"]].itertuples(index=False, name=None))

    assert pairs(*names) == {
        ("best-of-n:v", "maj@k"),
        ("best-of-n:w", "maj@k"),
        ("beam:v", "maj@k"),
        ("beam:v", "best-of-n:v"),
        ("revise", "maj@k"),
    }
    assert pairs(*names[1:]) == {
        ("best-of-n:w", "best-of-n:v"),
        ("beam:v", "best-of-n:v"),
        ("revise", "best-of-n:v"),
        ("revise", "best-of-n:w"),
    }
    assert pairs("maj@k", "maj@k (forced 8)", "best-of-n:v (forced 8)") == {
        ("maj@k (forced 8)", "maj@k"),
        ("best-of-n:v (forced 8)", "maj@k (forced 8)"),
    }
    assert pairs("maj@k", "best-of-n:noisy_oracle", "pass@k", "single") == set()
    assert pairs("revise", "single") == set()


def test_only_problems_that_both_have_are_compared():
    maj = cell([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]], [10.0, 20.0], names=["a", "b", "c"])
    row = only(maj=maj, beam=cell([[1.0], [0.0]], [15.0], [4], names=["c", "x"]))
    assert (row["n_problems"], row["difference"]) == (1, 0.0)
    assert row["flags"] == (
        "3 problems that only one of both has left out; no interval: one problem or cluster"
    )
    assert np.isnan([row["low"], row["high"], row["all_low"]]).all()
    assert row["verdict"] == "cannot tell"
    assert found(maj=maj, beam=cell([[1.0]], [15.0], [4], names=["x"])).empty


def test_problems_of_a_cluster_are_one_piece_of_evidence():
    rng = np.random.default_rng(0)
    Z, beam = rng.uniform(size=(12, 2)), rng.uniform(size=(12, 1))
    each = only(maj=cell(Z, [10.0, 20.0]), beam=cell(beam, [15.0], [4]))
    times = {"names": range(60), "clusters": np.tile(np.arange(12), 5)}
    five = only(
        maj=cell(np.tile(Z, (5, 1)), [10.0, 20.0], **times),
        beam=cell(np.tile(beam, (5, 1)), [15.0], [4], **times),
    )
    assert five["n_problems"] == 60
    for column in ("difference", "low", "high", "verdict"):
        assert five[column] == pytest.approx(each[column])


def test_unanimity_is_not_certainty():
    half = {}
    for G in (20, 200):
        maj = cell(np.full((G, 2), 0.5), [10.0, 20.0])
        row = only(maj=maj, beam=cell(np.full((G, 1), 0.5), [15.0], [4]))
        assert row["low"] == pytest.approx(-row["high"])
        half[G] = row["high"]
    assert half == pytest.approx({20: t(19) / 20, 200: t(199) / 200})


def test_an_interval_for_all_rows_at_once_is_wider():
    rng = np.random.default_rng(0)
    curve = cell(rng.uniform(size=(30, 6)), 10.0 * 2 ** np.arange(6))
    rows = found(maj=curve, beam=cell(rng.uniform(size=(30, 6)), 12.0 * 2 ** np.arange(6)))
    assert len(rows) == 5
    wider = (rows["all_high"] - rows["difference"]) / (rows["high"] - rows["difference"])
    assert wider.tolist() == pytest.approx([stats.t.isf(0.025 / 5, 29) / t(29)] * 5)


def test_an_unknown_spend_counts_as_the_mean_of_the_known():
    maj = cell(np.full((4, 2), 0.5), [10.0, 20.0])
    row = only(maj=maj, beam=cell(np.ones((4, 1)), [[10.0], [20.0], [np.nan], [np.nan]], [4]))
    assert (row["spend"], row["matched"]) == (15.0, "spend")


def test_an_unknown_axis_and_other_strata_have_no_row():
    curve = cell(np.full((4, 2), 0.5), [10.0, 20.0])
    cells = {("math", s, "m", n): curve for s in (ALL, "level1") for n in ("maj@k", "beam:v")}
    assert len(matches(cells, axes=["tokens", "flops"])) == 2
    table = matches({}, axes=["tokens"])
    assert table.empty
    assert table.columns.tolist() == COLUMNS


CURVES = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        *(
            st.lists(st.floats(0, 1, width=32), min_size=n * k, max_size=n * k).map(
                lambda values, k=k: np.reshape(values, (-1, k))
            )
            for k in (3, 2)
        ),
        st.lists(st.floats(1, 50, width=32), min_size=n, max_size=n).map(np.array),
        st.floats(0.3, 3.0),
    )
)


@settings(deadline=None, max_examples=60)
@given(CURVES)
def test_units_and_order_do_not_matter_and_spends_are_equal(drawn):
    Z, mine, each, dear = drawn
    spend = np.outer(each, [1.0, 2.0, 4.0])
    other = np.outer(each[::-1], [dear, 1.5 * dear])

    def rows(unit=1.0, order=slice(None)):
        names = np.arange(len(Z))[order]
        return found(
            maj=cell(Z[order], unit * spend[order], names=names),
            beam=cell(mine, unit * other),
        )

    table = rows()
    equal = table[table["matched"] == "spend"]
    assert equal["spend"].to_numpy() == pytest.approx(equal["rival_spend"].to_numpy(), rel=0.011)
    assert (table["low"] <= table["difference"] + 1e-12).all()
    assert (table["difference"] <= table["high"] + 1e-12).all()
    same = ["budget", "rival_budget", "difference", "low", "high", "all_low", "spend_ratio"]
    for again in (rows(unit=1e9), rows(order=slice(None, None, -1))):
        assert again[same].to_numpy() == pytest.approx(table[same].to_numpy(), abs=1e-5)


PROBLEMS = Difficulty(((1.0, 1.0, 2.0),))
DRAWS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def simulated(Q, rng):
    """Best-of-n by a perfect verifier over 64 draws, and eight runs of a search.

    The chance p of one draw makes a problem's tokens a draw, 20 + 100 (1 - p), the search's
    chance, p (2 - p), and its spend: Gamma, as long-tailed as runs are, with mean 3 draws.
    """
    p = PROBLEMS.sample(Q, rng)
    each = 20.0 + 100.0 * (1.0 - p)
    right = rng.binomial(64, p)
    best = coverage(np.full(Q, 64), right)[:, DRAWS.astype(int) - 1]
    search = rng.binomial(8, p * (2.0 - p)) / 8.0
    spent = rng.gamma(0.7, 3.0 * each / 0.7)
    return {
        "best-of-n:v": cell(best, np.outer(each, DRAWS), DRAWS),
        "beam:v": cell(search[:, None], spent[:, None], [8]),
    }


def true_difference():
    """Both spend 3 draws in the mean: half-way between 2 and 4 of them."""
    p, weight = PROBLEMS.rule()
    two, four = Coverage(PROBLEMS).accuracy(np.array([2.0, 4.0]))
    return float((p * (2.0 - p)) @ weight - (two + four) / 2.0)


@pytest.mark.parametrize(("Q", "least"), [(30, 0.88), (150, 0.92)])
def test_the_interval_holds_the_true_difference_at_equal_spend(Q, least):
    rng = np.random.default_rng(Q)
    cells = {}
    for run in range(500):
        curves = simulated(Q, rng)
        cells |= {(str(run), ALL, "m", name): curve for name, curve in curves.items()}
    rows = matches(cells, axes=["tokens"])
    truth = true_difference()
    assert truth < -0.05
    assert rows["difference"].mean() == pytest.approx(truth, abs=0.02)
    held = (rows["low"] <= truth) & (truth <= rows["high"])
    assert least <= held.mean() <= 0.98
    half = (rows["high"] - rows["low"]).mean() / 2
    assert half == pytest.approx(1.96 * rows["difference"].std(), rel=0.25)


def test_a_fit_of_draws_compares_what_their_score_chooses():
    rng = np.random.default_rng(0)
    right = rng.uniform(size=(40, 8)) < rng.uniform(size=(40, 1))
    draws = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": np.repeat(np.arange(40), 8),
            "answer": np.where(right, "a", "b").ravel(),
            "correct": right.ravel().astype(float),
            "score": right.ravel() + rng.normal(0, 0.1, right.size),
            "tokens": rng.integers(5, 50, right.size).astype(float),
        }
    )
    cells = cells_of_draws(tally([draws], scores=True), verifier="v")
    rows = matches(cells, axes=["tokens"])
    best = rows[rows["strategy"] == "best-of-n:v"].set_index("budget")
    assert best.loc[8.0, "rival_budget"] == 8
    votes, solved = (cells["math", ALL, "unknown", s].Z[:, 7] for s in ("maj@k", "pass@k"))
    assert best.loc[8.0, "difference"] == pytest.approx(solved.mean() - votes.mean(), abs=0.02)
    assert best.loc[8.0, "verdict"] == "better"


def test_the_recorded_run_is_compared(tmp_path):
    Fit(run=str(RUN), out=str(tmp_path))()
    rows = pd.read_parquet(tmp_path / "matches.parquet")
    assert rows.columns.tolist() == COLUMNS
    assert set(rows["axis"]) == {"tokens", "flops"}
    outcomes = pd.concat(map(pd.read_parquet, sorted((RUN / "outcomes").glob("*.parquet"))))
    assert rows.equals(matches(cells_of_outcomes(outcomes), axes=["tokens", "flops"]))
    outcomes["correct"] = outcomes["correct"].fillna(0.0)
    means = outcomes.groupby(["task_class", "strategy", "budget"])[["correct", "tokens"]].mean()
    mine = rows[rows["axis"] == "tokens"].set_index(["task_class", "strategy", "budget"])
    forced = mine.loc["math", "forced", 32.0]
    assert forced["accuracy"] == pytest.approx(means.loc[("math", "forced", 32), "correct"])
    assert forced["spend"] == pytest.approx(means.loc[("math", "forced", 32), "tokens"])
    votes = means.loc["math", "maj@k"]
    low, high = votes.loc[2], votes.loc[3]
    assert low["tokens"] < forced["spend"] < high["tokens"]
    share = (forced["spend"] - low["tokens"]) / (high["tokens"] - low["tokens"])
    mix = low["correct"] + share * (high["correct"] - low["correct"])
    assert forced["rival_accuracy"] == pytest.approx(mix)
    assert forced["verdict"] == "worse"
