"""Bad input ends with one sentence and exit code 2, before a token is spent."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from endpoint import Endpoint, serve

from tsbench.cli import main
from tsbench.store import read_samples

Tsbench = Callable[..., tuple[int, str]]


@pytest.fixture
def tsbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Tsbench:
    """Run a command as a user would; return its exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tsbench", *words])
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        else:
            code = 0
        return int(code or 0), capsys.readouterr().err

    return call


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint()) as served:
        yield served


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    rows = [
        {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
        for i in range(12)
    ]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own(endpoint: Endpoint, path: Path, *more: str) -> list[str]:
    return [
        "sweep",
        "task=jsonl",
        f"task.path={path}",
        "task.task_class=math",
        "model=openai",
        f"model.base_url={endpoint.base_url}",
        "model.name=m",
        "strategy=majority",
        "strategy.k=4",
        "run=run",
        "jobs=1",
        "analyse=false",
        *more,
    ]


BAD = [
    (["sweep", "task=mth"], r"task=mth is unknown; allowed: .*code.*math"),
    (["sweep", "strategy=vote"], r"strategy=vote is unknown; allowed: .*majority"),
    (["sweep", "limt=3"], r"limt is not a key; did you mean limit; allowed: "),
    (["sweep", "task=math", "task.n_item=3"], r"task.n_item is not a key; did you mean n_items"),
    (["sweep", "limit=0"], r"limit must be a whole number of at least 1, found 0"),
    (["sweep", "limit=many"], r"limit must be a whole number of at least 1, found 'many'"),
    (["sweep", "seed=-1"], r"seed must be a whole number of at least 0, found -1"),
    (["sweep", "strategy=majority", "strategy.k=0"], r"strategy.*k must be a whole number"),
    (["sweep", "strategy.k=0"], r"k must be a whole number of at least 1, found 0"),
    (["sweep", "strategy=forced", "strategy.thinking_budget=-1"], r"thinking_budget must be 0 or"),
    (["sweep", "strategy=best_of_n", "strategy.verifier=oracle"], r"verifier 'oracle' is unknown"),
    (["sweep", "model=local"], r"model: give path, or repo with file and revision, or wheel"),
    (["sweep", "model=local", "model.path=absent.gguf"], r"model.path: there is no file"),
    (["sweep", "model=openai", "model.name=m"], r"model.base_url must be given"),
    (["sweep", "model=openai", "model.name=m", "model.base_url=here"], r"must be an http"),
    (["sweep", "task=gsm8k", "task.path=absent.jsonl"], r"task.path: there is no file"),
    (["sweep", "task=jsonl", "task.path=x.jsonl"], r"task.task_class must be given"),
    (["fit"], r"fit needs one of run, samples and outcomes"),
    (["fit", "outcomes=absent.parquet"], r"absent.parquet"),
    (["fit", "delta=2", "outcomes=x.parquet"], r"delta"),
    (["report", "run=absent"], r"absent"),
]


@pytest.mark.parametrize(
    ("words", "said"),
    BAD,
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence(tsbench: Tsbench, words: list[str], said: str) -> None:
    code, err = tsbench(*words)
    assert code == 2
    assert pd.Series([err]).str.contains(said, regex=True).all(), err
    assert len(err.strip().splitlines()) == 1, err


def test_a_file_that_is_no_gguf_is_named(tsbench: Tsbench, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("{}")
    code, err = tsbench("sweep", "model=local", "model.path=x.gguf")
    assert code == 2
    assert "x.gguf is not a GGUF file" in err


def test_a_missing_column_is_named_with_those_found(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "question": "?"}\n')
    code, err = tsbench(*own(endpoint, path))
    assert code == 2
    assert "rows.jsonl has no column 'prompt'; it has id, question" in err
    assert endpoint.requests == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            {"id": "q0", "prompt": "x", "target": "1"},
            "row 13, column 'id': 'q0' is that of row 1",
        ),
        ({"id": "new", "prompt": "", "target": "1"}, "row 13, column 'prompt': empty"),
        (
            {"id": "new", "prompt": "x", "target": "one"},
            "column 'target': 'one' is no number",
        ),
    ],
)
def test_a_bad_row_is_named_before_a_token_is_spent(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, line: dict[str, str], said: str
) -> None:
    with sums.open("a") as handle:
        handle.write(json.dumps(line) + "\n")
    code, err = tsbench(*own(endpoint, sums))
    assert code == 2
    assert said in err
    assert endpoint.requests == 0


