import sys

import numpy as np
import pytest

from tsbench.rivals import RIVALS, aicc, kneed, power_law, raw_argmax

X = np.arange(8.0)
RNG = np.random.default_rng(0)


def noiseless(curve):
    """Queries that all have the same curve."""
    return np.tile(curve, (40, 1))


def power(start, gain, alpha):
    return start + gain * (1 - 2 ** (-alpha * X))


@pytest.mark.parametrize(("gain", "alpha"), [(0.4, 0.9), (0.2, 2.0), (0.3, 1.3)])
def test_the_power_law_and_aicc_find_the_knee_of_a_power_law(gain, alpha):
    knee = np.log2(gain * alpha * np.log(2) / 0.01) / alpha
    for rival in (power_law, aicc):
        found = rival(noiseless(power(0.3, gain, alpha)), X, 0.01, RNG)
        assert found.knee == pytest.approx(knee, abs=0.1)
        assert (found.low, found.high) == pytest.approx((found.knee, found.knee))
        assert found.falls is False


def test_a_line_has_its_knee_beyond_the_grid():
    for rival in (power_law, aicc, raw_argmax):
        found = rival(noiseless(0.2 + 0.05 * X), X, 0.01, RNG)
        assert (found.knee, found.high, found.falls) == (7.0, 7.0, False)


def test_a_constant_curve_has_its_knee_at_the_first_budget():
    for rival in (power_law, aicc, raw_argmax):
        assert rival(noiseless(np.full(8, 0.4)), X, 0.01, RNG).knee == 0.0


def test_a_free_doubling_is_bought_to_the_peak():
    fallen = power(0.3, 0.3, 1.5) - 0.04 * np.maximum(X - 4, 0)
    assert raw_argmax(noiseless(fallen), X, 0.0, RNG).knee == 4.0
    assert power_law(noiseless(power(0.3, 0.3, 1.5)), X, 0.0, RNG).knee == 7.0


def test_aicc_and_the_raw_argmax_see_a_turnover_where_there_is_one():
    fallen = 0.3 + 0.12 * X - 0.013 * X**2
    knee = (0.12 - 0.01) / 0.026
    found = aicc(noiseless(fallen), X, 0.01, RNG)
    assert found.falls
    assert found.knee == pytest.approx(knee, abs=0.05)
    assert raw_argmax(noiseless(fallen), X, 0.01, RNG).falls
    assert power_law(noiseless(fallen), X, 0.01, RNG).falls is False


def test_the_bootstrap_widens_with_the_noise():
    rng = np.random.default_rng(3)
    p = power(0.3, 0.4, 0.9)
    few, many = (rng.random((Q, 8)) < p for Q in (30, 3000))
    for rival in (power_law, aicc, raw_argmax):
        wide, narrow = (
            rival(Z.astype(float), X, 0.01, np.random.default_rng(0)) for Z in (few, many)
        )
        assert wide.high - wide.low > narrow.high - narrow.low
        assert narrow.low <= narrow.knee <= narrow.high


def test_kneedle_takes_the_point_farthest_from_the_chord():
    pytest.importorskip("kneed")
    bent = 0.2 + 0.1 * np.minimum(X, 3) + 0.005 * np.maximum(X - 3, 0)
    found = kneed(noiseless(bent), X, 0.01, RNG)
    assert (found.knee, found.low, found.high, found.falls) == (3.0, None, None, None)
    assert kneed(noiseless(np.full(8, 0.4)), X, 0.01, RNG).knee == 7.0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kneed", None)
    with pytest.raises(ValueError, match=r"kneed: pip install tsbench\[validate\]"):
        kneed(noiseless(power(0.3, 0.4, 0.9)), X, 0.01, RNG)


def test_every_rival_has_a_name():
    assert list(RIVALS) == ["kneed", "power law", "AICc", "raw argmax"]
