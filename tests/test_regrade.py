"""A run folder is graded anew without a model, and its outcomes follow."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from endpoint import Endpoint, serve, sometimes_right

from tsbench import manifest
from tsbench.recipe import made, recipe
from tsbench.store import read_samples
from tsbench.tasks.benchmark import Benchmark
from tsbench.tasks.code import Code
from tsbench.tasks.number import Number
from tsbench.tasks.prompt import Prompt

Tsbench = Callable[..., tuple[int, str, str]]


def says(prompt: str, rng: random.Random) -> str:
    """Answer a sum, wrong at times; when asked to think again, say what a sum may make."""
    if "What is" in prompt:
        return sometimes_right(prompt, rng)
    return f"The answer is {rng.choice((3, 5))}."


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(says)) as served:
        yield served


def write(path: Path, wrong: int) -> None:
    """Write sums, of which the first `wrong` have a reference that is 100 too large."""
    rows = [
        {
            "id": f"q{i}",
            "prompt": f"What is {i} + {i + 3}?",
            "target": 2 * i + 3 + 100 * (i < wrong),
        }
        for i in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sweep(tsbench: Tsbench, endpoint: Endpoint, *more: str) -> None:
    code, _, err = tsbench(
        "sweep",
        *("task=jsonl", "task.path=sums.jsonl", "task.task_class=math", "task.max_tokens=64"),
        *("model=openai", f"model.base_url={endpoint.base_url}", "model.name=m"),
        *("run=run", "jobs=1", "analyse=false", "replicates=1", *more),
    )
    assert code == 0, err


def whole(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the replies that are graded."""
    return samples[(samples["kind"] == "draw") & ~samples["partial"]]


def outcomes(tmp_path: Path, strategy: str) -> pd.DataFrame:
    (path,) = (tmp_path / "run" / "outcomes").glob(f"*-{strategy}.parquet")
    return pd.read_parquet(path).set_index("problem_id")


@pytest.fixture
def swept(tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path) -> Path:
    """Sweep, with two references that are wrong, a strategy over a pool and one that is not."""
    write(tmp_path / "sums.jsonl", wrong=2)
    sweep(tsbench, endpoint, "strategy=majority", "strategy.k=4")
    sweep(tsbench, endpoint, "strategy=revise")
    return tmp_path / "run"


def test_a_folder_is_graded_anew_as_its_manifest_says(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path, swept: Path
) -> None:
    asked = endpoint.requests
    before, revised = read_samples(swept), outcomes(tmp_path, "revise")
    code, said, err = tsbench("regrade", "run=run", "jobs=1", "analyse=false")
    assert (code, err) == (0, "")
    assert f"jsonl: {len(whole(before))} replies graded; none changed" in said
    assert endpoint.requests == asked
    pd.testing.assert_frame_equal(read_samples(swept), before)
    pd.testing.assert_frame_equal(outcomes(tmp_path, "revise"), revised)


def test_a_mended_reference_changes_grades_outcomes_and_the_fit(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path, swept: Path
) -> None:
    asked = endpoint.requests
    before = whole(read_samples(swept)).set_index("key")
    voted, revised = outcomes(tmp_path, "maj_k"), outcomes(tmp_path, "revise")
    assert voted.loc[["q0", "q1"], "correct"].max() == 0.0
    write(tmp_path / "sums.jsonl", wrong=0)
    code, said, err = tsbench("regrade", "run=run", "jobs=1")
    assert (code, err) == (0, "")
    assert endpoint.requests == asked
    after = whole(read_samples(swept)).set_index("key")
    mended = after["problem_id"].isin(["q0", "q1"])
    right = after["answer"].astype(float) == after["problem_id"].str[1:].astype(int) * 2 + 3
    assert (after["correct"] == right).all()
    moved = int((mended & right).sum())
    assert 0 < moved < int(mended.sum())
    assert f"jsonl: {len(after)} replies graded; {moved} wrong to right" in said
    assert (after["correct"] != before["correct"]).sum() == moved
    again = outcomes(tmp_path, "maj_k")
    single = again[again["budget"] == 1]["correct"]
    pool = after[(after["index"] < 4) & ~after["params"].str.contains("turns")]
    assert single.to_dict() == pytest.approx(pool.groupby("problem_id")["correct"].mean().to_dict())
    now = outcomes(tmp_path, "revise")
    assert now["picked"].tolist() == revised["picked"].tolist()
    assert now["correct"].tolist() == after.loc[now["picked"], "correct"].tolist()
    assert now["tokens"].tolist() == revised["tokens"].tolist()
    assert (swept / "curves.parquet").is_file()
    (entry,) = manifest.read(swept)["regraded"]
    assert entry["replies"]["jsonl"]["wrong to right"] == moved