def test_a_users_own_rows_against_a_users_own_endpoint(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    assert tsbench(*own(endpoint, sums))[0] == 0
    assert endpoint.requests == 4 * 12
    outcomes = pd.concat(map(pd.read_parquet, (tmp_path / "run/outcomes").glob("*.parquet")))
    assert sorted(outcomes["budget"].unique()) == [1, 2, 3, 4]
    samples = read_samples(tmp_path / "run")
    first = outcomes[outcomes["budget"] == 1].set_index("problem_id")["correct"]
    assert first.to_dict() == pytest.approx(
        samples.groupby("problem_id")["correct"].mean().to_dict()
    )
    assert tsbench(*own(endpoint, sums))[0] == 0
    assert endpoint.requests == 4 * 12, "the second run asked nothing"


def test_a_larger_limit_keeps_the_problems_of_a_smaller_one(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    assert tsbench(*own(endpoint, sums, "limit=3"))[0] == 0
    few = set(read_samples(tmp_path / "run")["problem_id"])
    assert tsbench(*own(endpoint, sums, "limit=7"))[0] == 0
    assert few < set(read_samples(tmp_path / "run")["problem_id"])
    assert endpoint.requests == 4 * 7


def test_a_folder_of_another_config_is_refused(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path
) -> None:
    assert tsbench(*own(endpoint, sums))[0] == 0
    code, err = tsbench(*own(endpoint, sums, "model.temperature=0.1"))
    assert code == 2
    assert "already holds jsonl with m by maj@k with model.temperature=0.8" in err
    assert endpoint.requests == 4 * 12


def test_thinking_budgets_need_an_endpoint_that_continues(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path
) -> None:
    words = [word for word in own(endpoint, sums) if not word.startswith("strategy")]
    code, err = tsbench(*words, "strategy=forced")
    assert code == 2
    assert "forced continues a prefix, which model.api=chat cannot" in err


def test_several_jobs_share_one_store(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    words = [word for word in own(endpoint, sums) if word != "strategy.k=4"]
    code, err = tsbench(*words, "strategy=majority,coverage", "strategy.k=4", "-m")
    assert code == 0, err
    assert endpoint.requests == 4 * 12, "the second job found the draws of the first"
    assert len(list((tmp_path / "run/outcomes").glob("*.parquet"))) == 2


def test_jobs_of_the_joblib_launcher_grade_too(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    words = [word for word in own(endpoint, sums) if not word.startswith("run=")]
    code, err = tsbench(*words, "run=a,b", "hydra/launcher=joblib", "-m")
    assert code == 0, err
    for folder in ("a", "b"):
        samples = read_samples(tmp_path / folder)
        assert samples["status"].eq("ok").all()
        assert samples["correct"].notna().all()


def test_another_tool_s_table_is_fitted_under_its_own_names(
    tsbench: Tsbench, tmp_path: Path
) -> None:
    rows = [(q, f"{(q * 7 + d) % 3}", (q * 7 + d) % 3 == 0) for q in range(20) for d in range(6)]
    theirs = pd.DataFrame(rows, columns=["question", "said", "ok"])
    theirs.to_csv(tmp_path / "theirs.csv", index=False)
    code, said = tsbench(
        "fit",
        "samples=theirs.csv",
        "columns={question: problem_id, said: answer, ok: correct}",
        "constants={task_class: quiz}",
        "worth={asks: 50}",
        "out=fitted",
    )
    assert (code, said) == (0, "")
    knees = pd.read_parquet(tmp_path / "fitted" / "knees.parquet")
    assert set(knees["task_class"]) == {"quiz"}
    assert set(knees["strategy"]) == {"pass@k", "maj@k", "frontier"}
    assert set(knees["axis"]) == {"asks"}
    assert knees["price_knee"].notna().any()
    assert set(knees["worth"]) == {50.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["columns={right: correct}"], "columns renames 'right', which the file has not"),
        (["constants={correct: 1}"], "column 'correct' is there 2 times"),
        (["worth={dollars: 0.1}"], "worth is in dollars, which is not known; known: asks"),
        (["worth={asks: 0}"], "worth.asks is 0; allowed is above 0"),
        (["axes=[joules]"], "axis 'joules' is unknown; allowed are tokens"),
        (["scored_by=judge"], "draws have no column 'score'"),
    ],
)
def test_a_fit_s_bad_key_is_named(
    tsbench: Tsbench, tmp_path: Path, words: list[str], said: str
) -> None:
    table = pd.DataFrame({"task_class": "quiz", "problem_id": [1, 1, 2, 2], "correct": 1})
    table.to_parquet(tmp_path / "t.parquet")
    code, message = tsbench("fit", "samples=t.parquet", "out=fitted", *words)
    assert code == 2
    assert said in message
    assert not (tmp_path / "fitted").exists()
