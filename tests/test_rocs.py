from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tsbench.rocs import calibration_error, judged, points, rocs
from tsbench.store import read_samples

RUN = Path(__file__).parents[1] / "runs" / "example"
DRAWS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([-1.0, 0.25, 0.5, 1.0]), st.booleans()),
    min_size=2,
    max_size=20,
)


def draws(problem, score, correct, **columns):
    frame = pd.DataFrame({"problem_id": problem, "score": score, "correct": correct})
    return frame.assign(task_class="math", verifier="v", **columns)


def only(frame, **options):
    (row,) = rocs(frame, **options).to_dict("records")
    return row


def made(seed, problems=30, n=12, *, skill=1.0, ease=1.0):
    """Draws of problems of every difficulty; the score knows the draw by `skill` and the problem
    by `ease`."""
    rng = np.random.default_rng(seed)
    p = rng.random(problems)
    problem = np.repeat(np.arange(problems), n)
    correct = rng.random(problem.size) < p[problem]
    score = skill * correct + ease * p[problem] + rng.normal(size=problem.size)
    return draws(problem, score, correct.astype(float))


def pairs(frame):
    """P(a right draw outscores a wrong one), over all pairs, by the definition."""
    weight = 1 / frame.groupby("problem_id")["score"].transform("size")
    score, right = frame["score"].to_numpy(), frame["correct"].to_numpy() > 0.5
    wins = np.sign(score[right][:, None] - score[~right][None, :]) / 2 + 0.5
    pair = np.outer(weight[right], weight[~right])
    return (wins * pair).sum() / pair.sum()


@settings(deadline=None)
@given(DRAWS)
def test_the_area_is_the_share_of_pairs_that_are_in_order(rows):
    frame = draws(*(list(column) for column in zip(*rows, strict=True))).astype({"correct": float})
    if frame["correct"].nunique() == 2:
        row = only(frame)
        assert row["auc"] == pytest.approx(pairs(frame))
        mixed = frame.groupby("problem_id").filter(lambda part: part["correct"].nunique() == 2)
        within = [pairs(part) for _, part in mixed.groupby("problem_id")]
        assert row["n_mixed"] == len(within)
        assert row["auc_within"] == pytest.approx(
            np.mean(within) if within else np.nan, nan_ok=True
        )
        curve = points(frame)
        assert np.trapezoid(curve["true_accept"], curve["false_accept"]) == pytest.approx(
            row["auc"]
        )
        ends = curve[["false_accept", "true_accept"]].iloc[[0, -1]].to_numpy()
        assert ends == pytest.approx(np.array([[0, 0], [1, 1]]))


def test_the_interval_of_an_area_is_over_problems():
    truth = rocs(made(0, 4000)).iloc[0]
    found = pd.concat([rocs(made(seed)) for seed in range(1, 201)])
    for name in ("auc", "auc_within"):
        held = found[f"{name}_low"].le(truth[name]) & found[f"{name}_high"].ge(truth[name])
        assert 0.91 <= held.mean() <= 0.99
    half = (found["auc_high"] - found["auc_low"]).mean() / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 29) * found["auc"].std(), rel=0.15)


def test_draws_that_repeat_others_of_their_problem_are_no_new_evidence():
    once = made(3)
    for column in ("auc_low", "auc_within_high", "ceiling_low", "ceiling_within_high"):
        assert only(pd.concat([once] * 5))[column] == pytest.approx(only(once)[column])


def test_a_problem_counts_once_however_many_draws_it_has():
    frame = draws([0] * 4 + [1] * 40, [1, 1, 0, 0] + [1, 0] * 20, [1, 1, 0, 0] + [0, 1] * 20)
    assert only(frame)["auc"] == pytest.approx(0.5)


def test_who_knows_easy_from_hard_ranks_no_draws_of_a_problem():
    row = only(made(1, 200, skill=0.0, ease=5.0))
    assert row["auc_low"] > 0.7
    assert row["auc_within_low"] < 0.5 < row["auc_within_high"]
    assert row["reached"] == pytest.approx(row["single"], abs=0.05)


def test_no_fault_on_few_problems_is_no_proof_of_perfection():
    row = only(draws(np.repeat(range(10), 4), [1, 1, 0, 0] * 10, [1, 1, 0, 0] * 10))
    assert (row["auc"], row["auc_within"], row["ceiling"], row["reached"]) == (1, 1, 1, 1)
    assert (row["true_accept"], row["false_accept"], row["threshold"]) == (1, 0, 1)
    for name in ("auc", "auc_within", "ceiling", "ceiling_within"):
        assert 0.7 < row[f"{name}_low"] < 0.95
        assert row[f"{name}_high"] == 1


