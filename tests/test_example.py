"""The recorded run is what it says: real replies, consistent tables, small."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tsbench.fit import Fit
from tsbench.outcomes import outcomes_from_samples
from tsbench.report import Report
from tsbench.store import read_samples

RUN = Path(__file__).parents[1] / "runs" / "example"


def test_is_small() -> None:
    assert sum(path.stat().st_size for path in RUN.rglob("*") if path.is_file()) < 2_000_000


def test_every_class_rises_from_a_single_pass() -> None:
    curves = pd.read_parquet(RUN / "curves.parquet").query("stratum == 'all'")
    for _, rows in curves[curves["strategy"] == "pass@k"].groupby("task_class"):
        first, last = rows.sort_values("budget")["accuracy"].iloc[[0, -1]]
        assert 0.1 < first < 0.8
        assert last > first + 0.1
    assert curves["task_class"].nunique() == 3


def test_the_logged_samples_give_the_logged_outcomes() -> None:
    samples = read_samples(RUN)
    assert samples["key"].is_unique
    plain = samples[samples["thinking_kind"].eq("none") & samples["task"].eq("math")]
    again = outcomes_from_samples(plain).query("strategy == 'maj@k'")
    logged = pd.concat(map(pd.read_parquet, (RUN / "outcomes").glob("part-math*maj_k.parquet")))
    keys = ["problem_id", "budget"]
    both = again.merge(logged, on=keys)
    assert len(both) == len(again) == len(logged) > 0
    assert both["correct_x"].to_numpy() == pytest.approx(both["correct_y"].to_numpy())


def test_what_forced_runs_spent_is_in_the_log() -> None:
    samples = read_samples(RUN)
    forced = samples[samples["thinking_kind"] == "forced"]
    outcomes = pd.concat(map(pd.read_parquet, (RUN / "outcomes").glob("*forced.parquet")))
    direct = outcomes[outcomes["budget"] == 0]
    answers = forced[forced["thinking_budget"] == 0]
    assert direct["tokens"].sum() == answers["completion_tokens"].sum()


def test_a_fit_says_what_the_recorded_verifiers_are_worth(tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(RUN, again)
    Fit(run=str(again))()
    found = pd.read_parquet(again / "verifiers.parquet").set_index(["task_class", "verifier"])
    tests, logprob = found.loc[("code", "public_tests")], found.loc[("code", "logprob")]
    assert tests["auc_within"] > logprob["auc_within"] > 0.5
    curves = pd.read_parquet(again / "curves.parquet")
    best = curves[(curves["strategy"] == "best-of-n:public_tests") & (curves["stratum"] == "all")]
    assert tests["reached"] == pytest.approx(best["accuracy"].iloc[-1])
    page = Report(run=str(again))().read_text(encoding="utf-8")
    assert "within problems" in page
    assert page.count("At equal spend, on the same problems") == 3
    assert "best-of-n by P(True)" in page[page.index("At equal budget") :]
    assert (again / "figures" / "code-verifiers.png").is_file()
