import json

import numpy as np
import pandas as pd
import pytest

from tsbench.contest import COLUMNS
from tsbench.fit import Fit
from tsbench.policy import Policy
from tsbench.pools import Reading, pools
from tsbench.report import Report
from tsbench.route import Route


def samples(Q=80, n=12, seed=0, tells=True):
    """Draws of problems that are hopeless, middling or easy; `level` says which."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, Q)
    p = np.array([0.02, 0.6, 0.97])[kind]
    level = kind if tells else rng.permutation(kind)
    right = rng.random((Q, n)) < p[:, None]
    wrong = rng.integers(1, 9, (Q, n)).astype(str)
    return pd.DataFrame(
        {
            "task_class": "math",
            "model": "m",
            "problem_id": np.repeat([f"p{q}" for q in range(Q)], n),
            "level": np.repeat(level, n),
            "index": np.tile(np.arange(n), Q),
            "answer": np.where(right, "0", wrong).ravel(),
            "correct": right.ravel(),
            "tokens": rng.integers(80, 120, Q * n),
            "seconds": rng.uniform(1, 2, Q * n),
            "score": (right + rng.standard_normal((Q, n))).ravel(),
        }
    )


def saved(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("route")
    file = saved(samples(), folder / "samples.parquet")
    table = Route(
        samples=file, difficulty=["level"], targets=(9,), pilots=(3,), out=str(folder / "out")
    )()
    return folder / "out", table


def test_a_router_that_is_told_what_is_hard_spares_spend(routed):
    folder, table = routed
    assert list(table) == COLUMNS
    equal = table[(table["matched"] == "accuracy") & (table["target"] == "maj@k @ 9")]
    told = equal[(equal["policy"] == "greedy") & (equal["estimate"] == "given")].iloc[0]
    assert told["spared"] > 0.3
    assert told["spared_low"] > 0.15
    assert told["change_low"] > -0.05
    assert told["estimate_spend"] == 0.0
    first = equal[(equal["policy"] == "greedy") & (equal["estimate"] == "agreement of 3")].iloc[0]
    assert first["accuracy"] > 0.4
    assert first["spend"] >= 3 * 80
    bound = equal[equal["policy"] == "oracle"].iloc[0]
    assert "no policy" in bound["flags"]
    assert set(equal["policy"]) == {
        *("uniform", "early stop", "three tiers", "bins", "greedy", "greedy + stops"),
        *("routed", "oracle"),
    }
    assert "no search was run" in equal[equal["policy"] == "three tiers"]["flags"].iloc[0]
    assert pd.read_parquet(folder / "routes.parquet").shape == table.shape


def test_the_policy_of_a_route_sends_the_hopeless_to_one_pass(routed):
    folder, table = routed
    policy = Policy.load(folder / "policy.json")
    (part,) = policy.parts
    row = table[(table["matched"] == "accuracy") & (table["policy"] == "routed")].iloc[0]
    assert part.expected["spend"]["value"] == row["spend"]
    assert part.expected["saving"]["low"] == row["saving_low"]
    assert part.target == "accuracy of maj@k @ 9"
    assert part.problems == 80
    features = dict(zip(part.calibration.features, part.calibration.centre, strict=True))
    choice = policy.choose({**features, "level": 0})
    assert choice.fallback is None
    assert "unknown" not in str(choice.arm)
    assert "is not one of: math with m" in policy.choose({"task_class": "code"}).fallback


def test_estimates_are_judged_and_priced(routed):
    folder, _ = routed
    found = pd.read_parquet(folder / "difficulty.parquet").set_index("estimate")
    assert found.loc["given", "auc"] > 0.85
    assert found.loc["given", "charged"] == 0.0
    assert found.loc["agreement of 3", "over_one_pass"] == pytest.approx(200, rel=0.05)
    assert found.loc["agreement of 3", "charged"] == 0.0
    bins = pd.read_parquet(folder / "reliability.parquet")
    assert set(bins["estimate"]) == set(found.index)


def test_what_pays_is_said(routed):
    folder, _ = routed
    (row,) = pd.read_parquet(folder / "limits.parquet").to_dict("records")
    assert row["routing_pays"] == "yes"
    assert row["one_pass"] < row["best"] < row["coverage"]
    assert row["left"] == pytest.approx(row["coverage"] - row["best"])


def test_one_pass_is_a_plain_draw_and_not_whatever_is_cheapest(tmp_path):
    rng = np.random.default_rng(0)
    arms = [("forced", 0, 10.0, 0.1), ("single", 1, 100.0, 0.5), ("maj@k", 8, 800.0, 0.5)]
    rows = [
        ("math", f"p{q}", strategy, budget, tokens, float(rng.random() < right))
        for q in range(100)
        for strategy, budget, tokens, right in arms
    ]
    columns = ["task_class", "problem_id", "strategy", "budget", "tokens", "correct"]
    table = pd.DataFrame(rows, columns=columns)
    Route(outcomes=saved(table, tmp_path / "o.parquet"), out=str(tmp_path / "out"))()
    (row,) = pd.read_parquet(tmp_path / "out" / "limits.parquet").to_dict("records")
    assert row["one_pass"] == table[table["strategy"] == "single"]["correct"].mean()
    assert row["pays"] != "yes", "a vote that is no better than a draw does not pay"


def test_the_same_route_twice_is_the_same(tmp_path, routed):
    _, table = routed
    file = saved(samples(), tmp_path / "samples.parquet")
    again = Route(
        samples=file, difficulty=["level"], targets=(9,), pilots=(3,), out=str(tmp_path / "o")
    )()
    pd.testing.assert_frame_equal(again, table)


def test_a_score_that_tells_nothing_saves_nothing(tmp_path):
    file = saved(samples(tells=False).drop(columns="answer"), tmp_path / "s.parquet")
    table = Route(
        samples=file, difficulty=["level"], targets=(8,), pilots=(), scored_by="judge",
        out=str(tmp_path / "o"),
    )()  # fmt: skip
    rows = table[(table["matched"] == "accuracy") & (table["estimate"] == "given")]
    assert (rows["saving_low"] <= 0.0).all()
    assert "best-of-n:judge @ 8" in set(table["target"])


def test_value_latency_and_load_bound_the_policy(tmp_path):
    file = saved(samples(), tmp_path / "s.parquet")
    given = {"samples": file, "difficulty": ["level"], "targets": (9,), "pilots": ()}
    free = Route(**given, value=100.0, price=1e-6, out=str(tmp_path / "a"))()
    dear = Route(**given, value=100.0, price=10.0, out=str(tmp_path / "b"))()
    load = Route(**given, qps=2.0, capacity=400.0, out=str(tmp_path / "c"))()
    fast = Route(**given, value=100.0, price=1e-6, latency=2.5, out=str(tmp_path / "d"))()

    def spend(table):
        rows = table[(table["matched"] == "value") & (table["policy"] == "greedy")]
        return rows.set_index("estimate").loc["given", "spend"]

    assert spend(free) > 300 > spend(dear)
    assert spend(dear) == pytest.approx(100, rel=0.05)
    assert spend(load) <= 220
    assert not fast["arms"].str.contains("adaptive").any()
    assert Policy.load(tmp_path / "a" / "policy.json").parts[0].target == "value and limits"
    slow = Route(**given, value=100.0, price=1e-6, latency=0.5, out=str(tmp_path / "e"))
    with pytest.raises(ValueError, match="latency"):
        slow()


def test_outcomes_of_any_strategies_are_arms(tmp_path):
    rng = np.random.default_rng(0)
    hard = rng.random(200) < 0.5

    def right(q, j):
        return 0.1 if hard[q] else 0.5 + 0.1 * j

    rows = [
        ("code", f"p{q}", "mine", b, 50.0 * b, rng.random() < right(q, j), bool(hard[q]))
        for q in range(200)
        for j, b in enumerate((1, 4, 8, 16))
    ]  # fmt: skip
    columns = ["task_class", "problem_id", "strategy", "budget", "tokens", "correct", "hard"]
    file = saved(pd.DataFrame(rows, columns=columns), tmp_path / "o.parquet")
    table = Route(outcomes=file, difficulty=["hard"], out=str(tmp_path / "out"))()
    assert set(table["target"]) == {"mine @ 8"}
    told = table[(table["policy"] == "greedy") & (table["matched"] == "accuracy")].iloc[0]
    assert told["spared"] > 0.25
    choice = Policy.load(tmp_path / "out" / "policy.json").choose({"hard": 1.0})
    assert choice.arm.name == "mine @ 1"


def test_the_report_of_a_routed_run_has_its_router(tmp_path):
    run = tmp_path / "run"
    file = saved(samples(40), tmp_path / "samples.parquet")
    Fit(samples=file, out=str(run), thirds=False)()
    Route(samples=file, targets=(8,), pilots=(3,), out=str(run))()
    page = Report(run=str(run))().read_text(encoding="utf-8")
    for said in ("Router", "Routing pays", "three tiers", "spend spared", "agreement of 3"):
        assert said in page
    pngs = {path.name for path in (run / "figures").iterdir()}
    assert {"math-reliability.png", "math-policies-maj-k-8.png"} <= pngs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of run, samples and outcomes; found none"),
        ({"run": "a", "axis": "joules"}, "axis 'joules' is unknown; allowed are tokens"),
        ({"run": "a", "calibration": "platt"}, "'logistic' and 'isotonic'"),
        ({"run": "a", "targets": 8}, "targets is 8; give a list"),
        ({"run": "a", "targets": []}, "targets is empty"),
        ({"run": "a", "pilots": [0]}, "pilots is \\[0\\]"),
        ({"run": "a", "difficulty": "level"}, "difficulty is 'level'; give a list"),
        ({"run": "a", "without": ["levels"]}, "without has 'levels'; allowed are prompt, level"),
        ({"run": "a", "value": 0.0}, "value is 0.0; allowed is above 0"),
        ({"run": "a", "qps": 3.0}, "qps and capacity go together"),
    ],
)
def test_a_bad_command_is_refused_when_it_is_made(given, said):
    with pytest.raises(ValueError, match=said):
        Route(**given)


def test_bad_tables_are_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "out"
    whole = samples(20, 4)
    cases = [
        (whole.drop(columns="correct"), {}, "samples have no column 'correct'"),
        (whole.assign(correct=1.5), {}, "correct = 1.5; allowed are 0 to 1"),
        (whole, {"difficulty": ["ease"]}, "difficulty has 'ease', which is no column"),
        (whole, {"targets": (50,)}, "has none of these; its budgets are 1, 2, 3, 4"),
        (whole, {"axis": "dollars"}, "no draw's dollars are known"),
        (samples(5), {}, "5 problems, and a policy needs 10"),
    ]
    for i, (table, given, said) in enumerate(cases):
        file = saved(table, tmp_path / f"{i}.parquet")
        with pytest.raises(ValueError, match=said) as error:
            Route(samples=file, out=str(out), **{"targets": (2,), **given})()
        assert "\n" not in str(error.value)
    assert not out.exists()


def test_lost_draws_are_no_draws_and_blanks_are_not_right():
    table = samples(10, 4).assign(status="ok")
    table["correct"] = table["correct"].astype(float)
    table.loc[0, ["status", "correct"]] = ["error", np.nan]
    table.loc[5, ["status", "correct"]] = ["truncated", np.nan]
    table.loc[9, "tokens"] = np.nan
    ((_, _, pool),) = pools(table, Reading("tokens"))
    assert pool.right.shape == (9, 4)
    assert "p0" not in [name.rpartition("/")[2] for name in pool.problems.index]
    assert pool.answer[0, 1] == -1
    assert pool.right[0, 1] == 0.0
    mine = table[(table["problem_id"] == "p2") & table["tokens"].notna()]["tokens"]
    assert pool.spend[1, 1] == pytest.approx(mine.mean())


def test_a_run_s_judges_score_its_draws_and_are_paid(tmp_path):
    drawn = samples(12, 4).drop(columns="score")
    drawn = drawn.assign(
        key=[f"k{i}" for i in range(len(drawn))], kind="draw", params="{}", of=None, verifier=None,
        completion_tokens=drawn["tokens"],
    ).drop(columns="tokens")  # fmt: skip
    judges = drawn.assign(
        of=drawn["key"], kind="judge", verifier="p_true", score=0.7, completion_tokens=3,
        correct=None, answer=None, key=[f"j{i}" for i in range(len(drawn))],
    )  # fmt: skip
    ((_, _, pool),) = pools(pd.concat([drawn, judges], ignore_index=True), Reading("tokens"))
    assert (pool.scores["p_true"] == 0.7).all()
    assert (pool.judging["p_true"] == 3.0).all()


def test_the_command_reads_its_config(tmp_path):
    import subprocess
    import sys

    file = saved(samples(30, 6), tmp_path / "s.parquet")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "tsbench.cli", "route", f"samples={file}", "targets=[4]",
         "pilots=[]", "difficulty=[level]", f"out={out}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "policies at the accuracy of maj@k @ 4" in done.stdout
    assert json.loads((out / "policy.json").read_text())["axis"] == "tokens"


def test_votes_that_stop_early_on_real_logs(tmp_path, shared_data):
    file = shared_data("outcomes/best_of_infinity_part/gpqa_diamond.parquet")
    table = Route(
        samples=str(file), columns={"query_id": "problem_id", "sample": "index"},
        constants={"task_class": "gpqa"}, targets=(8,), pilots=(2,), blank="vote",
        out=str(tmp_path / "out"),
    )()  # fmt: skip
    stop = table[(table["policy"] == "early stop") & (table["matched"] == "accuracy")].iloc[0]
    assert stop["n_problems"] == 198
    assert stop["spared_low"] > 0.1
    assert stop["change_low"] > -0.02
