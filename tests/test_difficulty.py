from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arms import pool

from tsbench.arms import Visits
from tsbench.calibration import agreement_features, prompt_features
from tsbench.difficulty import (
    Estimate,
    coded,
    estimates,
    fitted,
    measured,
    one_pass,
)


def problems(Q=600, slope=1.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(Q)
    p = 1.0 / (1.0 + np.exp(-(0.3 + slope * x)))
    return pd.DataFrame({"x": 10.0 + 4.0 * x}), rng.binomial(32, p) / 32, p


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_a_calibrated_chance_is_the_chance(kind):
    table, right, p = problems()
    made = fitted(table, right, np.ones(600), kind)
    assert np.abs(made.chance(table.to_numpy()) - p).mean() < 0.04
    order = np.argsort(table["x"])
    assert (np.diff(made.chance(table.to_numpy())[order]) >= -1e-12).all()


def test_a_missing_feature_has_no_chance_and_is_named():
    table, right, _ = problems()
    made = fitted(table, right, np.ones(600), "logistic")
    assert np.isnan(made.chance(np.array([[np.nan]]))).all()
    assert made.outside({}) == "feature 'x' is missing"
    assert made.outside({"x": float("nan")}) == "feature 'x' is missing"
    assert "seen were" in str(made.outside({"x": 1e6}))
    assert made.outside({"x": 10.0}) is None


def test_without_a_feature_that_tells_the_chance_is_the_mean():
    table, right, _ = problems()
    nothing = fitted(table[[]], right, np.ones(600), "logistic")
    assert nothing.chance(table[[]].to_numpy()) == pytest.approx(right.mean(), abs=1e-6)
    always = fitted(table, np.ones(600), np.ones(600), "isotonic")
    assert always.chance(table.to_numpy()).min() > 0.999


def test_an_estimate_is_judged_out_of_fold():
    table, right, p = problems()
    rng = np.random.default_rng(1)
    fold, problem = rng.integers(0, 5, 600), np.arange(600)
    noise = pd.DataFrame(rng.standard_normal((600, 30))).add_prefix("z")
    good, bins = measured(Estimate("x", table), right, problem, fold, "logistic")
    bad, _ = measured(Estimate("noise", noise), right, problem, fold, "logistic")
    best = np.mean([p[i] > p[j] for i, j in rng.integers(0, 600, (4000, 2))])
    assert 0.48 < best < 0.52
    assert good["auc"] > 0.75
    assert good["auc_low"] < good["auc"] < good["auc_high"]
    assert bad["auc"] == pytest.approx(0.5, abs=0.06)
    assert good["ece"] < 0.05
    inside = (bins["low"] <= bins["claimed"]) & (bins["claimed"] <= bins["high"])
    assert inside[bins["n_problems"] > 20].mean() > 0.7
    assert bins["share"].sum() == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=8))
def test_agreement_is_the_same_of_one_request_and_of_a_table(answers):
    from tsbench.difficulty import _agreement

    codes = pd.factorize(pd.Series(answers, dtype=object))[0]
    table = _agreement(np.array([codes], dtype=np.int64)).iloc[0].to_dict()
    assert table == pytest.approx(agreement_features(answers))


def test_what_a_prompt_shows():
    found = prompt_features("What is 12 * 345?\nThink.")
    assert found["prompt_numbers"] == 2
    assert found["prompt_digits"] == 3
    assert found["prompt_operators"] == 1
    assert found["prompt_lines"] == 2
    assert found["prompt_log_words"] == pytest.approx(np.log2(7))
    assert prompt_features("")["prompt_word_length"] == 0.0


def test_a_column_of_words_is_a_feature_for_each_value():
    table = coded(pd.Series(["hard", "easy", None, "hard"]), "level")
    assert list(table) == ["level=easy", "level=hard"]
    assert table["level=hard"].tolist()[:2] == [1.0, 0.0]
    assert table.iloc[2].isna().all()
    assert list(coded(pd.Series([1, 2, 3]), "level")) == ["level"]


def test_every_estimate_that_can_be_made_is_made_and_knows_its_pilot():
    drawn = pool(known=True)
    rng = np.random.default_rng(0)
    traits = {
        "first_logprob": rng.standard_normal((12, 9)),
        "first_confidence": np.full((12, 9), np.nan),
    }
    frame = drawn.problems.assign(prompt=[f"add {q}" * (q + 1) for q in range(12)], mine=range(12))
    visits = Visits.of(
        SimpleNamespace(**{**vars(drawn), "traits": traits, "n": 9, "reach": drawn.reach}), 0
    )
    found = {e.name: e for e in estimates(frame, visits, ["mine"], (2, 4, 99))}
    assert set(found) == {
        *("prompt", "given", "first draw", "judge judge", "agreement of 2", "agreement of 4"),
        *("solved of 2", "solved of 4", "all with 1", "all with 2", "all with 4"),
    }
    assert {name: e.pilot for name, e in found.items() if e.pilot} == {
        "first draw": 1, "judge judge": 1, "agreement of 2": 2, "agreement of 4": 4,
        "solved of 2": 2, "solved of 4": 4, "all with 1": 1, "all with 2": 2, "all with 4": 4,
    }  # fmt: skip
    fewer = estimates(frame, visits, ["mine"], (2, 4), ["prompt", "judge", "first draw"])
    assert not {"prompt", "judge judge", "first draw"} & {e.name for e in fewer}
    assert not any("prompt" in c for e in fewer for c in e.table)
    assert list(found["first draw"].table) == ["first_logprob"]
    assert found["judge judge"].verifier == "judge"
    assert {"mine", "first_logprob", "agreement", "solved"} <= set(found["all with 4"].table)


def test_the_pilot_is_no_part_of_what_it_foretells():
    visits = Visits.of(pool(), 0)
    right = visits.seen(visits.pool.right)
    assert one_pass(visits, 4).tolist() == right[:, 4:].mean(axis=1).tolist()
    assert one_pass(visits, 9).tolist() == right.mean(axis=1).tolist()
