import numpy as np
import pandas as pd
import pytest

from tsbench.curves import curves, knees, outcomes_from_samples

RISE = 0.3 + 0.3 * (1 - 2 ** (-0.9 * np.arange(8)))
FALL = 0.6 - 0.04 * np.arange(8)


def runs(accuracy, strategy="think", problems=80, budgets=None, seed=0, **columns):
    """Outcomes of a strategy on problems of spread ease, 8 replicates a budget."""
    rng = np.random.default_rng(seed)
    budgets = 2 ** np.arange(len(accuracy)) if budgets is None else budgets
    ease = rng.normal(0, 0.1, (problems, 1))
    chance = np.clip(np.asarray(accuracy) + ease, 0, 1)
    frame = pd.DataFrame(
        [
            (f"p{q}", int(budget), replicate, float(rng.uniform() < chance[q, j]))
            for q in range(problems)
            for j, budget in enumerate(budgets)
            for replicate in range(8)
        ],
        columns=["problem_id", "budget", "replicate", "correct"],
    )
    frame["tokens"] = 50.0 * frame["budget"]
    return frame.assign(task_class="math", strategy=strategy, **columns)


def row(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    (found,) = table.to_dict("records")
    return found


def test_a_curve_is_the_mean_of_problems_of_the_mean_of_replicates():
    table = runs(RISE, problems=30)
    extra = table[(table["problem_id"] == "p0") & (table["budget"] == 4)].assign(replicate=99)
    table = pd.concat([table, extra])
    found = curves(table)
    each = table.groupby(["budget", "problem_id"])["correct"].mean().groupby("budget").mean()
    assert found["accuracy"].tolist() == pytest.approx(each.tolist())
    assert set(found["n_problems"]) == {30}
    assert found["tokens"].tolist() == (50.0 * 2 ** np.arange(8)).tolist()


def test_the_band_holds_all_budgets_at_once_and_is_wider_than_pointwise():
    true = RISE[:5]
    held = []
    for seed in range(60):
        found = curves(runs(true, problems=40, seed=seed), seed=seed)
        held.append(((found["low"] <= true) & (true <= found["high"])).all())
    assert np.mean(held) >= 0.88
    spread = runs(true, problems=40).groupby(["budget", "problem_id"])["correct"].mean()
    pointwise = 1.96 * spread.groupby("budget").std().to_numpy() / np.sqrt(40)
    found = curves(runs(true, problems=40))
    assert ((found["high"] - found["accuracy"]).to_numpy() > 1.05 * pointwise).all()


def test_a_unanimous_curve_keeps_a_band():
    found = curves(runs([1.0, 1.0], problems=20).assign(correct=1.0))
    assert (found["accuracy"] == 1.0).all()
    assert (found["low"] < 0.95).all()


def test_a_problem_without_every_budget_is_left_out_and_counted():
    table = runs(RISE, problems=30)
    table = table[~((table["problem_id"] == "p3") & (table["budget"] == 128))]
    found = curves(table)
    assert set(found["n_problems"]) == {29}
    assert set(found["n_dropped"]) == {1}
    assert "1 problems without every budget" in row(knees(table), strategy="think")["flags"]


def test_a_budget_that_few_problems_reached_is_no_part_of_the_curve():
    table = runs(RISE, problems=30)
    few = table["problem_id"].isin(["p1", "p2"])
    found = curves(table[(table["budget"] < 128) | few])
    assert found["budget"].max() == 64
    assert set(found["n_problems"]) == {30}


def test_strata_have_curves_of_their_own():
    easy = runs(RISE, problems=40).assign(stratum="level1")
    hard = runs(FALL, problems=40, seed=1).assign(stratum="level2")
    hard["problem_id"] = "h" + hard["problem_id"]
    found = knees(pd.concat([easy, hard]))
    assert set(found["stratum"]) == {"all", "level1", "level2"}
    assert row(found, strategy="think", stratum="level2")["verdict"] == "falls"
    assert row(found, strategy="think", stratum="level1")["verdict"] != "falls"
    assert row(found, strategy="think", stratum="all")["n_problems"] == 80


def test_truncated_runs_count_as_not_correct_and_are_flagged():
    table = runs(RISE, problems=30).assign(status="ok")
    cut = table["replicate"] == 0
    table.loc[cut, ["status", "correct"]] = ["truncated", np.nan]
    found = curves(table)
    assert found["cap_hit_rate"].tolist() == pytest.approx([1 / 8] * 8)
    assert found["missing_rate"].tolist() == pytest.approx([1 / 8] * 8)
    counted = table.fillna({"correct": 0.0}).groupby("budget")["correct"].mean()
    assert found["accuracy"].tolist() == pytest.approx(counted.tolist())
    assert "made by the cap: 12% truncated" in row(knees(table), strategy="think")["flags"]


def test_lost_runs_are_missing_and_not_wrong():
    table = runs(RISE, problems=30).assign(status="ok")
    lost = table["replicate"] < 2
    table.loc[lost, ["status", "correct"]] = ["error", np.nan]
    kept = table[~lost].groupby("budget")["correct"].mean()
    assert curves(table)["accuracy"].tolist() == pytest.approx(kept.tolist())


def test_knees_are_in_the_units_of_their_axis():
    table = runs(RISE, flops=lambda t: 1e9 * t["tokens"])
    found = knees(table)
    tokens = row(found, strategy="think", axis="tokens")
    flops = row(found, strategy="think", axis="flops")
    assert flops["knee"] == pytest.approx(1e9 * tokens["knee"])
    assert flops["low"] == pytest.approx(1e9 * tokens["low"])
    assert 50 < tokens["low"] <= tokens["knee"]
    assert tokens["knee_budget"] in (8, 16, 32, 64)
    assert tokens["rule"] == "delta=0.01"


def test_an_axis_without_spend_falls_back_to_one_that_is_known():
    table = runs(RISE).drop(columns="tokens").assign(asks=lambda t: t["budget"])
    assert set(knees(table)["axis"]) == {"asks"}


def test_a_budget_that_did_not_bind_is_left_out_aloud():
    table = runs(RISE)
    table["tokens"] = np.minimum(table["tokens"], 50.0 * 32)
    found = row(knees(table), strategy="think")
    assert "budgets that did not bind: 64, 128" in found["flags"]
    assert found["peak"] <= 50.0 * 32


def test_one_budget_has_no_knee():
    found = row(knees(runs([0.5])), strategy="think")
    assert np.isnan(found["knee"])
    assert found["verdict"] == "cannot tell"
    assert found["accuracy_at_knee"] == pytest.approx(0.5, abs=0.1)
    assert "no fit" in found["flags"]


def test_the_frontier_takes_the_best_deployable_strategy_at_each_spend():
    rise, level = runs(RISE, "long"), runs(np.full(3, 0.45), "short", seed=1)
    oracle = runs(np.full(8, 0.99), "pass@k", seed=2)
    found = knees(pd.concat([rise, level, oracle]))
    frontier = row(found, strategy="frontier")
    assert frontier["chosen"] == "long"
    assert frontier["peak_accuracy"] == pytest.approx(RISE[-1], abs=0.06)
    assert frontier["n_samples"] == len(rise) + len(level)
    early = knees(pd.concat([rise, runs(np.full(3, 0.7), "short", seed=1), oracle]))
    frontier = row(early, strategy="frontier")
    assert (frontier["chosen"], frontier["knee_budget"]) == ("short", 1)
    assert frontier["accuracy_at_knee"] == pytest.approx(0.7, abs=0.06)


def test_what_needs_an_oracle_or_mostly_gave_no_answer_is_no_part_of_a_frontier():
    rise = runs(RISE, "plain")
    best = runs(np.full(8, 0.95), "best-of-n:noisy_oracle")
    silent = runs(np.full(8, 0.9), "silent", seed=1)
    lost = silent.index % 8 < 5
    silent = silent.assign(
        correct=silent["correct"].mask(lost), status=np.where(lost, "unparsed", "ok")
    )
    found = knees(pd.concat([rise.assign(status="ok"), best.assign(status="ok"), silent]))
    frontier = row(found, strategy="frontier")
    assert frontier["chosen"] == "plain"
    assert frontier["family"] is not None
    assert frontier["flags"].startswith("silent left out: more than 50% missing")
    alone = row(knees(silent), strategy="frontier")
    assert "no fit" in alone["flags"]


def test_the_frontier_of_one_strategy_is_its_curve():
    found = knees(runs(RISE))
    mine, frontier = row(found, strategy="think"), row(found, strategy="frontier")
    same = ["knee", "low", "high", "verdict", "knee_budget", "p_turnover", "n_problems"]
    assert str([frontier[name] for name in same]) == str([mine[name] for name in same])


def test_the_frontier_does_not_reward_picking_among_equals():
    equals = [runs(np.full(4, 0.5), f"s{i}", problems=40, seed=i) for i in range(8)]
    raw = max(t["correct"].mean() for t in equals)
    frontier = row(knees(pd.concat(equals)), strategy="frontier")
    assert frontier["accuracy_at_knee"] < raw + 0.01


def test_votes_are_fitted_on_odd_budgets_of_at_most_ten():
    rng = np.random.default_rng(0)
    draws = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": np.repeat(np.arange(40), 48),
            "answer": np.where(rng.uniform(size=1920) < 0.6, "7", "8"),
            "tokens": 10,
        }
    )
    draws["correct"] = draws["answer"] == "7"
    table = outcomes_from_samples(draws)
    found = row(knees(table), strategy="maj@k")
    assert found["knee_budget"] % 2 == 1
    assert found["n_samples"] == 1920
    assert len(curves(table)) == 2 * 48


def test_no_known_accuracy_or_spend_is_refused():
    table = runs(RISE)
    with pytest.raises(ValueError, match="no problem whose correct is known"):
        curves(table.assign(correct=np.nan))
    with pytest.raises(ValueError, match="no known spend"):
        knees(table.drop(columns="tokens"))
    with pytest.raises(ValueError, match="axis 'joules' is unknown; allowed are tokens"):
        knees(table, axes=("joules",))
    with pytest.raises(ValueError, match="outcomes have no column 'budget'"):
        curves(table.drop(columns="budget"))


def test_published_thinking_strategies_have_curves(shared_data):
    table = pd.read_parquet(shared_data("outcomes/adaptive_ttc_gsm8k/samples.parquet"))
    fixed = table[table["strategy"].str.startswith("fixed")].rename(
        columns={"query_id": "problem_id"}
    )
    found = curves(fixed.assign(task_class="math", budget=fixed["samples_used"], strategy="vote"))
    assert (100 * found["accuracy"]).tolist() == pytest.approx([94.0, 95.0, 96.7], abs=0.05)
    assert (300 * found["tokens"]).tolist() == pytest.approx([104469, 414545, 832446])
