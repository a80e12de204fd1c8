"""A key comes from the environment, and goes to its endpoint and nowhere else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from aiohttp import web
from endpoint import FAULTS, Endpoint, serve

from tsbench.grading import graded
from tsbench.keys import hidden, no_keys, without_keys
from tsbench.models.openai import OpenAI
from tsbench.sandbox.engine import Bare
from tsbench.tasks.benchmark import Benchmark
from tsbench.tasks.grader import Plain, Row
from tsbench.tasks.prompt import Prompt
from tsbench.types import Grade, Item, Message, Problem

KEY = "sk-planted-5b1f0c9d7e"


class Echo(Endpoint):
    """Repeats the key that it is shown: in errors, in garbage, in a name, and in every reply."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "none")
        self.answer = lambda prompt, rng: f"You are {shown}. The answer is {rng.choice('78')}."
        self.model = f"m of {shown}" if self.requests % 3 == 0 else "m"
        return await super().handle(request)


async def said_back(endpoint: Endpoint, request: web.Request, body: Any) -> web.StreamResponse:
    shown = request.headers["Authorization"]
    code = random.Random(len(endpoint.headers)).choice([200, 400, 401, 500])
    return web.json_response({"error": {"message": f"who is {shown}?"}}, status=code)


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(FAULTS, "said back", said_back)
    with serve(Echo(fault="said back", rate=0.4)) as endpoint:
        yield endpoint


def test_a_planted_key_is_found_nowhere(echo: Endpoint, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"id": f"q{i}", "prompt": f"What is {i}?", "target": "7"}) + "\n"
            for i in range(6)
        )
    )
    words = [
        *("sweep", "task=jsonl", f"task.path={rows}", "task.task_class=math", "jobs=1"),
        *("model=openai", f"model.base_url={echo.base_url}", "model.name=m", "model.patience=5"),
        *("strategy=majority", "strategy.k=8", "run=run"),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "tsbench.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_LOG": "debug"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    shown = {headers["Authorization"] for headers in echo.headers}
    assert shown == {f"Bearer {KEY}"}, "the endpoint was shown the key"
    assert KEY not in ran.stdout + ran.stderr
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".parquet", ".json", ".html"}
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":
            assert KEY not in pd.read_parquet(path).to_json(), path
    samples = pd.concat(map(pd.read_parquet, (tmp_path / "run" / "samples").glob("*.parquet")))
    assert samples["reason"].str.contains(r"who is Bearer \[key\]\?").any(), "an error named it"
    assert samples["text"].str.contains(r"You are Bearer \[key\]\.").any(), "a reply named it"
    assert samples["served_model"].str.contains(r"\[key\]").any(), "a name had it"


@dataclass(frozen=True)
class Nosy(Plain):
    """Reads a variable of its process's environment, as it is now and as it began."""

    seconds: ClassVar[float] = 20.0

    def target(self, row: Row) -> str:
        return str(row["target"])

    def answer(self, problem: Problem, text: str) -> str | None:
        return text

    def grade(self, target: str, answer: str) -> Grade:
        began = Path(f"/proc/{os.getppid()}/environ").read_bytes()
        known = answer in os.environ or answer.encode() in began
        return Grade(float(known), reason=f"{len(os.environ)} variables")


def test_processes_that_grade_have_no_key(tmp_path: Path) -> None:
    """In a process of its own, so that the server that it forks from is a new one."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, test_secrets as t\n"
        "found = [g.grade.correct for g in t.grades(['PATH', 'TSBENCH_NOSY_KEY'])]\n"
        "print(found, os.environ['TSBENCH_NOSY_KEY'])\n"
    )
    env = {**os.environ, "TSBENCH_NOSY_KEY": KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True)
    assert ran.stdout.strip() == f"[1.0, 0.0] {KEY}", ran.stderr


def grades(names: list[str]) -> list[Any]:
    problem = Problem("p", "nosy", "math", (Message("user", "?"),))
    task = Benchmark("nosy", "rows.jsonl", "quiz", Prompt("{prompt}"), grader=Nosy())
    return list(graded(task, [(Item(problem, "x"), name) for name in names], 1))


def test_a_candidate_without_a_sandbox_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    guest = Bare().start()
    until, began = time.monotonic() + 10.0, b""
    while not began and time.monotonic() < until:  # it is empty while the program is loaded
        began = Path(f"/proc/{guest.pid}/environ").read_bytes()
    guest.kill()
    guest.communicate()
    assert KEY.encode() not in began
    assert b"PATH=" in began


def test_only_secrets_are_taken_out_of_an_environment() -> None:
    environ = {"PATH": "/bin", "OPENAI_API_KEY": "a", "HF_TOKEN": "b", "MY_SECRET": "c", "A": "KEY"}
    assert without_keys(environ) == {"PATH": "/bin", "A": "KEY"}


def test_keys_are_back_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with no_keys():
        assert "OPENAI_API_KEY" not in os.environ
    assert os.environ["OPENAI_API_KEY"] == KEY


def test_what_guards_nothing_is_no_secret() -> None:
    assert hidden("EMPTY words", "EMPTY") == "EMPTY words"
    assert hidden(f"a {KEY}{KEY}", KEY) == "a [key][key]"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_key_env": KEY}, "must be the name of an environment variable"),
        ({"api_key_env": "PLAIN_NAME"}, "with KEY, TOKEN, SECRET"),
        ({"base_url": f"http://user:{KEY}@127.0.0.1:1/v1"}, "no user, password or query"),
        ({"base_url": f"http://127.0.0.1:1/v1?key={KEY}"}, "no user, password or query"),
    ],
)
def test_a_key_in_a_config_is_refused_and_not_repeated(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        OpenAI(**{"base_url": "http://127.0.0.1:1/v1", "name": "m", **given})  # type: ignore[arg-type]
    assert KEY not in str(refused.value)
