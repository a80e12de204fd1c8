import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tsbench.store import SCHEMA, Row, Store, read_samples


def row(key: str, **changes: object) -> Row:
    return {
        "key": key,
        "run": "r",
        "task_class": "math",
        "task": "t",
        "problem_id": "p",
        "model": "m",
        "endpoint": "e",
        "kind": "draw",
        "index": 0,
        "params": "{}",
        "partial": False,
        "thinking_kind": "none",
        "text": "x",
        "status": "ok",
        "finish": "stop",
        "counted_by": "server",
        "seconds": 0.1,
        "started": 0.0,
        "attempts": 1,
        "graded": False,
        "schema_version": 1,
        **changes,
    }


def test_a_reply_and_its_later_grade_come_back_as_one_row(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a"))
        store.update("a", {"correct": 1.0, "graded": True})
        found = store.answered("a")
        assert found is not None
        assert found["correct"] == 1.0
    (part,) = (tmp_path / "samples").glob("part-*.parquet")
    table = pq.read_table(part)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist()[0]["correct"] == 1.0
    assert not list((tmp_path / "samples").glob("journal-*"))


def test_an_error_is_kept_and_never_answers(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path) as store:
            store.put(row("a", status="error", finish=None))
            assert store.answered("a") is None
    with Store(tmp_path) as store:
        store.put(row("a"))
    samples = read_samples(tmp_path)
    assert sorted(samples["status"]) == ["error", "error", "ok"]
    assert samples["key"].is_unique


def test_a_grade_of_a_later_process_reaches_an_older_part(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a"))
    with Store(tmp_path) as store:
        store.update("a", {"correct": 0.0, "graded": True})
    assert read_samples(tmp_path)["correct"].tolist() == [0.0]


def test_what_was_put_survives_kill_and_a_torn_line(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]);"
        "from pathlib import Path; from tsbench.store import Store; from test_store import row;"
        "s = Store(Path(sys.argv[1])).__enter__();"
        "[s.put(row(str(i))) for i in range(50)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), here], check=False)
    assert done.returncode == -9
    (journal,) = (tmp_path / "samples").glob("journal-*.jsonl")
    with journal.open("a") as handle:
        handle.write(json.dumps(row("torn"))[:40])
    with Store(tmp_path) as store:
        assert len(store) == 50
        assert store.answered("49") is not None
        assert store.answered("torn") is None
    assert sorted(read_samples(tmp_path)["key"], key=int) == [str(i) for i in range(50)]


def test_a_live_journal_is_read_but_left_to_its_process(tmp_path: Path) -> None:
    with Store(tmp_path) as first:
        first.put(row("a"))
        with Store(tmp_path) as second:
            assert second.answered("a") is not None
            second.put(row("b"))
            second.put(row("a", text="asked twice at once"))
        first.put(row("c"))
    samples = read_samples(tmp_path)
    assert sorted(samples["key"]) == ["a", "b", "c"]


def test_compaction_killed_before_it_removes_the_journal_doubles_nothing(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a"))
    journal = tmp_path / "samples" / "journal-old.jsonl"
    journal.write_text(json.dumps(row("a")) + "\n")
    with Store(tmp_path) as store:
        assert len(store) == 1
    assert not journal.exists()
    assert read_samples(tmp_path)["key"].tolist() == ["a"]


def test_loads_with_datasets(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    with Store(tmp_path) as store:
        store.put(row("a"))
    files = os.fspath(tmp_path / "samples" / "*.parquet")
    table = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=os.fspath(tmp_path / "cache")
    )
    assert table[0]["key"] == "a"
