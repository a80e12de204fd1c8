import numpy as np
import pandas as pd
import pytest
from toy import curve, curves, knee, knees

from tsbench.findings import Pick, converted, headline, pick, support

GONE = {"knee": np.nan, "high": np.nan, "gain_left": np.nan, "knee_budget": 32}


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def found(**changes: object) -> Pick:
    chosen = pick(curves(), knees(**changes), "math", "tokens")
    assert chosen is not None
    return chosen


def test_flat() -> None:
    assert plain(headline(found())) == (
        "Majority vote rises from 41 % with 1 draw to 52 % at its knee of 4 draws (95 % interval "
        "3 to 9), about 96 tokens a problem; beyond it a doubling buys less than 1 point."
    )


def test_rising() -> None:
    said = plain(headline(found(verdict="rising", p_beyond=0.97, **GONE)))
    assert said == (
        "Majority vote rises from 41 % with 1 draw to 58 % with 32 draws, about 770 tokens a "
        "problem, and is still rising: the knee lies beyond the largest budget tried (P = 0.97)."
    )


def test_falls() -> None:
    said = plain(headline(found(verdict="falls", chosen="best-of-n:logprob")))
    assert "from 41 % with 1 draw to 47 % at its knee of 4 draws" in said
    assert said.endswith("and then falls: with 32 draws it is at 40 %. Spending more does harm.")


def test_cannot_tell_with_and_without_a_knee() -> None:
    with_knee = plain(headline(found(verdict="cannot tell", high=np.nan)))
    assert "its 95 % interval, 3 or more, leaves open whether" in with_knee
    without = plain(headline(found(verdict="cannot tell", p_beyond=0.56, **GONE)))
    assert "may lie beyond the largest budget tried (P = 0.56), but these data cannot" in without


def test_a_knee_at_the_first_budget_does_not_rise() -> None:
    said = plain(headline(found(knee=24.0, low=np.nan, high=40.0, knee_budget=1)))
    assert said.startswith(
        "Majority vote is at 41 % at its knee of 1 draw (95 % interval 2 or less)"
    )


def test_a_curve_without_gain_stays() -> None:
    flat = curve("math", "maj@k", [0.5] * 6)
    rows = pd.DataFrame([knee("math", "frontier", chosen="maj@k")])
    chosen = pick(flat, rows, "math", "tokens")
    assert chosen is not None
    assert headline(chosen).startswith("Majority vote stays at")
    assert chosen.oracle is None


def test_no_fit_says_why() -> None:
    said = headline(found(peak=np.nan, flags="no fit: 1 problems and 1 budgets that bind"))
    assert said == "No knee could be fitted: no fit: 1 problems and 1 budgets that bind."


def test_the_oracle_is_read_at_no_more_than_the_same_spend() -> None:
    assert found().oracle == 0.63
    assert plain(support(found())) == (
        "P(falls) = 0.04, P(knee beyond the largest budget) = 0.02, 40 problems."
    )


def test_the_budget_is_the_one_nearest_to_the_knee() -> None:
    assert found(knee=15 * 24.0, knee_budget=4).here["budget"] == 16
    assert found(**GONE).here["budget"] == 32


def test_after_thinking_the_oracle_is_that_of_the_same_thinking() -> None:
    lines = [
        curve("math", f"{selector} (forced {t})", np.full(6, value))
        for selector, t, value in (("maj@k", 8, 0.4), ("pass@k", 8, 0.7), ("pass@k", 32, 0.9))
    ]
    table = pd.concat([*lines, curve("math", "pass@k", np.full(6, 0.8))])
    rows = pd.DataFrame([knee("math", "frontier", chosen="maj@k (forced 8)")])
    chosen = pick(table, rows, "math", "tokens")
    assert chosen is not None
    assert chosen.oracle == 0.7
    assert headline(chosen).startswith("Majority vote after 8\u00a0tokens of forced thought stays")


def test_budgets_that_made_no_difference_are_not_recommended() -> None:
    flags = "no fit: the thinking budgets made no difference to what was spent"
    chosen = found(peak=np.nan, flags=flags)
    assert chosen.ignored
    assert headline(chosen) == (
        "No budget can be recommended: the thinking budgets made no difference to what was spent."
    )
    assert not found(flags=flags.replace("no fit", "forced left out")).ignored


@pytest.mark.parametrize("task_class", ["code", "math"])
def test_nothing_deployable_is_nothing_to_use(task_class: str) -> None:
    only = knees()
    assert pick(curves(), only[only["strategy"] == "pass@k"], task_class, "tokens") is None


def test_what_the_choice_converts_has_an_interval_or_says_why_not() -> None:
    chosen = found()
    row = {"strategy": "maj@k", "budget": 4.0, "capture": 0.31, "low": -0.04, "high": 0.6}
    rows = pd.DataFrame([row | {"flags": ""}, row | {"budget": 8.0, "flags": ""}])
    assert plain(converted(chosen, rows)) == (
        "It converts 31 % (\u22124 to 60) of the headroom over one draw."
    )
    doubt = pd.DataFrame([row | {"low": np.nan, "high": np.nan, "flags": "no interval: none"}])
    assert plain(converted(chosen, doubt)).endswith("over one draw (no interval: none).")
    assert converted(chosen, rows.assign(strategy="mbr")) == ""
    assert converted(chosen, pd.DataFrame()) == ""
