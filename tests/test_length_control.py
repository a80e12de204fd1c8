"""Grades at equal length: a known length bias is taken out, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tsbench.length_control import LengthControl, length_terms

SIZE = 500.0


def replies(
    seed: int, Q: int, n: int, bias: float, quality: float = 0.3, longer: float = 60.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return grades, lengths, problems and what a reply of equal length would be graded.

    Replies are longer than what they are compared with by `longer` in the mean, and a judge that
    likes length by `bias` compares twice.
    """
    rng = np.random.default_rng(seed)
    difference = rng.normal(longer, 100.0, Q * n)
    worth = quality + 0.8 * np.repeat(rng.standard_normal(Q), n)
    p = expit(worth + bias * np.tanh(difference / difference.std()))
    return (
        rng.binomial(2, p) / 2.0,
        SIZE + difference,
        np.repeat(np.arange(Q), n),
        expit(worth),
    )


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.5])
def test_a_known_length_bias_is_taken_out(bias: float) -> None:
    grade, length, problem, fair = replies(1, 400, 6, bias)
    terms = length_terms(length, np.full_like(length, SIZE))
    control = LengthControl.fit(grade, terms, problem, rounds=100)
    raw, controlled = control.rate(np.full(grade.size, 1 / 6))
    assert raw.value == pytest.approx(grade.mean())
    assert controlled.low <= fair.mean() <= controlled.high
    assert controlled.high - controlled.low < 0.12
    assert abs(raw.value - fair.mean()) > (0.05 if bias else -1.0)
    assert np.sign(control.effect.value) == np.sign(bias) or not bias
    assert control.effect.low <= 0.0 <= control.effect.high or bias


def test_a_strategy_that_picks_long_replies_is_brought_back_to_its_worth() -> None:
    grade, length, problem, fair = replies(2, 300, 8, 1.5)
    terms = length_terms(length, np.full_like(length, SIZE))
    control = LengthControl.fit(grade, terms, problem, rounds=100)
    longest = length.reshape(300, 8).argmax(axis=1)
    share = np.zeros((300, 8))
    share[np.arange(300), longest] = 1.0
    raw, controlled = control.rate(share.ravel())
    assert raw.low > fair.mean()
    assert controlled.low <= fair.mean() <= controlled.high


@pytest.mark.table
def test_intervals_hold_the_truth() -> None:
    held = 0
    for seed in range(300):
        grade, length, problem, _ = replies(seed, 60, 4, 1.0)
        terms = length_terms(length, np.full_like(length, SIZE))
        _, found = LengthControl.fit(grade, terms, problem, rounds=200).rate(
            np.full(grade.size, 0.25)
        )
        truth = expit(0.3 + 0.8 * np.random.default_rng(0).standard_normal(10**6)).mean()
        held += found.low <= truth <= found.high
    print(f"held in {held / 3:.0f} of 100 studies of 60 problems")
    assert held / 300 > 0.9


graded = st.lists(
    st.tuples(st.sampled_from((0.0, 0.25, 0.5, 1.0)), st.integers(-400, 400)),
    min_size=4,
    max_size=24,
)


@settings(deadline=None)
@given(graded)
def test_the_other_side_of_every_comparison_has_the_rest(given: list[tuple[float, int]]) -> None:
    grade, difference = (np.array(column, dtype=float) for column in zip(*given, strict=True))
    problem = np.arange(grade.size) // 2
    share = np.full(grade.size, 0.5)
    terms = length_terms(difference, np.zeros_like(difference))
    assert np.abs(terms).max(initial=0.0) <= 1.0
    one = LengthControl.fit(grade, terms, problem, rounds=3).rate(share)
    other = LengthControl.fit(1.0 - grade, -terms, problem, rounds=3).rate(share)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.value == pytest.approx(1.0 - theirs.value, abs=1e-6)
        assert 0.0 <= mine.low <= mine.value <= mine.high <= 1.0


@settings(deadline=None)
@given(st.lists(st.sampled_from((0.0, 0.25, 0.5, 1.0)), min_size=4, max_size=24))
def test_replies_of_one_length_keep_their_grades(grades: list[float]) -> None:
    grade = np.array(grades)
    problem = np.arange(grade.size) // 2
    terms = length_terms(np.full(grade.size, 7.0), np.full(grade.size, 3.0))
    assert not terms.any()
    raw, controlled = LengthControl.fit(grade, terms, problem, rounds=3).rate(np.ones(grade.size))
    assert controlled.value == pytest.approx(raw.value, abs=1e-6)


def test_unanimity_in_few_problems_is_no_certainty_and_one_problem_has_no_interval() -> None:
    grade, terms = np.ones(10), np.linspace(-1, 1, 10)
    raw, controlled = LengthControl.fit(grade, terms, np.arange(10)).rate(np.ones(10))
    assert raw.value == controlled.value == 1.0
    assert raw.low < 0.98
    assert controlled.low < 0.98
    one = LengthControl.fit(grade, terms, np.zeros(10, dtype=int))
    raw, controlled = one.rate(np.full(10, 0.1))
    assert np.isnan([raw.low, raw.high, controlled.low, one.effect.low]).all()
