import numpy as np
import pandas as pd
import pytest

from tsbench.cells import Cell
from tsbench.frontier import frontier


def cell(Z, tokens, names=None, clusters=None):
    Z = np.asarray(Z, dtype=float)
    names = [f"p{i}" for i in range(len(Z))] if names is None else names
    return Cell(
        problems=pd.Index(names),
        budgets=2 ** np.arange(Z.shape[1]),
        Z=Z,
        means=pd.DataFrame({"tokens": tokens}),
        dropped=0,
        samples=Z.size,
        n_problems=len(Z),
        clusters=clusters,
    )


def best(*cells, seed=0):
    named = {f"s{i}": c for i, c in enumerate(cells)}
    return frontier(named, "tokens", np.random.default_rng(seed))


def test_each_spend_has_the_best_budget_that_it_pays_for():
    cheap = cell(np.tile([0.4, 0.5], (10, 1)), [10.0, 20.0])
    dear = cell(np.tile([0.3, 0.9], (10, 1)), [15.0, 80.0])
    found = best(cheap, dear)
    assert found.spend.tolist() == [10.0, 15.0, 20.0, 80.0]
    assert found.strategy == ("s0", "s0", "s0", "s1")
    assert found.budget == (1, 1, 2, 2)
    assert found.accuracy == pytest.approx([0.4, 0.4, 0.5, 0.9])
    assert found.Z.mean(axis=0) == pytest.approx([0.4, 0.4, 0.5, 0.9])


def test_a_strategy_is_never_valued_on_the_problems_that_chose_it():
    rng = np.random.default_rng(1)
    means, chosen = [], []
    for seed in range(40):
        cells = [cell(rng.integers(0, 2, (30, 1)), [10.0]) for _ in range(6)]
        found = best(*cells, seed=seed)
        means.append(found.Z.mean())
        chosen.append(found.accuracy[0])
    assert np.mean(means) == pytest.approx(0.5, abs=0.03)
    assert np.mean(chosen) > 0.58


def test_only_problems_that_every_strategy_has_are_compared():
    left = cell(np.full((4, 1), 0.2), [10.0], ["a", "b", "c", "d"])
    right = cell(np.array([[0.9], [0.1], [0.1]]), [10.0], ["x", "c", "b"])
    found = best(left, right)
    assert sorted(found.problems) == ["b", "c"]
    assert found.accuracy.tolist() == [0.2]
    assert best(left, cell([[1.0]], [10.0], ["z"])) is None


def test_clusters_are_not_split_between_the_halves():
    clusters = np.repeat(np.arange(2), 10)
    good_for_first = np.repeat([[1.0], [0.0]], 10, axis=0)
    found = best(
        cell(good_for_first, [10.0], clusters=clusters),
        cell(1.0 - good_for_first, [10.0], clusters=clusters),
    )
    assert found.Z.mean() == 0.0


def test_one_strategy_is_its_own_frontier():
    alone = cell([[0.1, 0.2, 0.3], [0.2, 0.3, 0.5]], [10.0, 10.1, 11.0])
    found = best(alone)
    assert found.spend.tolist() == [10.0, 11.0]
    assert found.Z.tolist() == alone.Z[:, [0, 2]].tolist()
