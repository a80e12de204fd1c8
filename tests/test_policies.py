import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.policies import Rule, Seen, Tiers, binned, greedy, hull, posterior, prices, uniform

KNOWN = np.array([[0.0, 0.0, 0.0], [0.2, 0.9, 0.95], [0.9, 0.95, 0.95]])
"""Hopeless, middling and easy problems: accuracy of one draw, of eight, of search."""
SPEND = np.array([1.0, 8.0, 60.0])


def seen(each=200, score=(0.1, 0.5, 0.9), noise=0.02, Z=KNOWN, C=SPEND, seed=0):
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(3), each)
    right = (rng.random((kind.size, 3)) < Z[kind]).astype(float)
    looks = np.array(score)[kind] + noise * rng.standard_normal(kind.size)
    return Seen(np.arange(kind.size), looks, right, np.tile(C, (kind.size, 1)))


def chosen(rule, *scores):
    return rule.choose(np.array(scores)).tolist()


def test_a_hull_goes_from_the_cheapest_arm_to_the_most_accurate():
    Z = np.array([0.5, 0.7, 0.6, 0.75, 0.4, 0.75])
    C = np.array([1.0, 2.0, 2.0, 4.0, 3.0, 9.0])
    assert hull(Z, C).tolist() == [0, 1, 3]
    assert hull(np.array([0.9, 0.1]), np.array([1.0, 5.0])).tolist() == [0]
    assert hull(np.array([0.1, 0.9]), np.array([1.0, 1.0])).tolist() == [1]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.5, 50)),
        min_size=1,
        max_size=8,
        unique_by=lambda t: t[1],
    ),
    st.floats(1e-4, 1.0),
)
def test_on_a_hull_the_greedy_steps_end_where_value_less_cost_is_largest(arms, price):
    Z, C = np.array(arms).T
    (arm,) = greedy(Z, C, np.array([price]))
    worth = Z - price * C
    assert worth[arm] == pytest.approx(worth.max(), abs=1e-9)


def test_a_rule_has_a_bin_for_each_edge_and_an_arm_for_an_unknown_score():
    rule = Rule((0.3, 0.6), (2, 1, 0, 9))
    assert chosen(rule, 0.0, 0.3, 0.59, 0.6, np.nan) == [2, 1, 1, 0, 9]
    assert Rule((0.3, 0.6, 0.8), (2, 2, 0, 0, 9)).merged() == Rule((0.6,), (2, 0, 9))


@pytest.mark.parametrize("family", [binned, posterior])
def test_budgets_go_to_the_middling_and_not_to_the_hopeless(family):
    (rule,) = family(np.arange(3))(seen(), np.array([0.02]))
    assert chosen(rule, 0.1, 0.5, 0.9) == [0, 1, 0]


@pytest.mark.parametrize("family", [uniform, binned, posterior])
def test_no_price_buys_the_most_and_an_endless_one_the_least(family):
    data = seen(score=(0.5, 0.5, 0.5), noise=0.1)
    free, dear = family(np.arange(3))(data, np.array([0.0, 1e6]))
    assert data.Z[np.arange(600), dear.choose(data.score)].mean() < 0.45
    assert set(dear.choose(data.score)) == {0}
    mean = data.Z[np.arange(600), free.choose(data.score)].mean()
    assert mean >= data.Z.mean(axis=0).max() - 0.02


def test_prices_reach_from_all_to_nothing():
    C = np.tile(SPEND, (5, 1))
    found = prices(C)
    assert found[0] == 0.0
    assert (np.diff(found) > 0).all()
    assert found[1] * 60.0 == pytest.approx(1e-3)
    assert found[-1] * 1.0 == pytest.approx(1.0)


def tiers(rule_price, data):
    sets = [np.array([i]) for i in range(3)]
    return Tiers(*sets)(data, np.array([rule_price]))[0]


def test_a_tier_that_gains_nothing_is_dropped():
    rule = tiers(0.001, seen(score=(0.1, 0.5, 0.9)))
    assert 2 not in rule.arms
    assert chosen(rule, 0.5) == [1]


def test_a_tier_that_gains_is_kept_at_its_end():
    Z = np.array([[0.0, 0.05, 0.9], [0.2, 0.9, 0.92], [0.95, 0.96, 0.96]])
    rule = tiers(0.008, seen(Z=Z))
    assert chosen(rule, 0.1, 0.5, 0.95) == [2, 1, 0]


def test_without_a_search_there_are_two_tiers():
    none = np.empty(0, dtype=np.int64)
    (rule,) = Tiers(np.array([0]), np.array([1]), none)(seen(), np.array([0.005]))
    assert set(rule.arms) <= {0, 1}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.05))
def test_the_best_cuts_are_worth_no_less_than_any_others(seed, price):
    data = seen(30, noise=0.3, seed=seed)
    sets = [np.array([i]) for i in range(3)]
    (rule,) = Tiers(*sets, only=(True, True, True))(data, np.array([price]))
    rows = np.arange(90)

    def worth(arm):
        return (data.Z[rows, arm] - price * data.C[rows, arm]).mean()

    best = worth(rule.choose(data.score))
    for low, high in np.sort(np.random.default_rng(seed).choice(data.score, (5, 2))):
        cuts = np.quantile(data.score, np.arange(1, 16) / 16, method="higher")
        low, high = (cuts[np.abs(cuts - edge).argmin()] for edge in (low, high))
        arm = np.where(data.score < low, 2, np.where(data.score < high, 1, 0))
        assert best >= worth(arm) - 1e-12


def test_unknown_scores_get_the_arm_that_is_best_for_all():
    data = seen()
    blind = Seen(data.problem, np.full(600, np.nan), data.Z, data.C)
    for family in (binned, posterior):
        (rule,) = family(np.arange(3))(blind, np.array([0.02]))
        (same,) = uniform(np.arange(3))(blind, np.array([0.02]))
        assert rule.choose(blind.score).tolist() == same.choose(blind.score).tolist()
