import numpy as np
import pytest

from tsbench.posterior import MeanCurve
from tsbench.turnover import fall_test

NOISE = 0.02**2 * (np.eye(8) + 0.5)
FALLEN = np.array([0.3, 0.45, 0.5, 0.5, 0.5, 0.48, 0.44, 0.4])


def rate(true, studies=300, clusters=200):
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(NOISE)
    curves = true + rng.standard_normal((studies, 8)) @ root.T
    p = [fall_test(MeanCurve(mean, NOISE, clusters), rng) for mean in curves]
    return np.mean(np.array(p) < 0.05)


def test_a_flat_curve_is_called_falling_as_often_as_the_level_says():
    assert 0.02 <= rate(np.full(8, 0.5)) <= 0.085


def test_a_rising_curve_is_hardly_ever_called_falling():
    assert rate(np.linspace(0.4, 0.6, 8), studies=100) <= 0.02


def test_a_fall_is_seen():
    assert rate(FALLEN, studies=60) >= 0.95


def test_early_budgets_of_a_rise_cost_no_power():
    lower, level = FALLEN.copy(), FALLEN.copy()
    lower[:2], level[:2] = 0.0, 0.4
    p = [
        fall_test(MeanCurve(mean, 25 * NOISE, 200), np.random.default_rng(1))
        for mean in (lower, level)
    ]
    assert 0.1 < p[0] < p[1]


def test_few_clusters_make_it_harder():
    p = [fall_test(MeanCurve(FALLEN, NOISE, G), np.random.default_rng(2)) for G in (3, 300)]
    assert p[0] > 2 * p[1]


@pytest.mark.parametrize(("mean", "low", "high"), [([0.5, 0.3], 0, 0.01), ([0.3, 0.5], 0.99, 1)])
def test_two_budgets_are_one_difference(mean, low, high):
    curve = MeanCurve(np.array(mean), 0.03**2 * np.eye(2), 100)
    assert low < fall_test(curve, np.random.default_rng(3)) <= high
