"""Open-ended replies are graded by a judge model, whose cost is no strategy's."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from endpoint import Endpoint, serve

from tsbench.cli import main
from tsbench.store import read_samples

Tsbench = Callable[..., tuple[int, str, str]]
QUESTIONS = 6


def writes(prompt: str, rng: random.Random) -> str:
    """Write a reply whose worth is in it, for the judge to see."""
    return f"A reply worth {rng.randint(0, 9)}."


def worth(text: str) -> int:
    return int(text.split("worth ")[1][0])


def compares(prompt: str, rng: random.Random) -> str:
    """Judge two replies by their worth, or mark one by it."""
    if "[Answer A]" not in prompt:
        return f"{1 + worth(prompt)}"
    a, b = (worth(part) for part in re.findall(r"\[Answer [AB]\]\n(.*)", prompt))
    return "tie" if a == b else "A" if a > b else "B"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(writes)) as served:
        yield served


@pytest.fixture
def judge() -> Iterator[Endpoint]:
    with serve(Endpoint(compares)) as served:
        yield served


@pytest.fixture
def tsbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tsbench:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "question_id": i,
            "category": "writing",
            "turns": [f"Write of {i}."],
            "gpt4_reference": ref,
        }
        for i, ref in enumerate([["Reference worth 9."], *[None] * (QUESTIONS - 1)])
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tsbench", *words])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


def words(endpoint: Endpoint, judge: Endpoint, kind: str, *more: str) -> list[str]:
    return [
        *("sweep", "task=mt_bench", "task.path=questions.jsonl", "task.max_tokens=64"),
        *("model=openai", f"model.base_url={endpoint.base_url}", "model.name=m"),
        *("strategy=coverage", "strategy.k=4", "run=run", "jobs=1"),
        *(f"judge={kind}", f"judge.model.base_url={judge.base_url}", "judge.model.name=m"),
        *more,
    ]


def kinds(samples: pd.DataFrame) -> dict[str, int]:
    return samples["kind"].value_counts().to_dict()


def test_a_reply_s_grade_is_its_share_of_wins_over_the_baseline_s(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    code, _, err = tsbench(*words(endpoint, judge, "pairwise"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    assert kinds(samples) == {"draw": 24, "grade": 48, "baseline": 6}
    against = samples[samples["kind"] == "baseline"].set_index("problem_id")["text"].map(worth)
    draws = samples[samples["kind"] == "draw"]
    mine, theirs = draws["text"].map(worth), draws["problem_id"].map(against)
    assert draws["correct"].tolist() == [
        0.5 if a == b else float(a > b) for a, b in zip(mine, theirs, strict=True)
    ]
    assert endpoint.requests == 30
    assert judge.requests == 48
    assert max(judge.asked.values()) == 1

    code, _, err = tsbench(*words(endpoint, judge, "pairwise"))
    assert code == 0, err
    assert (endpoint.requests, judge.requests) == (30, 48), "nothing is asked twice"


def test_a_mark_is_a_share_of_its_range_and_the_reference_is_shown_where_there_is_one(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    code, _, err = tsbench(*words(endpoint, judge, "rubric", "judge.repeats=2"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    assert kinds(samples) == {"draw": 24, "grade": 48}
    shown = [json.loads(body)["messages"][-1]["content"] for body in judge.asked]
    assert sum("[Reference answer]" in prompt for prompt in shown) == 8
