import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench import shapes
from tsbench.shapes import coverage, dictionary, evaluate

FAMILIES = [shapes.linear, shapes.power, shapes.exponential, shapes.logistic, coverage]


@settings(deadline=None)
@given(st.floats(0.05, 25.0), st.integers(2, 12))
def test_every_part_goes_from_nothing_to_one_without_turning(span, points):
    x = np.linspace(0.0, span, points)
    rise, fall = evaluate(dictionary(span), x)
    for part in (rise, fall):
        present = part[part.any(axis=1)]
        assert present[:, 0] == pytest.approx(0.0, abs=1e-9)
        assert present[:, -1] == pytest.approx(1.0)
        assert (np.diff(present, axis=1) > -1e-9).all()


def test_priors_sum_to_one_and_most_mass_never_falls():
    entries = dictionary(7.0)
    assert sum(entry.prior for entry in entries) == pytest.approx(1.0)
    assert sum(entry.prior for entry in entries if entry.fall is None) > 0.7


def test_parameters_are_the_argument_names():
    named = {family.__name__: list(inspect.signature(family).parameters)[1:] for family in FAMILIES}
    for entry in dictionary(5.0):
        if entry.family in named:
            assert list(entry.params) == named[entry.family]


def test_coverage_is_pass_at_k_of_beta_queries():
    ease = np.random.default_rng(0).beta(0.6, 2.0, 400_000)
    x = np.array([0.0, 1.0, 3.0, 5.0])
    simulated = [(1 - (1 - ease) ** k).mean() for k in 2**x]
    assert coverage(x, 0.6, 2.0) == pytest.approx(simulated, abs=0.003)
