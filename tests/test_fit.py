import numpy as np
import pandas as pd
import pytest

from tsbench.fit import Fit


def outcomes(problems=30):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            ("math", f"p{q}", "think", budget, 20.0 * budget, rng.uniform() < 0.4 + 0.05 * j)
            for q in range(problems)
            for j, budget in enumerate((1, 2, 4, 8))
        ],
        columns=["task_class", "problem_id", "strategy", "budget", "tokens", "correct"],
    )


def samples(problems=20, draws=6):
    rng = np.random.default_rng(1)
    right = rng.uniform(size=problems * draws) < 0.6
    return pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": np.repeat(np.arange(problems), draws),
            "answer": np.where(right, "7", "8"),
            "correct": right,
        }
    )


def saved(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    return str(path)


def test_a_run_folder_gets_its_curves_and_knees(tmp_path, capsys):
    run = tmp_path / "a"
    table = outcomes()
    saved(table[table["budget"] < 4], run / "outcomes" / "part-0.parquet")
    saved(table[table["budget"] >= 4], run / "outcomes" / "part-1.parquet")
    found = Fit(run=str(run))()
    pd.testing.assert_frame_equal(pd.read_parquet(run / "knees.parquet"), found)
    curves = pd.read_parquet(run / "curves.parquet")
    assert curves["budget"].tolist() == [1, 2, 4, 8]
    assert set(found["strategy"]) == {"think", "frontier"}
    printed = capsys.readouterr().out
    assert "Knees" in printed
    assert found["verdict"].iloc[0].split()[0] in printed


def test_a_samples_file_of_other_names_gets_votes_and_coverage(tmp_path):
    theirs = samples().rename(columns={"correct": "is_right", "problem_id": "query"})
    file = saved(theirs, tmp_path / "theirs.parquet")
    out = tmp_path / "out"
    found = Fit(
        samples=file, columns={"is_right": "correct", "query": "problem_id"}, out=str(out)
    )()
    assert set(found["strategy"]) == {"maj@k", "pass@k", "frontier"}
    assert set(found["axis"]) == {"asks"}
    first = pd.read_parquet(out / "curves.parquet").query("budget == 1")
    assert first["accuracy"].tolist() == pytest.approx([samples()["correct"].mean()] * 2)


def test_the_same_fit_twice_is_the_same(tmp_path):
    file = saved(outcomes(), tmp_path / "o.parquet")
    one, two = (Fit(outcomes=file, out=str(tmp_path / name))() for name in "ab")
    pd.testing.assert_frame_equal(one, two)


def test_a_larger_delta_moves_the_knee_down(tmp_path):
    file = saved(outcomes(300), tmp_path / "o.parquet")
    lazy = Fit(outcomes=file, out=str(tmp_path / "a"), delta=0.2)()
    assert lazy["knee_budget"].iloc[0] == 1
    assert lazy["rule"].iloc[0] == "delta=0.2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of run, samples and outcomes; found none"),
        ({"run": "a", "samples": "b"}, "found run, samples"),
        ({"run": "a", "delta": 1.0}, "delta is 1.0; allowed is 0 to below 1"),
        ({"run": "a", "blank": "wrong"}, "'drop' and 'vote'"),
    ],
)
def test_a_bad_command_is_refused_when_it_is_made(given, said):
    with pytest.raises(ValueError, match=said):
        Fit(**given)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (outcomes().drop(columns="budget"), "outcomes have no column 'budget'; found task_class"),
        (outcomes().iloc[:0], "outcomes have no row"),
        (outcomes().drop(columns="tokens"), "outcomes have no known spend; one of tokens"),
        (outcomes().assign(tokens=np.nan), "outcomes have no known spend"),
        (
            outcomes().assign(correct=1.5),
            "row 0 has correct = 1.5; allowed are 0 to 1 and null",
        ),
        (pd.concat([outcomes(), outcomes().iloc[:1]]), "row 120 repeats .*problem_id = 'p0'"),
    ],
)
def test_bad_outcomes_are_refused_before_anything_is_written(tmp_path, table, said):
    file = saved(table, tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=said) as error:
        Fit(outcomes=file, out=str(tmp_path / "out"))()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_absent_files_and_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="outcomes is not there"):
        Fit(run=str(tmp_path / "none"))()
    (tmp_path / "empty" / "outcomes").mkdir(parents=True)
    with pytest.raises(ValueError, match="has no parquet file"):
        Fit(run=str(tmp_path / "empty"))()
    file = saved(samples(), tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="columns renames 'is_right', which the file has not"):
        Fit(samples=file, columns={"is_right": "correct"})()
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(ValueError, match="is not a parquet file that can be read"):
        Fit(samples=str(tmp_path / "text.parquet"))()


