import numpy as np
import pandas as pd
import pytest

from tsbench.cells import ALL, THIRDS, cells_of_draws, cells_of_outcomes
from tsbench.curves import knees
from tsbench.outcomes import outcomes_from_samples
from tsbench.tally import tally


def draws(chance, each=24, seed=0, **columns):
    """Draws of problems with these chances of the right answer, "a"; the wrong one is "b"."""
    rng = np.random.default_rng(seed)
    right = rng.uniform(size=(len(chance), each)) < np.asarray(chance)[:, None]
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": np.repeat(np.arange(len(chance)), each),
            "answer": np.where(right, "a", "b").ravel(),
            "correct": right.ravel().astype(float),
            "tokens": rng.integers(5, 50, right.size).astype(float),
        }
    )
    return table.assign(**columns)


def test_cells_of_draws_are_the_cells_of_their_outcomes():
    table = draws(np.linspace(0.1, 0.9, 9))
    mine = cells_of_draws(tally([table]), thirds=False)
    theirs = cells_of_outcomes(outcomes_from_samples(table))
    assert set(mine) == set(theirs)
    for names, cell in mine.items():
        other = theirs[names]
        order = other.problems.get_indexer(cell.problems)
        assert pytest.approx(other.Z[order]) == cell.Z
        assert cell.budgets.tolist() == other.budgets.tolist()
        columns = ["tokens", "asks", "missing_rate", "if_wrong", "if_right"]
        assert cell.means[columns].to_numpy() == pytest.approx(other.means[columns].to_numpy())


def test_the_spends_of_each_problem_are_held_for_the_class_as_a_whole():
    table = draws(np.linspace(0.1, 0.9, 12)).assign(stratum="level1")
    table.loc[table["problem_id"] == 3, "tokens"] = np.nan
    mean = table.groupby("problem_id")["tokens"].mean().to_numpy()
    for cells in (
        cells_of_draws(tally([table])),
        cells_of_outcomes(outcomes_from_samples(table.sample(frac=1.0, random_state=0))),
    ):
        cell = cells["math", ALL, "unknown", "maj@k"]
        order = cell.problems.get_indexer([f"math/{q}" for q in range(12)])
        assert cell.spent["tokens"][order] == pytest.approx(
            np.outer(mean, cell.budgets), nan_ok=True
        )
        assert np.nanmean(cell.spent["tokens"], axis=0) == pytest.approx(cell.means["tokens"])
        few = cell.at(np.array([0, 3]))
        assert few.spent["asks"].tolist() == [[1.0, 4.0]] * 12
        assert cells["math", "level1", "unknown", "maj@k"].spent == {}


def test_unequal_pools_count_a_problem_once_and_reach_what_nine_in_ten_have():
    table = draws(np.full(20, 0.5))
    table = table[(table["problem_id"] > 1) | (table.groupby("problem_id").cumcount() < 3)]
    cell = cells_of_draws(tally([table]), thirds=False)["math", ALL, "unknown", "pass@k"]
    assert cell.budgets[-1] == 24
    assert (cell.n_problems, cell.dropped, cell.draws) == (18, 2, (24, 24))
    shorter = table[(table["problem_id"] > 4) | (table.groupby("problem_id").cumcount() < 3)]
    cell = cells_of_draws(tally([shorter]), thirds=False)["math", ALL, "unknown", "pass@k"]
    assert (cell.budgets[-1], cell.n_problems, cell.dropped) == (3, 20, 0)
    first = shorter.groupby("problem_id")["correct"].mean().mean()
    assert cell.Z[:, 0].mean() == pytest.approx(first)


def test_thirds_are_judged_on_draws_that_do_not_rank_them():
    """Problems of one difficulty: thirds that evaluated what ranked them would differ."""
    same = cells_of_draws(tally([draws(np.full(300, 0.5))]))
    means = [same["math", third, "unknown", "pass@k"].Z[:, 0].mean() for third in THIRDS]
    assert means == pytest.approx([0.5] * 3, abs=0.03)
    apart = cells_of_draws(tally([draws(np.repeat([0.1, 0.5, 0.9], 100))]))
    means = [apart["math", third, "unknown", "pass@k"].Z[:, 0].mean() for third in THIRDS]
    assert means == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_thirds_use_every_draw_once_and_cluster_by_problem():
    table = draws(np.linspace(0.05, 0.95, 60))
    cells = cells_of_draws(tally([table]))
    thirds = [cells["math", third, "unknown", "maj@k"] for third in THIRDS]
    assert sum(cell.samples for cell in thirds) == len(table)
    assert sum(len(cell.Z) for cell in thirds) == 120
    assert all(cell.budgets[-1] == 12 for cell in thirds)
    for cell in thirds:
        assert cell.n_problems == len(set(cell.clusters)) <= len(cell.Z)
        assert cell.problems.is_unique


def test_a_vote_that_falls_in_the_hardest_third_alone_is_seen_there():
    chance = np.concatenate([np.full(80, 0.35), np.full(160, 0.65)])
    found = knees(cells_of_draws(tally([draws(chance, each=64)])))
    votes = found[found["strategy"] == "maj@k"].set_index("stratum")
    assert votes.loc["hardest third", "verdict"] == "falls"
    assert votes.loc[ALL, "verdict"] != "falls"
    assert votes.loc["easiest third", "verdict"] != "falls"


def test_few_problems_or_draws_and_declared_levels_have_no_thirds():
    def strata(table):
        return {names[1] for names in cells_of_draws(tally([table]))}

    assert strata(draws(np.full(8, 0.5))) == {ALL}
    assert strata(draws(np.full(20, 0.5), each=4)) == {ALL}
    assert strata(draws(np.full(20, 0.5), stratum="level1")) == {ALL, "level1"}


def test_a_problem_that_lost_every_draw_widens_the_bounds():
    table = draws(np.full(10, 1.0))
    table.loc[table["problem_id"] == 0, ["correct", "answer"]] = None
    table["status"] = np.where(table["problem_id"] == 0, "error", "ok")
    cell = cells_of_draws(tally([table]), thirds=False)["math", ALL, "unknown", "pass@k"]
    assert cell.Z.mean() == 1.0
    last = cell.means.iloc[-1]
    assert (last["if_wrong"], last["if_right"]) == (0.9, 1.0)
    assert last["missing_rate"] == pytest.approx(0.1)
    assert cell.dropped == 1


def test_clusters_come_from_their_column():
    table = draws(np.full(12, 0.5))
    grouped = table.assign(cluster=table["problem_id"] % 3)
    cell = cells_of_draws(tally([grouped]), thirds=False)["math", ALL, "unknown", "pass@k"]
    assert sorted(set(cell.clusters)) == [0, 1, 2]
    outcomes = outcomes_from_samples(table)
    outcomes["cluster"] = outcomes["problem_id"] % 3
    cell = cells_of_outcomes(outcomes)["math", ALL, "unknown", "pass@k"]
    assert sorted(set(cell.clusters)) == [0, 1, 2]


def test_draws_without_tokens_are_counted():
    table = draws(np.full(12, 0.5))
    table.loc[table.index[::4], "tokens"] = np.nan
    cells = cells_of_draws(tally([table]), thirds=False)
    assert cells["math", ALL, "unknown", "pass@k"].unpriced == 0.25
    assert knees(cells)["flags"].str.contains("25.0% of draws without tokens").all()
