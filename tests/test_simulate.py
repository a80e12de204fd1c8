from functools import partial

import numpy as np
import pytest
from scipy.stats import betabinom

from tsbench.pool import maj_at_k
from tsbench.simulate import (
    KINDS,
    Coverage,
    Difficulty,
    Fresh,
    Scenario,
    Selection,
    Vote,
    majorities,
    scenarios,
)

ALL = {scenario.name: scenario for scenario in scenarios()}
MIXED = Difficulty(((0.7, 2.0, 1.5), (0.3, 6.0, 9.0)))


def curve(shape):
    return Scenario("made here", frozenset(), Fresh(shape))


@pytest.mark.parametrize("name", ALL)
def test_the_mean_over_queries_is_the_truth(name):
    scenario = ALL[name]
    Z = scenario.sample(4000, 2, np.random.default_rng(0))
    error = Z.std(axis=0, ddof=1) / np.sqrt(len(Z))
    assert (np.abs(Z.mean(axis=0) - scenario.truth(scenario.x)) < 4 * error).all()


@pytest.mark.parametrize("name", ALL)
def test_the_tags_are_what_the_curve_is(name):
    scenario = ALL[name]
    x = np.linspace(0, scenario.x[-1], 1001)
    truth = scenario.truth(x)
    knee = x[(truth - 0.01 * x).argmax()]
    assert scenario.kind <= set(KINDS)
    assert ("interior" in scenario.kind) == (0 < knee < x[-1])
    assert ("null" in scenario.kind) == bool((np.diff(truth) > -1e-12).all())
    assert ("fall" in scenario.kind) == (truth.max() > truth[-1] + 0.005)
    assert scenario.knee() == pytest.approx(knee, abs=0.01)
    assert scenario.fall == pytest.approx(100 * (truth.max() - truth[-1]), abs=0.01)
    assert 0 < truth.min() <= truth.max() < 1


def test_the_named_depths_are_the_true_ones():
    named = {name: float(name.split()[-1]) for name in ALL if name.split()[-1].isdigit()}
    assert len(named) >= 5
    for name, depth in named.items():
        assert ALL[name].fall == pytest.approx(depth, abs=0.6)


def test_the_knee_of_a_power_law_is_where_its_slope_is_the_price():
    scenario = curve(lambda x: 0.3 + 0.4 * (1 - 2**-x))
    for delta in (0.005, 0.01, 0.02):
        assert scenario.knee(delta) == pytest.approx(np.log2(0.4 * np.log(2) / delta), abs=0.003)


def test_of_several_best_places_the_knee_is_the_first():
    assert curve(lambda x: np.full_like(x, 0.4)).knee() == 0
    assert curve(lambda x: 0.3 + 0.01 * x).knee() == 0
    assert curve(lambda x: 0.3 + 0.02 * x).knee() == 7
    assert curve(lambda x: 0.3 + 0.05 * np.minimum(x, 2)).peak == pytest.approx(2, abs=0.003)


def test_queries_are_mostly_solved_always_or_never():
    Z = ALL["flat, middle"].sample(2000, 64, np.random.default_rng(1))
    assert ((Z < 0.1) | (Z > 0.9)).mean() > 0.5
    assert np.corrcoef(Z[:, 0], Z[:, -1])[0, 1] > 0.7


def test_a_vote_s_truth_is_the_beta_binomial_tail():
    k = np.array([1, 3, 9, 33])
    tails = sum(s * betabinom.sf(k // 2, k, a, b) for s, a, b in MIXED.parts)
    assert Vote(MIXED).accuracy(k.astype(float)) == pytest.approx(tails, abs=1e-9)


def test_majorities_are_those_of_the_pool_estimator():
    ks = (1.0, 3.0, 9.0, 21.0)
    table = majorities(24, ks)
    for right in (1, 7, 12, 23):
        exact = maj_at_k([right, 24 - right], [1.0, 0.0])
        assert table[right] == pytest.approx(exact[np.array(ks, dtype=int) - 1], abs=1e-12)


def test_a_verifier_that_knows_nothing_selects_nothing_and_one_that_knows_all_covers():
    k = np.array([1.0, 2.5, 16.0, 64.0])
    mean = sum(s * a / (a + b) for s, a, b in MIXED.parts)
    assert Selection(MIXED, 0.0, 0.0).accuracy(k) == pytest.approx(mean, abs=1e-9)
    assert Selection(MIXED, 14.0, 0.0).accuracy(k) == pytest.approx(
        Coverage(MIXED).accuracy(k), abs=1e-9
    )


def test_the_same_generator_gives_the_same_data():
    for scenario in scenarios():
        one, two = (scenario.sample(5, 3, np.random.default_rng(9)) for _ in range(2))
        assert one.shape == (5, len(scenario.spend))
        assert np.array_equal(one, two)


def test_more_draws_leave_less_noise():
    scenario = curve(partial(np.interp, xp=[0, 7], fp=[0.3, 0.6]))
    few, many = (
        np.std(
            [scenario.sample(50, n, np.random.default_rng(i)).mean(0) for i in range(60)], axis=0
        )
        for n in (1, 64)
    )
    assert (many < few).mean() > 0.9