def test_calibration_is_the_distance_from_what_is_claimed():
    problem = np.repeat(np.arange(100), 10)
    right = np.tile([1.0] * 7 + [0.0] * 3, 100)
    assert calibration_error(np.full(1000, 0.7), right, problem)[0] == pytest.approx(0)
    assert calibration_error(np.full(1000, 0.95), right, problem)[0] == pytest.approx(0.25)
    assert calibration_error(np.repeat([1.0, 0.0], 500), right, problem)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_interval_of_calibration_holds_the_truth_though_noise_never_cancels(shift):
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.0, 0.8, 25)
        problem = np.repeat(np.arange(25), 8)
        right = (rng.random(200) < p[problem]).astype(float)
        found.append(calibration_error(p[problem] + shift, right, problem, seed=seed))
    error, low, high = np.array(found).T
    assert ((low <= shift) & (shift <= high)).mean() >= 0.95
    assert (high - low).mean() < 0.35
    assert shift or error.min() > 0.01, "where the truth is 0, no quantile of the error holds it"


def test_only_what_can_be_a_probability_is_calibrated():
    assert np.isnan(only(draws([0, 0, 1, 1], [-0.1, 0.5, 0.2, 1], [0, 1, 0, 1]))["ece"])
    assert np.isnan(only(draws([0, 0, 1, 1], [0.1, 0.5, 0.2, 2], [0, 1, 0, 1]))["ece"])
    assert only(draws([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1]))["ece"] == 0


def test_the_ceiling_is_that_of_the_formula():
    accepted = [1, 1, 0, 0, 1, 1, 0, 0]
    frame = draws([0] * 4 + [1] * 4, accepted, [1, 0, 1, 0, 0, 0, 0, 0])
    row = only(frame, thresholds={"v": 0.5})
    t, f = 1 / 2, 3 / 6
    assert (row["true_accept"], row["false_accept"]) == (t, f)
    assert row["ceiling"] == pytest.approx((0.5 * t / (0.5 * t + 0.5 * f) + 0) / 2)
    assert row["ceiling_low"] <= row["ceiling"] <= row["ceiling_high"]
    assert only(frame, thresholds={"v": 9})["ceiling"] == pytest.approx(row["single"])


def test_a_verdict_of_yes_or_no_reaches_its_ceiling_within_problems():
    frame = made(5).assign(score=lambda rows: (rows["score"] > 1).astype(float))
    row = only(frame, thresholds={"v": 1.0})
    assert row["n"] == 12
    assert row["ceiling_within"] == pytest.approx(row["reached"])
    assert row["ceiling_within"] != pytest.approx(row["ceiling"], abs=1e-3)


def test_the_threshold_is_youdens_unless_it_is_given():
    frame = draws([0, 0, 1, 1, 1], [3, 1, 2, 1, 0], [1, 1, 1, 0, 0])
    curve = points(frame)
    best = (curve["true_accept"] - curve["false_accept"]).argmax()
    assert only(frame)["threshold"] == curve["threshold"][best] == 2
    assert only(frame, thresholds={"v": 1.0})["threshold"] == 1
    assert only(frame, thresholds={"other": 1.0})["threshold"] == 2


def test_a_draw_without_a_score_is_counted_and_ranks_last():
    frame = draws([0] * 4, [np.nan, 0.1, 0.2, np.nan], [1, 0, 1, 1])
    row = only(frame)
    assert (row["n_draws"], row["missing"], row["n"]) == (4, 2, 4)
    assert (row["auc"], row["single"], row["reached"]) == (1, 0.75, 1)
    silent = only(frame.assign(score=np.nan))
    assert silent["missing"] == 4
    assert silent["reached"] == 0.75
    assert np.isnan([silent[c] for c in ("auc", "ece", "threshold", "ceiling")]).all()


def test_n_goes_as_far_as_nine_problems_in_ten_do():
    sizes = [1] + [3] * 8 + [5]
    problem = np.repeat(range(10), sizes)
    first = ~pd.Series(problem).duplicated()
    row = only(draws(problem, first.astype(float), first.astype(float)))
    assert row["n"] == 3
    assert row["reached"] == pytest.approx((8 + 3 / 5) / 9)
    assert row["single"] == pytest.approx((8 / 3 + 1 / 5) / 9)


def test_a_class_with_one_kind_of_draw_or_one_problem_has_no_interval():
    right = only(draws([0, 1], [0.5, 0.7], [1, 1]))
    assert np.isnan(right["auc"])
    assert right["n_mixed"] == 0
    assert points(draws([0, 1], [0.5, 0.7], [1, 1])).empty
    one = only(draws([0, 0, 0], [0, 1, 1], [0, 1, 0]))
    assert one["auc"] == 0.75
    ends = [f"{name}{end}" for name in ("auc", "ece", "ceiling") for end in ("_low", "_high")]
    assert np.isnan([one[name] for name in ends]).all()


