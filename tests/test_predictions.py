"""A policy is learnt from one run, runs on problems it has not seen, and is held to its word."""

import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from endpoint import Endpoint, serve

from tsbench.cli import main
from tsbench.policy import Policy, digest
from tsbench.predictions import predictions
from tsbench.report import Report


class Uneven:
    """Says what "A + B" makes: nearly always right where A is odd, else one time in two.

    What it says the n-th time is the same whenever the test runs, whatever port it has.
    """

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def __call__(self, prompt: str, rng: random.Random) -> str:
        asked = prompt.split("What is ")[-1].split("?")[0]
        self.times[asked] += 1
        return said(asked, random.Random(f"{asked} {self.times[asked]}"))


def said(asked: str, rng: random.Random) -> str:
    a, b = (int(part) for part in asked.split(" + "))
    wrong = rng.random() > (0.97 if a % 2 else 0.5)
    return f"The answer is {a + b + wrong * rng.randint(1, 9)}."


def sums(path: Path, first: int, count: int) -> str:
    rows = [
        {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
        for i in range(first, first + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def tsbench(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tsbench", *words])
    main()


def test_a_routed_run_does_what_its_policy_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = sums(tmp_path / "a.jsonl", 0, 120), sums(tmp_path / "b.jsonl", 200, 120)
    with serve(Endpoint(Uneven())) as endpoint:

        def sweep(run: str, rows: str, *strategy: str) -> None:
            model = (f"model.base_url={endpoint.base_url}", "model.name=m", "model=openai")
            task = (f"task.path={rows}", "task.task_class=math", "task=jsonl")
            tsbench(
                monkeypatch,
                "sweep",
                *task,
                *model,
                f"run={run}",
                "jobs=1",
                "model.slots=1",
                *strategy,
            )

        sweep("first", old, "strategy=majority", "strategy.k=8", "analyse=false")
        tsbench(monkeypatch, "route", "run=first", "targets=[8]", "pilots=[2]")
        policy = Policy.load("first/policy.json")
        (part,) = policy.parts
        assert part.expected["spared"]["value"] > 0.2
        sweep("second", new, "strategy=majority", "strategy.k=8", "analyse=false")
        before = endpoint.requests
        sweep("second", new, "strategy=routed", "strategy.policy=first/policy.json")
        assert endpoint.requests < before + 120 * 8
    prompts = pd.read_parquet("second/problems.parquet").set_index("problem_id")["prompt"]
    assert "What is 200 + 203?" in prompts["q200"]
    found = pd.read_parquet("second/predictions.parquet").set_index("figure")
    assert set(found.index) == {"accuracy", "spend", "change", "spared"}
    assert (found["n_seen"] == 0).all()
    assert (found["n_problems"] == 120).all()
    assert found.loc["spend", "agrees"] == "yes"
    assert found.loc["accuracy", "agrees"] == "yes"
    assert found.loc["spared", "measured"] > 0.2
    page = Report(run="second")().read_text(encoding="utf-8")
    assert "The policy run live on 120 problems" in page


def rows(strategy, budget, correct, tokens, problems=40):
    return pd.DataFrame(
        {
            "task_class": "math",
            "model": "m",
            "task": "t",
            "problem_id": [f"p{i}" for i in range(problems)],
            "strategy": strategy,
            "budget": budget,
            "correct": correct,
            "tokens": tokens,
        }
    )


def manifest(**changes):
    expected = {
        "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9},
        "spend": {"value": 50.0, "low": 45.0, "high": 55.0},
        "change": {"value": 0.0, "low": -0.05, "high": 0.05},
        "spared": {"value": 0.5, "low": 0.4, "high": 0.6},
    }
    part = {
        "task_class": "math",
        "expected": expected,
        "baseline": {"strategy": "maj@k", "budget": 8},
        "seen": [],
        **changes,
    }
    loaded = {"axis": "tokens", "parts": [part]}
    return {"jobs": {"x": {"strategy": {"class": "Routed", "loaded": loaded}}}}


def test_a_promise_that_is_not_kept_is_said():
    rng = np.random.default_rng(0)
    right = (rng.random(40) < 0.3).astype(float)
    table = pd.concat([rows("routed", 8, right, 90.0), rows("maj@k", 8, right, 100.0)])
    found = predictions(table, manifest()).set_index("figure")
    assert found.loc["accuracy", "agrees"] == "no"
    assert found.loc["spend", "agrees"] == "no"
    assert found.loc["spared", "measured"] == pytest.approx(0.1)
    assert found.loc["change", "measured"] == 0.0
    assert found.loc["change", "against"] == "maj@k @ 8"


def test_problems_that_were_learnt_from_are_counted():
    table = rows("routed", 8, 1.0, 50.0)
    found = predictions(table, manifest(seen=[digest("t", "p3"), digest("t", "q")]))
    assert (found["n_seen"] == 1).all()
    assert found["flags"].str.contains("1 problems are among those").all()
    assert set(found["figure"]) == {"accuracy", "spend"}


def test_a_run_without_a_policy_has_no_predictions():
    assert predictions(rows("maj@k", 8, 1.0, 5.0), {}).empty
    assert predictions(rows("maj@k", 8, 1.0, 5.0), manifest()).empty
