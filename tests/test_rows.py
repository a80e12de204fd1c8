"""Rows of a file: what is read, and each bad row named by its row and column."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import task

from tsbench.tasks.benchmark import Benchmark
from tsbench.tasks.prompt import Prompt

GOOD = [{"id": f"q{n}", "prompt": f"What is {n} + 1?", "target": str(n + 1)} for n in range(4)]
COMMIT = "0" * 40


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def made(tmp_path: Path, data: bytes, name: str = "rows.jsonl", **keys: Any) -> Benchmark:
    (tmp_path / name).write_bytes(data)
    given = {"task_class": "math", "prompt": Prompt("{prompt}"), **keys}
    return Benchmark("mine", str(tmp_path / name), **given)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no reference", {"target": None}, "row 5, column 'target': empty"),
    ("a blank reference", {"target": " "}, "row 5, column 'target': empty"),
    ("an empty prompt", {"prompt": ""}, "row 5, column 'prompt': empty"),
    ("an id that is there", {"id": "q2"}, "row 5, column 'id': 'q2' is that of row 3 too"),
    ("no id", {"id": None}, "row 5, column 'id': empty"),
    ("a list", {"prompt": ["a"]}, "row 5, column 'prompt': a list; it must be text or a number"),
    ("an object", {"target": {"a": 1}}, "row 5, column 'target': a dict; it must be"),
    ("no number", {"target": "several"}, "row 5, column 'target': 'several' is no number"),
    ("a lone surrogate", {"prompt": "\ud800"}, "row 5, column 'prompt': not UTF-8"),
    (
        "ten megabytes",
        {"prompt": "x" * 10_000_000},
        "row 5, column 'prompt': 10000000 characters; allowed are at most 1000000",
    ),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_a_bad_row_is_named_whether_it_is_chosen_or_not(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    bad = {"id": "new", "prompt": "What is 7 + 1?", "target": "8"} | change
    for limit in (1, None):
        with pytest.raises(ValueError, match=said) as caught:
            made(tmp_path, lines(*GOOD, bad)).items(0, limit)
        assert str(caught.value).startswith("task.path: rows.jsonl, row 5")
        assert "\n" not in str(caught.value)


RAW: list[tuple[str, str, bytes, str]] = [
    (
        "bytes in JSON",
        "r.jsonl",
        b'{"id": 1, "prompt": "caf\xe9", "target": 1}\n',
        "row 1, column 'prompt': not UTF-8",
    ),
    (
        "bytes in CSV",
        "r.csv",
        b"id,prompt,target\n1,ok,2\n2,caf\xe9,2\n",
        "row 2, column 'prompt': not UTF-8",
    ),
    ("a torn line", "r.jsonl", lines(GOOD[0]) + b'{"id": "x", "pro\n', "row 2: no JSON"),
    (
        "a line that is no object",
        "r.jsonl",
        lines(GOOD[0], [1]),
        "row 2: a list, not a JSON object",
    ),
    (
        "a short CSV line",
        "r.csv",
        b"id,prompt,target\n1,x\n",
        "row 1: 2 cells; the first line names 3",
    ),
    (
        "an open quote",
        "r.csv",
        b'id,prompt,target\n1,"x,2\n',
        "cannot be read as .csv: unexpected end",
    ),
    ("no rows", "r.jsonl", b"\n", "r.jsonl has no rows"),
    ("no such kind", "r.txt", b"x", "r.txt is no .jsonl, .json, .csv, .parquet file"),
    ("no parquet", "r.parquet", b"x" * 100, "cannot be read as .parquet"),
    ("no gzip", "r.jsonl.gz", b"x" * 100, "cannot be read as .jsonl: Not a gzipped file"),
    ("a cut gzip", "r.jsonl.gz", gzip.compress(lines(*GOOD))[:40], "cannot be read as .jsonl"),
]


@pytest.mark.parametrize(("name", "data", "said"), [r[1:] for r in RAW], ids=[r[0] for r in RAW])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        made(tmp_path, data, name).items(0, None)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parquet_cell_that_is_no_text_is_named(tmp_path: Path) -> None:
    cells = pa.array([b"ok", b"caf\xe9"], pa.binary())
    prompts = pa.Array.from_buffers(pa.string(), 2, cells.buffers())
    table = pa.table({"id": ["a", "b"], "prompt": prompts, "target": ["1", "2"]})
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(ValueError, match=r"r.parquet, row 2, column 'prompt': not UTF-8"):
        made(tmp_path, (tmp_path / "r.parquet").read_bytes(), "r.parquet").items(0, None)


def test_cells_of_a_csv_are_text_as_it_stands(tmp_path: Path) -> None:
    data = '\ufeffid,prompt,target\r\n007,"Say ""NA"",\nplease.",NA\r\n'.encode()
    (item,) = made(tmp_path, data, "r.csv", task_class="quiz").items(0, None)
    assert item.problem.id == "007"
    assert item.problem.messages[0].content == 'Say "NA",\nplease.'
    assert item.target == "na"


def test_without_an_id_it_comes_from_the_content(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("prompt", "target")} for row in GOOD]
    forth = {i.problem.id: i.target for i in made(tmp_path, lines(*rows)).items(0, None)}
    back = {i.problem.id: i.target for i in made(tmp_path, lines(*rows[::-1])).items(0, None)}
    assert forth == back
    assert all(len(key) == 16 for key in forth)
    with pytest.raises(ValueError, match=r"row 5, column 'id': '\w{16}' is that of row 2 too"):
        made(tmp_path, lines(*rows, rows[1])).items(0, None)


def test_columns_are_mapped_and_a_list_means_the_first_there_is(tmp_path: Path) -> None:
    rows = [{"nr": 1, "Q text": "1 + 1?", "A": 2, "level": 3}]
    columns = {"id": "nr", "prompt": "Q text", "target": ["answer", "A"], "stratum": ["x", "level"]}
    (item,) = made(tmp_path, lines(*rows), columns=columns).items(0, None)
    assert (item.problem.id, item.problem.stratum, item.target) == ("1", "level 3", "2")
    for wrong, said in (
        ({**columns, "prompt": "Q"}, "has no column 'Q'; it has nr, Q text, A, level"),
        ({**columns, "target": ["a", "b"]}, "has no column 'a' or 'b'; it has nr"),
        ({**columns, "id": "key"}, "has no column 'key'; it has nr"),
    ):
        with pytest.raises(ValueError, match=said):
            made(tmp_path, lines(*rows), columns=wrong).items(0, None)


def test_a_subset_is_of_strata(tmp_path: Path) -> None:
    rows = [{**row, "kind": "odd" if n % 2 else "even"} for n, row in enumerate(GOOD)]
    keys = {"columns": {"stratum": "kind"}}
    found = made(tmp_path, lines(*rows), subset=["odd"], **keys).items(0, None)
    assert {item.problem.id for item in found} == {"q1", "q3"}
    with pytest.raises(ValueError, match=r"task.subset has 'prime'; rows.jsonl has even, odd"):
        made(tmp_path, lines(*rows), subset=["odd", "prime"], **keys).items(0, None)


def test_files_are_joined_by_their_id(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(*({k: r[k] for k in ("id", "prompt")} for r in GOOD)))

    def joined(*more: dict[str, str]) -> Benchmark:
        (tmp_path / "b.jsonl").write_bytes(lines(*more))
        both = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
        return Benchmark("mine", both, "math", Prompt("{prompt}"))

    added = [{k: r[k] for k in ("id", "target")} for r in GOOD[::-1]]
    assert {i.problem.id: i.target for i in joined(*added).items(0, None)} == {
        row["id"]: row["target"] for row in GOOD
    }
    with pytest.raises(ValueError, match=r"a.jsonl, row 4, column 'target': empty"):
        joined(*added[1:]).items(0, None)
    with pytest.raises(ValueError, match=r"b.jsonl, row 5, column 'id': 'q0' comes twice"):
        joined(*added, added[-1]).items(0, None)
    with pytest.raises(ValueError, match=r"b.jsonl, row 5, column 'id': 'x' is no id of a.jsonl"):
        joined(*added, {"id": "x", "target": "1"}).items(0, None)


@pytest.fixture
def data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay a folder out as data sets of the hub are."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner" / "quiz"
    for config in ("easy", "hard"):
        (folder / config).mkdir(parents=True)
        for split, rows in (("train", GOOD[:1]), ("test", GOOD[1:])):
            named = [{**row, "id": f"{config}-{row['id']}"} for row in rows]
            pq.write_table(pa.Table.from_pylist(named), folder / config / f"{split}-0.parquet")
    card = "".join(
        f"- config_name: {config}\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: {config}/{s}-*\n" for s in ("train", "test"))
        for config in ("easy", "hard")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n")
    return folder


def test_a_folder_in_the_hub_s_layout_is_a_task(data_set: Path) -> None:
    easy = task("jsonl", data_set, "task.task_class=math", "task.config=easy")
    assert {i.problem.id for i in easy.items(0, None)} == {"easy-q1", "easy-q2", "easy-q3"}
    keys = ["task.task_class=math", "task.config=hard", "task.split=train"]
    (item,) = task("jsonl", data_set, *keys).items(0, None)
    assert (item.problem.id, item.target) == ("hard-q0", "1")
    for words, said in (
        (["task.config=easy", "task.split=dev"], "task.split is 'dev'; .* has train, test"),
        (["task.config=odd"], "cannot be read: BuilderConfig 'odd' not found"),
    ):
        with pytest.raises(ValueError, match=said):
            task("jsonl", data_set, "task.task_class=math", *words).items(0, None)


def test_a_data_set_of_anything_but_parquet_is_refused(data_set: Path) -> None:
    other = data_set.parent / "csv"
    other.mkdir()
    (other / "rows.csv").write_text("id,prompt,target\n1,x,2\n")
    with pytest.raises(ValueError, match="its files are csv; allowed is parquet"):
        task("jsonl", other, "task.task_class=math").items(0, None)
    (other / "csv.py").write_text("raise SystemExit('the code of a data set was run')")
    with pytest.raises(ValueError, match=r"scripts .* supported, but found csv\.py"):
        task("jsonl", other, "task.task_class=math").items(0, None)


def test_a_data_set_of_the_hub_is_pinned_to_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def load(path: str, config: str | None, **where: object) -> None:
        asked.append((path, config, where))
        raise ConnectionError("no network in a test")

    monkeypatch.setattr("tsbench.tasks.hub.datasets.load_dataset_builder", load)
    words = ["task.task_class=math", "task.config=main"]
    with pytest.raises(ValueError, match=r"there is no file owner/quiz; .* needs task.revision"):
        task("jsonl", "owner/quiz", *words).items(0, None)
    with pytest.raises(ValueError, match=r"task.revision is 'main'; it must be a commit"):
        task("jsonl", "owner/quiz", *words, "task.revision=main").items(0, None)
    assert asked == []
    with pytest.raises(ValueError, match="owner/quiz cannot be read: no network in a test"):
        task("jsonl", "owner/quiz", *words, f"task.revision='{COMMIT}'").items(0, None)
    assert asked == [("owner/quiz", "main", {"revision": COMMIT})]


@pytest.mark.parametrize(
    ("name", "row", "key", "target"),
    [
        ("gsm8k", {"question": "1 + 1?", "answer": "<<1+1=2>>2\n#### 2"}, None, "2"),
        ("math500", {"problem": "1 + 1?", "answer": "2", "unique_id": "t/1.json"}, "t/1.json", "2"),
        ("aime", {"ID": "2024-I-1", "Problem": "1 + 1?", "Answer": 2}, "2024-I-1", "2"),
        ("aime", {"id": 60, "problem": "1 + 1?", "answer": "002"}, "60", "002"),
        ("bbh", {"input": "1 + 1?", "target": "(A)"}, None, "(a)"),
    ],
)
def test_the_columns_of_the_published_files_are_known_too(
    tmp_path: Path, name: str, row: dict[str, object], key: str | None, target: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines(row))
    read = task(name, tmp_path / "rows.jsonl")
    (item,) = read.items(0, None)
    assert key is None or item.problem.id == key
    assert "1 + 1?" in item.problem.messages[-1].content
    assert item.target == target
    assert read.grade(item, rf"So \boxed{{{target}}}").correct == 1.0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"grader": "guess"}, "grader is 'guess'; allowed are number, expression, exact"),
        ({"task_class": "code"}, "code needs tests, which this file has no column for"),
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1, not 0"),
    ],
)
def test_a_bad_key_is_named(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, lines(*GOOD), **keys)
