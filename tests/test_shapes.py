import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.shapes import coverage, dictionary, evaluate


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 25.0), st.integers(2, 12))
def test_every_part_goes_from_nothing_to_one_without_turning(span, points):
    table = evaluate(dictionary(span), np.linspace(0.0, span, points))
    for rows in (table.first[1:], table.second[1:]):
        assert rows[:, 0] == pytest.approx(0.0, abs=1e-9)
        assert abs(rows[:, -1]) == pytest.approx(1.0)
        assert (np.diff(rows, axis=1) * np.sign(rows[:, -1:]) > -1e-9).all()
    assert not table.first[0].any()
    assert not table.second[0].any()


@pytest.mark.parametrize("span", [0.1, 7.0, 22.0])
def test_masses_sum_to_one_and_most_of_it_never_falls(span):
    families = dictionary(span)
    assert sum(family.mass for family in families) == pytest.approx(1.0)
    falling = [family.mass for family in families if "fall" in family.name]
    assert 0.1 < sum(falling) < 0.3
    table = evaluate(families, np.array([0.0, span]))
    assert table.prior.sum() == pytest.approx(1.0)
    assert table.prior[table.second[table.second_of, -1] < 0].sum() == pytest.approx(sum(falling))


def test_parameters_are_the_argument_names_and_do_not_collide():
    for family in dictionary(5.0):
        parts = [part for part in (family.first, family.second) if part is not None]
        names = [n for part in parts for n in list(inspect.signature(part.curve).parameters)[1:]]
        assert list(family.params(np.array([0]))) == names


def test_each_shape_is_made_of_its_own_parameters():
    families = dictionary(6.0)
    x = np.linspace(0.0, 6.0, 9)
    table = evaluate(families, x)
    starts = np.cumsum([0, *(family.size for family in families)])
    assert starts[-1] == table.prior.size
    (family,) = (family for family in families if family.name == "power, step fall")
    at = starts[families.index(family)]
    for shape in (0, 7, family.size - 1):
        params = {name: float(v[0]) for name, v in family.params(np.array([shape])).items()}
        risen = 1.0 - np.exp2(-params["alpha"] * x)
        fallen = -1.0 / (1.0 + np.exp(-(x - params["place"]) / params["spread"]))
        fallen = (fallen - fallen[0]) / (fallen[0] - fallen[-1])
        assert table.first[table.first_of[at + shape]] == pytest.approx(risen / risen[-1])
        assert table.second[table.second_of[at + shape]] == pytest.approx(fallen)


def test_coverage_is_pass_at_k_of_beta_queries():
    ease = np.random.default_rng(0).beta(0.6, 2.0, 400_000)
    x = np.array([0.0, 1.0, 3.0, 5.0])
    simulated = [(1 - (1 - ease) ** k).mean() for k in 2**x]
    assert coverage(x, 0.6, 2.0) == pytest.approx(simulated, abs=0.003)