def test_models_classes_and_verifiers_have_a_row_each():
    parts = [
        made(0, 5).assign(model=m, verifier=v, task_class=c)
        for m in "ab"
        for v in "xy"
        for c in ("code", "math")
    ]
    found = rocs(pd.concat(parts))
    assert len(found) == len(found[["task_class", "model", "verifier"]].drop_duplicates()) == 8
    assert len(points(pd.concat(parts)).groupby(["task_class", "model", "verifier"])) == 8


def test_bad_input_is_one_sentence():
    good = draws([0, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="judged draws have no column 'score'"):
        rocs(good.drop(columns="score"))
    with pytest.raises(ValueError, match="correct of 0 or 1"):
        rocs(good.assign(correct=0.5))
    with pytest.raises(ValueError, match="infinite score"):
        points(good.assign(score=-np.inf))
    with pytest.raises(ValueError, match="samples have no column 'model'"):
        judged(good.assign(kind="draw", partial=False))


def test_judged_pairs_draws_with_their_marks():
    columns = ["key", "kind", "index", "status", "correct", "of", "verifier", "score"]
    rows = [
        ("a0", "draw", 0, "ok", 1, None, None, 0.5),
        ("a1", "draw", 1, "unparsed", None, None, None, None),
        ("a2", "draw", 2, "error", None, None, None, None),
        ("a3", "draw", 3, "ok", 0, None, None, None),
        ("a4", "draw", 4, "ok", 1, None, None, None),
        ("j0", "judge", 0, "ok", None, "a0", "v", 0.9),
        ("j3", "judge", 0, "unparsed", None, "a3", "v", None),
        ("j4", "judge", 0, "ok", None, "a0", "w", 0.1),
        ("j5", "judge", 1, "ok", None, "a0", "w", 0.7),
    ]
    samples = pd.DataFrame(rows, columns=columns).assign(
        task_class="math", model="m", task="t", problem_id="p", params="same", partial=False
    )
    samples["thinking_budget"] = np.nan
    other = samples.iloc[[0]].assign(key="b0", params="another prompt")
    step = samples.iloc[[0]].assign(key="c0", partial=True)
    found = judged(pd.concat([samples, other, step]))
    mine = found[found["verifier"] == "v"]
    assert mine["correct"].tolist() == [1, 0, 0], "the lost one is left out, a4 was not its"
    assert mine["score"].fillna(-1).tolist() == [0.9, -1, -1]
    assert found[found["verifier"] == "w"]["score"].tolist() == [0.1]
    ungraded = samples.assign(correct=samples["correct"].mask(samples["key"] == "a0"))
    assert judged(ungraded)["correct"].tolist() == [0, 0], "a0 may be right, once it is graded"
    pair = samples.iloc[[5]].assign(params='{"against": "a3"}', verifier="pairwise")
    assert "pairwise" not in set(judged(pd.concat([samples, pair]))["verifier"])
    revised = samples.iloc[[0, 5]].assign(params='{"turns": []}', key=["r0", "jr"], of=[None, "r0"])
    both = judged(pd.concat([samples, revised]))
    assert len(both) == len(judged(samples)), "a revision is no draw of the pool"
    thought = judged(samples.assign(thinking_budget=32.0))
    assert set(thought["verifier"]) == {"v (thinking 32)", "w (thinking 32)"}
    partly = samples.iloc[[3]].assign(key="g", index=5, correct=0.5)
    assert judged(pd.concat([samples, partly])).empty, "grades say of no draw that it is right"
    elsewhere = partly.assign(task="essays")
    both = judged(pd.concat([samples, elsewhere]))
    pd.testing.assert_frame_equal(both, judged(samples))
    assert judged(samples[samples["kind"] == "draw"]).empty
    assert rocs(judged(samples[samples["kind"] == "draw"])).empty


def test_the_recorded_run_reached_what_its_outcomes_say():
    found = rocs(judged(read_samples(RUN)))
    tables = [pd.read_parquet(path) for path in sorted((RUN / "outcomes").glob("*best_of_n*"))]
    outcomes = pd.concat(tables)
    assert len(found) == 5
    for row in found.to_dict("records"):
        mine = outcomes[
            (outcomes["strategy"] == f"best-of-n:{row['verifier']}")
            & (outcomes["task_class"] == row["task_class"])
        ]
        reached = mine.groupby("budget")["correct"].mean()
        assert row["reached"] == pytest.approx(reached[row["n"]])
        assert row["single"] == pytest.approx(reached[1])
        assert row["n"] == reached.index.max()
