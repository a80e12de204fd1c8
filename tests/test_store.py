import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

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


def test_the_grade_of_a_reply_that_came_second_goes_with_it(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a", text="first"))
    journal = tmp_path / "samples" / "journal-second.jsonl"
    events = [row("a", text="second"), {"key": "a", "correct": 0.0, "graded": True}]
    journal.write_text("".join(json.dumps(each) + "\n" for each in events))
    for _ in range(2):
        (found,) = read_samples(tmp_path).to_dict("records")
        assert (found["text"], found["graded"]) == ("first", False)
        with Store(tmp_path) as store:
            answer = store.answered("a")
            assert answer is not None
            assert (answer["text"], answer["correct"]) == ("first", None)


def test_a_grade_given_by_another_process_reaches_its_reply(tmp_path: Path) -> None:
    with Store(tmp_path) as first:
        first.put(row("a"))
        with Store(tmp_path) as second:
            second.put(row("b"))
            second.update("a", {"correct": 1.0, "graded": True})
            assert second.frame(["key", "correct"]).set_index("key")["correct"]["a"] == 1.0
        assert len(list((tmp_path / "samples").glob("journal-*"))) == 2, "the grade waits"
    for _ in range(2):
        assert read_samples(tmp_path).set_index("key")["correct"]["a"] == 1.0
        with Store(tmp_path):
            pass
    assert {path.name for path in (tmp_path / "samples").glob("[jp]*")} == {"part-00000.parquet"}


def test_what_others_are_answered_is_seen_at_the_next_look(tmp_path: Path) -> None:
    with Store(tmp_path) as first:
        with Store(tmp_path) as second:
            for n in range(5):
                assert first.answered(f"s{n}") is None
                second.put(row(f"s{n}", text=f"é{n}"))
                found = first.answered(f"s{n}")
                assert found is not None
                assert found["text"] == f"é{n}"
        found = first.answered("s3")
        assert found is not None, "the other has folded its journal"
        assert found["text"] == "é3"
        with Store(tmp_path) as third:
            third.put(row("late"))
        assert first.answered("late") is not None, "it came and went between two looks"
    assert len(read_samples(tmp_path)) == 6


def test_parts_fill_up_and_each_key_is_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsbench.parts.ROWS", 10)
    monkeypatch.setattr("tsbench.store.ROWS", 10)
    for start in range(0, 35, 7):
        with Store(tmp_path) as store:
            for n in range(start, start + 7):
                store.put(row(str(n), problem_id=f"p{n}"))
            if start:
                store.update(str(start - 3), {"correct": 1.0, "graded": True})
    tables = [pq.read_table(part) for part in sorted((tmp_path / "samples").glob("part-*"))]
    assert [len(table) for table in tables] == [10, 10, 10, 5]
    assert [key for table in tables for key in table["key"].to_pylist()] == list(
        map(str, range(35))
    )
    samples = read_samples(tmp_path)
    assert samples.loc[samples["correct"] == 1.0, "key"].tolist() == ["4", "11", "18", "25"]
    with Store(tmp_path) as store:
        few = list(store.rows(["problem_id", "correct"]))
        assert few[11] == {"problem_id": "p11", "correct": 1.0}
        assert [store.answered(str(n)) is not None for n in (0, 34, 35)] == [True, True, False]


def test_parts_of_an_older_version_are_read_and_brought_up_to_date(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a"))
    (part,) = (tmp_path / "samples").glob("part-*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["wasted_tokens", "prompt_hash"]), part)
    assert read_samples(tmp_path)["wasted_tokens"].isna().all()
    with Store(tmp_path) as store:
        found = store.answered("a")
        assert found is not None
        assert found["wasted_tokens"] is None
        store.put(row("b", wasted_tokens=7))
    assert pq.read_schema(part).equals(SCHEMA)
    assert read_samples(tmp_path, ["key", "wasted_tokens"]).to_dict("list") == {
        "key": ["a", "b"],
        "wasted_tokens": [pytest.approx(float("nan"), nan_ok=True), 7.0],
    }


def test_text_that_is_no_unicode_is_kept_as_far_as_it_is(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put(row("a", text="x\ud83dy\x00\u2028\n", reason="\udcff"))
        found = store.answered("a")
        assert found is not None
        assert found["text"] == "x?y\x00\u2028\n"
    assert read_samples(tmp_path)["text"].tolist() == ["x?y\x00\u2028\n"]


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'tokens' is no column of samples; allowed: key, run"):
        read_samples(tmp_path, ["tokens"])
    assert list(read_samples(tmp_path, ["key", "correct"])) == ["key", "correct"]


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
