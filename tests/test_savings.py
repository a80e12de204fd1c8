import numpy as np
import pytest

from tsbench.policies import binned, uniform
from tsbench.savings import Bench, Target, Uniform, held_out, savings

K = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def bench(Q=400, seed=0, visits=1):
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.beta(0.5, 0.5, Q), visits)
    Z = (rng.random((Q * visits, 5)) < 1 - (1 - p[:, None]) ** K).astype(float)
    C = np.tile(K, (Q * visits, 1))
    return Bench(np.repeat(np.arange(Q), visits), np.arange(Q), Z, C, np.arange(5)), p


def reach(given, arm):
    return lambda learnt: Target("accuracy", accuracy=float(given.Z[learnt, arm].mean()))


def nothing(given):
    return lambda _: np.full(given.problem.size, np.nan)


def test_a_uniform_budget_saves_and_gains_nothing():
    given, _ = bench()
    fold = given.folds(0)
    against = Uniform.of(given, fold)
    for arm in range(1, 5):
        found = savings(given.Z[:, arm], given.C[:, arm], against, given.clusters)
        assert found.saving.low <= 0.0 <= found.saving.high + 1e-9
        assert found.gain.low <= 1e-9
        assert found.gain.high >= -1e-9


def test_a_policy_of_known_worth_saves_what_it_saves():
    given, p = bench(4000)
    against = Uniform.of(given, given.folds(0))
    arm = np.where(p > 0.9, 1, np.where(p < 0.02, 0, 3))
    rows = np.arange(p.size)
    found = savings(
        given.Z[rows, arm], K[arm], against, given.clusters, target=(given.Z[:, 3], given.C[:, 3])
    )
    truth = 1 - (1 - p[:, None]) ** K
    accuracy, spend = truth[rows, arm].mean(), K[arm].mean()
    exact = 1.0 - spend / np.interp(accuracy, truth.mean(axis=0), K)
    assert exact > 0.15
    assert found.saving.low <= exact <= found.saving.high
    assert found.saving.value == pytest.approx(exact, abs=0.05)
    assert found.spared.value == pytest.approx(1.0 - spend / 8.0)
    assert found.change.low <= accuracy - truth[:, 3].mean() <= found.change.high
    assert found.gain.value == pytest.approx(
        accuracy - np.interp(spend, K, truth.mean(axis=0)), abs=0.02
    )


def test_a_score_of_noise_saves_nothing_held_out_and_something_in_sample():
    held, inside = [], []
    for seed in range(20):
        given, _ = bench(160, seed)
        noise = np.random.default_rng(seed).standard_normal(160)
        fold = given.folds(seed)
        (found,) = held_out(
            given, binned(np.arange(5)), [reach(given, 3)], lambda _, s=noise: s, 0 * given.C, fold
        )
        against = Uniform.of(given, fold)
        pairs = (held, (found.accuracy, found.spend)), (inside, found.inside)
        for to, pair in pairs:
            to.append(savings(*pair, against, given.clusters).gain.value)
    assert np.mean(held) <= 0.005
    assert np.mean(inside) > np.mean(held) + 0.01


def test_what_an_estimate_costs_is_paid():
    given, _ = bench()
    fold = given.folds(0)
    for toll in (0.0, 3.0):
        extra = np.full(given.C.shape, toll)
        (found,) = held_out(
            given, uniform(np.array([3])), [reach(given, 3)], nothing(given), extra, fold
        )
        assert found.spend == pytest.approx(8.0 + toll)
        assert found.charge == pytest.approx(toll)
        saved = savings(found.accuracy, found.spend, Uniform.of(given, fold), given.clusters)
        assert saved.saving.value == pytest.approx(-toll / 8.0, abs=0.15)


def test_the_visits_of_a_problem_are_held_out_together_and_count_once():
    given, _ = bench(60, visits=5)
    seen = []

    def scored(learnt):
        seen.append(learnt)
        return np.full(300, 0.5)

    held_out(given, binned(np.arange(5)), [reach(given, 3)], scored, 0 * given.C, given.folds(0))
    for learnt in seen:
        each = learnt.reshape(60, 5)
        assert (each.all(axis=1) | ~each.any(axis=1)).all()
    assert sum(~learnt for learnt in seen[:-1]).tolist() == [1] * 300
    assert seen[-1].all()


def test_clusters_share_a_fold():
    given, _ = bench(40)
    clustered = Bench(given.problem, np.repeat(np.arange(10), 4), given.Z, given.C, given.fixed)
    assert (clustered.folds(0).reshape(10, 4) == clustered.folds(0)[::4, None]).all()


def test_an_accuracy_beyond_all_uniform_budgets_is_said_to_be():
    given, _ = bench()
    found = savings(
        np.ones(400), np.full(400, 4.0), Uniform.of(given, given.folds(0)), given.clusters
    )
    assert found.beyond == 1.0
    assert found.saving.value == pytest.approx(1 - 4.0 / 16.0, abs=0.02)


def test_one_cluster_has_no_interval():
    given, _ = bench(30)
    alone = Bench(given.problem, np.zeros(30, dtype=np.int64), given.Z, given.C, given.fixed)
    found = savings(given.Z[:, 3], given.C[:, 3], Uniform.of(alone, alone.folds(0)), alone.clusters)
    assert np.isnan(found.saving.low)
    assert np.isfinite(found.saving.value)


def test_targets_pick_the_dearest_price_that_meets_them():
    accuracy, spend = np.array([0.9, 0.8, 0.7, 0.5]), np.array([16.0, 8.0, 4.0, 1.0])
    price = np.array([0.0, 0.01, 0.02, 0.1])
    assert Target("accuracy", accuracy=0.7).pick(accuracy, spend, price) == 2
    assert Target("accuracy", accuracy=0.95).pick(accuracy, spend, price) == 0
    assert Target("spend", spend=8.0).pick(accuracy, spend, price) == 1
    assert Target("spend", spend=0.5).pick(accuracy, spend, price) == 3
    assert Target("price", price=0.02).pick(accuracy, spend, price) == 2
    assert Target("price", price=0.0, spend=8.0).pick(accuracy, spend, price) == 1