def test_a_run_s_samples_give_its_thirds_where_no_level_is_declared(tmp_path):
    run = tmp_path / "a"
    saved(outcomes(), run / "outcomes" / "part-0.parquet")
    saved(samples(draws=14), run / "samples" / "part-0.parquet")
    found = Fit(run=str(run), axes=["tokens", "asks"])()
    thirds = found[found["stratum"].str.endswith("third")]
    assert set(thirds["strategy"]) == {"pass@k", "maj@k", "frontier"}
    assert set(found[found["stratum"] == "all"]["strategy"]) == {"think", "frontier"}
    whole = Fit(run=str(run), thirds=False)()
    assert set(whole["stratum"]) == {"all"}


def test_unequal_numbers_of_draws_are_said(tmp_path, capsys):
    table = samples(draws=6).drop(index=0)
    Fit(samples=saved(table, tmp_path / "s.parquet"), out=str(tmp_path / "out"))()
    printed = " ".join(capsys.readouterr().out.split())
    assert "math, unknown: 6 to 6 draws a problem" not in printed
    extra = pd.concat([samples(draws=6), samples(draws=7).iloc[6:7]])
    Fit(samples=saved(extra, tmp_path / "t.parquet"), out=str(tmp_path / "out"))()
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "math, unknown: 6 to 7 draws a problem; each problem counts once, and k goes to 6."
        in printed
    )


def test_scores_add_best_of_n_and_the_weighted_vote(tmp_path):
    table = samples()
    table["reward"] = np.where(table["correct"], 0.9, 0.2)
    file = saved(table, tmp_path / "s.parquet")
    found = Fit(
        samples=file,
        columns={"reward": "score"},
        scored_by="reward",
        out=str(tmp_path / "out"),
    )()
    names = {"best-of-n:reward", "weighted-best-of-n:reward"}
    assert names < set(found["strategy"])
    curve = pd.read_parquet(tmp_path / "out" / "curves.parquet").set_index(["strategy", "budget"])
    oracle = curve.loc["pass@k", "accuracy"].tolist()
    assert curve.loc["best-of-n:reward", "accuracy"].tolist() == pytest.approx(oracle)


def test_flips_are_written_for_runs_that_are_right_or_wrong(tmp_path):
    run = tmp_path / "a"
    saved(outcomes(), run / "outcomes" / "part-0.parquet")
    Fit(run=str(run))()
    flipped = pd.read_parquet(run / "flips.parquet")
    assert flipped["before"].tolist()[:3] == [1, 2, 4]
    assert (flipped["n"] == 30).all()


def test_a_table_of_an_earlier_fit_does_not_outlive_it(tmp_path):
    out = tmp_path / "a"
    saved(pd.DataFrame({"verifier": ["gone"]}), out / "verifiers.parquet")
    Fit(outcomes=saved(outcomes(), tmp_path / "o.parquet"), out=str(out))()
    assert not (out / "verifiers.parquet").exists()
    assert (out / "flips.parquet").exists()


def test_ignored_thinking_budgets_are_said_and_written(tmp_path, capsys):
    run = tmp_path / "a"
    table = outcomes().assign(strategy="forced", thinking_tokens=50.0)
    saved(table, run / "outcomes" / "part-0.parquet")
    found = Fit(run=str(run))()
    printed = " ".join(capsys.readouterr().out.split())
    said = "the thinking budgets made no difference to what was spent"
    assert f"math, unknown, forced: {said}." in printed
    asked = pd.read_parquet(run / "compliance.parquet")
    assert asked["bound"].tolist() == ["no"] * 4
    assert asked["ratio"].tolist() == [50.0, 25.0, 12.5, 6.25]
    assert found["flags"].str.contains(said).all()


def test_bad_thinking_tokens_are_refused_before_anything_is_written(tmp_path):
    file = saved(outcomes().assign(thinking_tokens=-1.0), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="thinking_tokens of 'think' is -1 for problem 'p0'"):
        Fit(outcomes=file, out=str(tmp_path / "out"))()
    assert not (tmp_path / "out").exists()
