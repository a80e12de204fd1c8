import numpy as np
import pandas as pd
import pytest
from toy import SHAPES, curve, knee

from tsbench import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "1"),
        (30, "30"),
        (999, "999"),
        (1000, "1k"),
        (3e4, "30k"),
        (3.2e11, "320G"),
        (0.3, "0.3"),
    ],
)
def test_ticks_read_as_people_write_them(value: float, said: str) -> None:
    assert words.human(value) == said


def test_spends_carry_their_units() -> None:
    assert words.quantity(1234.0, "tokens") == "1,200\u00a0tokens"
    assert words.quantity(3.24e11, "flops") == "320\u00a0GFLOPs"
    assert words.quantity(512.0, "flops") == "510\u00a0FLOPs"
    assert words.quantity(4.04, "seconds") == "4\u00a0seconds"
    assert words.quantity(None, "tokens") == words.quantity(float("nan"), "flops") == "unknown"


def test_shares_and_differences() -> None:
    assert words.percent(0.575) == "57\u202f%"
    assert words.rate(0.0) == "0\u202f%"
    assert words.rate(1e-5) == "<\u202f0.1\u202f%"
    assert words.rate(0.034) == "3.4\u202f%"
    assert words.points(0.01) == "1\u00a0point"
    assert words.points(0.005) == "0.5\u00a0points"
    assert words.points(-0.031) == "\u22123.1\u00a0points"
    assert [words.change(v) for v in (0.021, -0.003, -0.0004)] == ["+2.1", "\u22120.3", "0.0"]


def test_a_probability_is_never_certain() -> None:
    assert words.chance(0.0) == "<\u00a00.01"
    assert words.chance(1.0) == ">\u00a00.99"
    assert words.chance(0.453) == "=\u00a00.45"
    assert words.chance(float("nan")) == "is unknown"


def test_budgets_count_what_the_strategy_counts() -> None:
    assert words.budget("maj@k", 1) == "1\u00a0draw"
    assert words.budget("best-of-n:mine", 8) == "8\u00a0draws"
    assert words.budget("forced", 32) == "32\u00a0tokens of thought"
    assert words.budget("my search", 2.5) == "budget\u00a02.5"


def test_names() -> None:
    assert words.name("maj@k") == "majority vote"
    assert words.name("maj@k (thinking 64)", short=True) == "vote, thinking 64"
    assert words.name("my search") == "my search"
    assert words.verdict("flat") == "flattens"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "5\u00a0draws (3 to 9)"),
        ({"low": np.nan}, "5\u00a0draws (9 or less)"),
        ({"high": np.nan}, "5\u00a0draws (3 or more)"),
        ({"low": np.nan, "high": np.nan}, "5\u00a0draws (unbounded)"),
        ({"knee": np.nan, "high": np.nan}, "beyond 32\u00a0draws (3 or more)"),
    ],
)
def test_a_knee_is_placed_in_draws(changes: dict[str, float], said: str) -> None:
    row = pd.Series(knee("math", "maj@k", **changes))
    place = words.place(curve("math", "maj@k", SHAPES["maj@k"]), row, "tokens")
    assert place.words("maj@k") == said


def test_searches_and_revisions_have_names_and_units():
    assert words.name("beam:p_true") == "beam search by P(True)"
    assert words.name("dvts:mine") == "diverse tree search by mine"
    assert words.name("best-of-n:noisy_oracle") == "best-of-n by a noisy oracle that sees the grade"
    assert words.name("ab-mcts:rubric", short=True) == "rubric AB-MCTS"
    assert words.name("best-of-n:logprob") == "best-of-n by log-probability"
    assert words.budget("dvts:p_true", 4) == "4\u00a0paths"
    assert words.budget("revise", 1) == "1\u00a0reply"
    assert words.budget("truncated", 64) == "64\u00a0tokens of thought"
    assert words.budget("weighted-best-of-n:p_true", 8) == "8\u00a0draws"


@pytest.mark.parametrize(
    ("strategy", "long", "short"),
    [
        (
            "maj@k (forced 32)",
            "majority vote after 32\u00a0tokens of forced thought",
            "vote, forced 32",
        ),
        (
            "pass@k (truncated 1024)",
            "oracle (pass@k) after 1,024\u00a0tokens of truncated thought",
            "oracle, truncated 1,024",
        ),
        (
            "best-of-n:p_true (prompted 1)",
            "best-of-n by P(True) when asked to think for 1\u00a0token",
            "P(True), prompted 1",
        ),
        (
            "best-of-n:mine (effort 2)",
            "best-of-n by mine at medium effort",
            "mine, medium effort",
        ),
        (
            "maj@k (thinking 64)",
            "majority vote after 64\u00a0tokens of thought",
            "vote, thinking 64",
        ),
        ("my search (fast 3)", "my search (fast 3)", "my search (fast 3)"),
    ],
)  # fmt: skip
def test_draws_that_think_first_say_so(strategy: str, long: str, short: str) -> None:
    assert words.name(strategy) == long
    assert words.name(strategy, short=True) == short
    assert words.budget(strategy, 8).endswith("draws") or strategy.startswith("my search")


def test_a_grid_and_a_figure_name_the_thinking() -> None:
    assert words.grid("maj@k", "forced") == "majority vote after forced thought"
    assert words.grid("maj@k", "thinking") == "majority vote after thought"
    assert words.grid("best-of-n:p_true", "prompted") == "best-of-n by P(True) when asked to think"
    assert words.grid("pass@k", "effort") == "oracle (pass@k) at each effort"
    assert words.label("pass@k (forced 128)") == "oracle (pass@k), forced 128"
    assert words.label("revise") == "self-revision"
    assert words.thought_amount("effort", 3) == "high effort"
    assert words.thought_amount("forced", 0) == "0\u00a0tokens"