def test_another_grader_reads_the_replies_anew(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path, swept: Path
) -> None:
    given = ["task=jsonl", "task.path=sums.jsonl", "task.task_class=math", "task.max_tokens=64"]
    total = len(whole(read_samples(swept)))
    words = ["run=run", "jobs=1", "analyse=false"]
    code, said, err = tsbench("regrade", *words, *given, "task.grader=exact")
    assert code == 0, err
    samples = whole(read_samples(swept))
    assert samples["answer"].str.startswith("the answer is").all()
    assert samples["correct"].max() == 0.0
    assert f"{total} replies graded;" in said
    assert "right to wrong" in said
    assert tsbench("regrade", *words)[1].startswith(f"jsonl: {total} replies graded; none changed")
    code, _, err = tsbench("regrade", *words, *given, "task.name=other")
    assert (code, "run holds no replies to other; it has those to jsonl" in err) == (2, True)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (slice(1, None), "jsonl has no problem 'q0', to which the folder holds replies"),
        (slice(0, 0), "sums.jsonl has no rows"),
    ],
)
def test_a_file_without_a_problem_is_refused(
    tsbench: Tsbench, tmp_path: Path, swept: Path, lines: slice, said: str
) -> None:
    before = read_samples(swept)
    kept = (tmp_path / "sums.jsonl").read_text().splitlines(keepends=True)[lines]
    (tmp_path / "sums.jsonl").write_text("".join(kept))
    code, _, err = tsbench("regrade", "run=run", "analyse=false")
    assert (code, said in err) == (2, True)
    pd.testing.assert_frame_equal(read_samples(swept), before)


def test_outcomes_that_do_not_say_what_was_picked_are_refused_before_anything_is_done(
    tsbench: Tsbench, tmp_path: Path, swept: Path
) -> None:
    (path,) = (swept / "outcomes").glob("*-revise.parquet")
    pd.read_parquet(path).drop(columns="picked").to_parquet(path)
    write(tmp_path / "sums.jsonl", wrong=0)
    before = read_samples(swept)
    code, _, err = tsbench("regrade", "run=run", "analyse=false")
    assert code == 2
    assert "outcomes of revise do not say which replies were picked; sweep again" in err
    pd.testing.assert_frame_equal(read_samples(swept), before)


def test_a_folder_that_is_none_is_refused(tsbench: Tsbench) -> None:
    code, _, err = tsbench("regrade", "run=absent")
    assert (code, "absent has no samples; it is no folder of a sweep" in err) == (2, True)


def test_a_recipe_makes_the_task_again() -> None:
    for task in (
        Code(n_items=3),
        Benchmark(
            "mine",
            ["a.jsonl", "b.jsonl"],
            "math",
            Prompt("{q}", examples=[{"q": "1", "answer": "2"}]),
            grader=Number(),
            columns={"target": ["a", "b"]},
        ),
    ):
        told = json.loads(json.dumps(recipe(task)))
        again = made(told)
        assert recipe(again) == told
        assert type(again) is type(task)


def test_a_manifest_runs_nobody_s_code(tmp_path: Path) -> None:
    for target in ("os.system", "tsbench.cli.main", "tsbench.tasks_of_mine.Task"):
        with pytest.raises(ValueError, match="none of this package's tasks"):
            made({"_target_": target})
    inner = {"_target_": "tsbench.tasks.benchmark.Benchmark", "prompt": {"_target_": "os.getcwd"}}
    with pytest.raises(ValueError, match=r"os\.getcwd is none"):
        made(inner)
    with pytest.raises(ValueError, match="a object is nothing that a config can hold"):
        recipe({"x": object()})
