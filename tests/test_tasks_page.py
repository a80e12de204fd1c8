"""The how-to page makes a task of a user's own CSV in the words that it says."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from endpoint import Endpoint, serve
from hydra import compose, initialize_config_dir

from tsbench.cli import CONF
from tsbench.store import read_samples
from tsbench.tasks.graders import GRADERS

PAGE = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima"}

Tsbench = Callable[..., tuple[int, str, str]]


OWN, _, JUDGING = PAGE.partition("## Judging")


def block(language: str, part: str = OWN) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)
    return str(found)


def knows_two_capitals(prompt: str, rng: random.Random) -> str:
    """Answer a question in the page's own words; Lima and Nairobi are not known."""
    asked = re.fullmatch(
        r"What is the capital of (\w+)\?\nAnswer with the name alone\.", prompt.strip()
    )
    assert asked is not None, prompt
    return {"France": "Paris.", "Japan": " tokyo"}.get(asked[1], "Timbuktu")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(knows_two_capitals)) as served:
        yield served


@pytest.fixture
def tsbench(tsbench: Tsbench, tmp_path: Path) -> Tsbench:
    """Save the page's files, and run a command beside them."""
    (tmp_path / "capitals.csv").write_text(block("csv"))
    folder = tmp_path / "mine" / "task"
    folder.mkdir(parents=True)
    (folder / "capitals.yaml").write_text(block("yaml"))
    return tsbench


def model(endpoint: Endpoint) -> list[str]:
    return ["model=openai", f"model.base_url={endpoint.base_url}", "model.name=m", "jobs=1"]


def test_six_lines_make_a_task_of_a_csv(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    assert len(block("yaml").strip().splitlines()) == 6
    words = block("bash").split()
    assert words[:2] == ["tsbench", "sweep"]
    code, _, err = tsbench(*words[1:], *model(endpoint), "strategy.k=2", "analyse=false")
    assert code == 0, err
    samples = read_samples(tmp_path / "runs" / "capitals")
    assert set(samples["problem_id"]) == {"1", "2", "3", "4"}
    assert set(samples["task_class"]) == {"geography"}
    assert set(samples["task"]) == {"capitals"}
    right = samples.groupby("problem_id")["correct"].mean().to_dict()
    assert right == {"1": 1.0, "2": 1.0, "3": 0.0, "4": 0.0}
    assert dict(zip(samples["problem_id"], samples["stratum"], strict=True))["4"] == "South America"
    outcomes = pd.concat(map(pd.read_parquet, (tmp_path / "runs/capitals/outcomes").glob("*")))
    assert set(outcomes["budget"]) == {1, 2}


def test_the_page_s_task_is_listed(tsbench: Tsbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    listed = ["hydra.searchpath=[file://mine]", "paths={capitals: capitals.csv}"]
    code, said, err = tsbench("tasks", *listed)
    assert code == 0, err
    (line,) = [line for line in said.splitlines() if line.startswith("capitals ")]
    assert line.split()[:4] == ["capitals", "geography", "4", "exact"]


def test_parquet_json_and_gzip_make_the_same_task(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    table = pd.read_csv(tmp_path / "capitals.csv")
    table.to_parquet(tmp_path / "capitals.parquet")
    table.to_csv(tmp_path / "capitals.csv.gz", index=False)
    table.to_json(tmp_path / "capitals.jsonl", orient="records", lines=True)
    (tmp_path / "capitals.json").write_text(json.dumps(table.to_dict("records")))
    command = block("bash").split()[1:]
    for name in ("capitals.parquet", "capitals.csv.gz", "capitals.jsonl", "capitals.json"):
        words = [w.replace("capitals.csv", name) for w in command]
        code, _, err = tsbench(
            *words, *model(endpoint), "strategy.k=2", "analyse=false", f"run={name}.run"
        )
        assert code == 0, err
        samples = read_samples(tmp_path / f"{name}.run")
        assert set(samples["problem_id"]) == {"1", "2", "3", "4"}
        assert samples["correct"].sum() == 4.0


def test_a_worked_example_and_a_system_prompt_are_earlier_turns(
    tsbench: Tsbench, tmp_path: Path
) -> None:
    seen = []

    class Listening(Endpoint):
        def reply(self, path, body):  # type: ignore[no-untyped-def]
            seen.append([(m["role"], m["content"]) for m in body["messages"]])
            return super().reply(path, body)

    with serve(Listening(lambda prompt, rng: "Paris")) as endpoint:
        words = [
            *block("bash").split()[1:],
            *model(endpoint),
            "strategy.k=2",
            "analyse=false",
            "limit=1",
            "task.prompt.system=Be brief.",
            "task.prompt.examples=[{country: Chad, answer: Ndjamena}]",
        ]
        code, _, err = tsbench(*words)
    assert code == 0, err
    asked = "What is the capital of Chad?\nAnswer with the name alone."
    assert seen[0][:3] == [("system", "Be brief."), ("user", asked), ("assistant", "Ndjamena")]
    assert seen[0][3][0] == "user"


def test_the_page_s_essays_are_judged(tsbench: Tsbench, tmp_path: Path) -> None:
    rows = [{"question_id": i, "category": "writing", "turns": [f"Write {i}."]} for i in range(3)]
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serve(Endpoint(lambda prompt, rng: rng.choice(("A", "B", "tie")))) as endpoint:
        address = endpoint.base_url.removeprefix("http://").removesuffix("/v1")
        command = block("bash", JUDGING).replace("HOST:PORT", address).replace("NAME", "m")
        code, _, err = tsbench(*command.split()[1:], *model(endpoint))
    assert code == 0, err
    samples = read_samples(tmp_path / "runs" / "essays")
    assert samples["kind"].value_counts().to_dict() == {
        "draw": 12, "judge": 12, "grade": 12 * 2 * 2, "baseline": 3,
    }  # fmt: skip
    assert (tmp_path / "runs" / "essays" / "judgements.parquet").exists()


def test_the_page_s_keys_of_a_judge_are_there() -> None:
    keys = re.findall(r"^\| `judge\.(\w+)=", JUDGING, re.MULTILINE)
    files = [(CONF / "judge" / f"{name}.yaml").read_text() for name in ("pairwise", "rubric")]
    assert {"baseline", "repeats", "instruction", "lead"} == set(keys)
    assert all(any(f"\n{key}:" in text for text in files) for key in keys)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for override in re.findall(r"^\| `(model@judge\S+)`", JUDGING, re.MULTILINE):
            assert compose("sweep", ["judge=rubric", override]).judge.model.wheel


def test_the_page_names_every_grader_and_task() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Graders")[2], re.MULTILINE)
    assert set(named) == set(GRADERS)
    conf = Path(__file__).parents[1] / "conf" / "task"
    for file in conf.glob("*.yaml"):
        if "path: ???" not in file.read_text() and "n_items" not in file.read_text():
            assert file.stem in ("suite", "open_ended") or f"`{file.stem}`" in PAGE
