"""What was answered stays, whatever ends the process, the power or the disk."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from endpoint import Endpoint, serve
from test_store import row

from tsbench import manifest, parts
from tsbench.cli import CONF
from tsbench.refusal import refusal
from tsbench.store import Row, Store, StoreError, read_samples

HERE = Path(__file__).parent
SLOTS = 8


def keys(folder: Path) -> list[str]:
    """Return the keys of the parquet files alone, as any other reader would see them."""
    found = sorted((folder / "samples").glob("*.parquet"))
    return [key for part in found for key in pq.read_table(part)["key"].to_pylist()]


def python(script: str, *words: object, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, with the tests at hand."""
    paths = os.pathsep.join([os.fspath(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        **given,
    )


def dead_journal(folder: Path, rows: list[Row]) -> Path:
    """Write a journal that no process holds."""
    path = folder / "samples" / "journal-dead.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


TAILS = {
    "nothing": b"",
    "half a line": json.dumps(row("torn")).encode()[:40],
    "half a character": json.dumps(row("torn", text="é"), ensure_ascii=False).encode()[:-170],
    "NUL bytes": bytes(5000),
    "half a line and NUL bytes": json.dumps(row("torn")).encode()[:40] + bytes(5000),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_journal_that_power_cut_short_keeps_its_whole_lines(tmp_path: Path, tail: bytes) -> None:
    journal = dead_journal(tmp_path, [row(str(i), text="é" * 50) for i in range(20)])
    with journal.open("ab") as handle:
        handle.write(tail)
    assert len(read_samples(tmp_path)) == 20
    with Store(tmp_path) as store:
        assert len(store) == 20
        assert store.answered("torn") is None
        store.put(row("torn"))
    assert sorted(keys(tmp_path)) == sorted(["torn", *map(str, range(20))])
    assert read_samples(tmp_path).set_index("key").loc["7", "text"] == "é" * 50


def test_every_cut_of_the_last_line_loses_that_line_alone(tmp_path: Path) -> None:
    journal = dead_journal(tmp_path, [row("a"), row("b", text="ü→\U0001f600")])
    whole = journal.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole) + 1):
        journal.write_bytes(whole[:cut])
        kept = ["a", "b"] if cut == len(whole) else ["a"]
        assert read_samples(tmp_path, ["key"])["key"].tolist() == kept


def test_lines_that_are_no_events_are_left_out_aloud_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = dead_journal(tmp_path, [row("a")])
    with journal.open("ab") as handle:
        handle.write(b"\xff\xfe{}\n[1]\n" + bytes(10) + json.dumps(row("b")).encode() + b"\n")
    with Store(tmp_path) as store:
        assert (len(store), store.answered("b") is None) == (2, False)
    said = capsys.readouterr().err
    assert "damaged-journal-dead.jsonl has 2 lines that cannot be read" in said
    assert (tmp_path / "samples" / "damaged-journal-dead.jsonl").exists()
    assert sorted(keys(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("left", [0, 100, 0.5, -1])
def test_a_part_that_is_cut_short_is_named_and_never_dropped(tmp_path: Path, left: float) -> None:
    with Store(tmp_path) as store:
        for i in range(50):
            store.put(row(str(i)))
    (part,) = (tmp_path / "samples").glob("part-*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[: int(left * len(whole)) if 0 < left < 1 else int(left)])
    broken = part.read_bytes()
    sentence = r"part-00000.parquet is damaged or cut short and cannot be read; put a whole copy"
    with pytest.raises(StoreError, match=sentence), Store(tmp_path):
        pass
    with pytest.raises(StoreError, match=sentence):
        read_samples(tmp_path)
    assert part.read_bytes() == broken
    assert not list((tmp_path / "samples").glob("[ja]*")), "what was begun is tidied up"
    part.write_bytes(whole)
    assert len(read_samples(tmp_path)) == 50
    part.rename(tmp_path / "elsewhere")
    with Store(tmp_path) as store:
        assert store.answered("7") is None


def test_a_part_with_damaged_pages_is_named(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for i in range(50):
            store.put(row(str(i)))
    (part,) = (tmp_path / "samples").glob("part-*.parquet")
    damaged = bytearray(part.read_bytes())
    damaged[4:200] = bytes(196)
    part.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"part-00000.parquet is damaged"):
        read_samples(tmp_path)


DYING = """
import os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq
from tsbench import manifest, parts, store
from tsbench.store import Store

def dying(function):
    def call(*words, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **more)
    return call

def fold(folder):
    parts.ROWS = store.ROWS = 10
    with Store(folder):
        pass

def write(folder):
    manifest.write(folder, {"after": "x" * 100_000})

folders, doing = sys.argv[2:], {"fold": fold, "write": write}[sys.argv[1]]
for left, folder in enumerate(folders):
    if os.fork() == 0:
        for owner, name in [(os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "open"),
                            (pq.ParquetWriter, "write_table")]:
            setattr(owner, name, dying(getattr(owner, name)))
        doing(Path(folder))
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.wait()[1])
    print(ended, flush=True)
    if ended != -signal.SIGKILL:
        sys.exit(abs(ended))
sys.exit("more steps than folders")
"""


def test_a_fold_that_is_killed_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 10)
    monkeypatch.setattr("tsbench.store.ROWS", 10)
    begun = tmp_path / "begun"
    with Store(begun) as store:
        for i in range(25):
            store.put(row(str(i)))
    assert len(list((begun / "samples").glob("part-*"))) == 3
    grade = {"correct": 1.0, "graded": True}
    new = [row(str(i)) for i in range(25, 47)]
    changes = [{"key": key, **grade} for key in ("3", "22", "30", "46")]
    dead_journal(begun, [*new, *changes])
    folders = [shutil.copytree(begun, tmp_path / f"{n}") for n in range(60)]
    done = python(DYING, "fold", *folders)
    assert done.returncode == 0, done.stderr
    steps = len(done.stdout.split()) - 1
    assert steps > 15
    expected = read_samples(begun).set_index("key").sort_index()
    assert expected["correct"].notna().sum() == 4
    for folder in folders[: steps + 1]:
        seen = keys(folder)
        assert len(seen) == len(set(seen)) >= 25
        for _ in range(2):
            found = read_samples(folder).set_index("key").sort_index()
            pd.testing.assert_frame_equal(found, expected)
            with Store(folder) as store:
                assert len(store) == 47
        left = {path.name for path in (folder / "samples").iterdir()}
        assert left == {".lock", ".turn", *(f"part-{n:05}.parquet" for n in range(5))}


def test_a_manifest_that_is_killed_at_any_step_is_the_old_or_the_new(tmp_path: Path) -> None:
    folders = []
    for n in range(12):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        manifest.write(folder, {"before": 1})
        folders.append(folder)
    done = python(DYING, "write", *folders)
    assert done.returncode == 0, done.stderr
    steps = len(done.stdout.split()) - 1
    found = [next(iter(manifest.read(folder))) for folder in folders[: steps + 1]]
    assert found == sorted(found, reverse=True), "once it is new it stays new"
    assert {*found} == {"before", "after"}
    for folder in folders[:steps]:
        manifest.write(folder, {"last": 1})
        assert manifest.read(folder) == {"last": 1}


def test_several_processes_change_one_manifest(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tsbench import manifest\n"
        "for i in range(40):\n"
        "    with manifest.changing(Path(sys.argv[1])) as known:\n"
        "        known.setdefault('calls', []).append(sys.argv[2])\n"
    )
    several = [threading.Thread(target=python, args=(script, tmp_path, n)) for n in "ab"]
    for each in several:
        each.start()
    for each in several:
        each.join()
    assert sorted(manifest.read(tmp_path)["calls"]) == ["a"] * 40 + ["b"] * 40


@contextmanager
def mounted(at: Path, *options: str) -> Iterator[Path]:
    """Mount a small disk of its own, or skip."""
    at.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", at], capture_output=True
    )
    if done.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def remount(at: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", at], check=True)


def noise(n: int, size: int = 20_000) -> Row:
    """Return a reply that cannot be made much smaller."""
    return row(str(n), text=random.Random(n).randbytes(size // 2).hex())


def fill(folder: Path) -> None:
    with Store(folder) as store:
        for n in range(1000):
            store.put(noise(n))


def test_a_full_disk_ends_in_a_sentence_and_the_same_store_goes_on(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        with pytest.raises(StoreError, match=r"No space left on device; what was answered"):
            fill(disk / "run")
        stored = len(read_samples(disk / "run"))
        assert 100 < stored < 250
        assert set(read_samples(disk / "run")["key"]) == {str(n) for n in range(stored)}
        with pytest.raises(StoreError, match="No space left on device"), Store(disk / "run"):
            pytest.fail("what cannot be folded is found before anything is asked")
        remount(disk, "size=40m")
        with Store(disk / "run") as store:
            for n in range(300):
                assert (store.answered(str(n)) is not None) == (n < stored)
                if n >= stored:
                    store.put(noise(n))
        assert sorted(keys(disk / "run"), key=int) == [str(n) for n in range(300)]


def test_a_disk_that_is_full_when_the_journal_is_folded_keeps_the_journal(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        filler = disk / "filler"
        store = Store(disk / "run").__enter__()
        for n in range(100):
            store.put(noise(n))
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(8 << 20))
        with pytest.raises(StoreError, match=r"cannot write .*part-00000\.parquet: "):
            store.__exit__(None, None, None)
        assert set(read_samples(disk / "run")["key"]) == {str(n) for n in range(100)}
        assert {path.name for path in (disk / "run" / "samples").glob(".part*")} == set()
        filler.unlink()
        with Store(disk / "run") as store:
            assert len(store) == 100
        assert sorted(keys(disk / "run"), key=int) == [str(n) for n in range(100)]


def test_a_limit_on_file_size_ends_in_a_sentence_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
        with pytest.raises(StoreError, match=r"journal-\w+\.jsonl: File too large"):
            fill(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (journal,) = (tmp_path / "samples").glob("journal-*")
    assert journal.read_bytes().endswith(b"\n"), "the line that did not fit was taken back"
    stored = len(read_samples(tmp_path))
    assert stored > 50
    with Store(tmp_path) as store:
        assert len(store) == stored
    assert sorted(keys(tmp_path), key=int) == [str(n) for n in range(stored)]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(latency=0.03)) as served:
        yield served


def sums(path: Path, n: int) -> Path:
    rows = [
        {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def command(endpoint: Endpoint, path: Path, run: Path, k: int) -> list[str]:
    return [
        *("sweep", "task=jsonl", f"task.path={path}", "task.task_class=math", "model=openai"),
        *(f"model.base_url={endpoint.base_url}", "model.name=m", f"model.slots={SLOTS}"),
        *("strategy=majority", f"strategy.k={k}", f"run={run}", "jobs=1", "analyse=false"),
    ]


FORKING = """
import json, os, sys
from tsbench import cli, sweep
from tsbench.models import openai
from tsbench.tasks import benchmark, graders
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["tsbench", *asked["words"]]
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
"""


class Tsbench:
    """Runs commands, each in a process of its own that is forked with everything loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forking = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def _ask(self, **what: object) -> int:
        assert self.forking.stdin is not None
        assert self.forking.stdout is not None
        self.forking.stdin.write(json.dumps(what) + "\n")
        self.forking.stdin.flush()
        return int(self.forking.stdout.readline())

    def begin(self, words: list[str], log: str = "log") -> int:
        """Begin a command and return the process."""
        return self._ask(words=words, log=os.fspath(self.folder / log))

    def wait(self, process: int, log: str = "log") -> tuple[int, str]:
        """Return the exit code of a process and what it said."""
        return self._ask(wait=process), (self.folder / log).read_text()

    def run(self, words: list[str]) -> tuple[int, str]:
        return self.wait(self.begin(words))

    def sweep(self, words: list[str]) -> None:
        code, said = self.run(words)
        assert code == 0, said

    def close(self) -> None:
        assert self.forking.stdin is not None
        assert self.forking.stdout is not None
        self.forking.stdin.close()
        self.forking.wait()
        self.forking.stdout.close()


@pytest.fixture(scope="module")
def tsbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tsbench]:
    found = Tsbench(tmp_path_factory.mktemp("tsbench"))
    found.run(["--help"])
    yield found
    found.close()


def killed(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path, problems: int, k: int, kills: int
) -> tuple[int, int]:
    """Sweep, killed at random moments and resumed each time; return the asks and the repeated.

    One kill in three comes at any moment from the start on, also while what the last kill left is
    folded; the others while asks are in flight.
    """
    path, run, rng = sums(tmp_path / "sums.jsonl", problems), tmp_path / "run", random.Random(kills)
    words, lost = command(endpoint, path, run, k), 0
    for n in range(kills):
        before = endpoint.requests
        process = tsbench.begin(words)
        if n % 3 != 2:
            deadline = time.monotonic() + 60
            while endpoint.requests == before and time.monotonic() < deadline:
                time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(process, signal.SIGKILL)
        code, said = tsbench.wait(process)
        assert code == -signal.SIGKILL, f"it ended before it could be killed: {said}"
        time.sleep(0.05)  # what it sent before it died has come by then
        stored = read_samples(run, ["key"])["key"]
        assert stored.is_unique
        in_flight = endpoint.requests - lost - len(stored)
        assert 0 <= in_flight <= SLOTS
        lost += in_flight
    tsbench.sweep(words)
    asked, different = endpoint.requests, len(endpoint.asked)
    assert different == problems * k
    assert asked - different <= lost
    whole = tmp_path / "whole"
    tsbench.sweep(command(endpoint, path, whole, k))
    one, other = (read_samples(each).set_index("key").sort_index() for each in (run, whole))
    assert len(one) == problems * k
    same = [name for name in one if name not in ("run", "seconds", "started")]
    pd.testing.assert_frame_equal(one[same], other[same])
    assert one["correct"].notna().all()
    return asked, asked - different


def test_a_sweep_that_is_killed_three_times_ends_as_if_it_was_not(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    killed(tsbench, endpoint, tmp_path, problems=30, k=8, kills=3)


@pytest.mark.table
def test_a_sweep_that_is_killed_thirty_times(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, repeated = killed(tsbench, endpoint, tmp_path, problems=150, k=16, kills=30)
    with capsys.disabled():
        print(f"\n30 kills: {150 * 16} draws, {asked} asks, {repeated} of them repeated")


def test_two_sweeps_on_one_folder_share_the_asks(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.latency = 0.1
    words = command(endpoint, sums(tmp_path / "sums.jsonl", 40), tmp_path / "run", 8)
    both = [tsbench.begin(words, log) for log in "ab"]
    ended = [tsbench.wait(process, log) for process, log in zip(both, "ab", strict=True)]
    assert [code for code, _ in ended] == [0, 0], ended
    assert endpoint.requests == len(endpoint.asked) == 40 * 8
    samples = read_samples(tmp_path / "run")
    assert len(samples) == samples["key"].nunique() == len(keys(tmp_path / "run")) == 40 * 8
    assert samples["correct"].notna().all()
    asked = [call["calls"] for call in manifest.read(tmp_path / "run")["calls"]]
    assert (len(asked), sum(asked)) == (2, 40 * 8)
    assert min(asked) > 0, "both had a share"


CLAIMING = """
import random, sys, time
from pathlib import Path
from test_store import row
from tsbench.store import Store
asked = 0
with Store(Path(sys.argv[1])) as store:
    print("open", flush=True)
    sys.stdin.readline()
    for n in random.Random(int(sys.argv[2])).sample(range(300), 300):
        while store.answered(str(n)) is None and not store.claim(str(n)):
            time.sleep(0.001)
        if store.answered(str(n)) is None:
            time.sleep(0.002)
            store.put(row(str(n), text=sys.argv[2]))
            asked += 1
        store.release(str(n))
    print(asked)
"""


def test_processes_on_one_store_ask_nothing_twice(tmp_path: Path) -> None:
    paths = os.pathsep.join([os.fspath(HERE), os.environ.get("PYTHONPATH", "")])
    several = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMING, tmp_path, str(n)],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for each in several:
        assert each.stdout is not None
        assert each.stdout.readline() == "open\n"
    asked = []
    for each in several:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    for each in several:
        asked.append(int(each.communicate()[0]))
    assert sum(asked) == 300
    assert min(asked) > 0
    assert sorted(keys(tmp_path), key=int) == [str(n) for n in range(300)]
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {".lock", ".turn", "part-00000.parquet"}


def test_a_process_that_died_claims_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tsbench.store import Store\n"
        "store = Store(Path(sys.argv[1])).__enter__()\n"
        "assert store.claim('a'); print('claimed', flush=True); sys.stdin.readline()\n"
    )
    with Store(tmp_path) as store:
        process = subprocess.Popen(
            [sys.executable, "-c", script, tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        assert not store.claim("a")
        assert store.claim("b")
        process.kill()
        process.communicate()
        assert store.claim("a")


def test_a_read_only_folder_is_found_before_anything_is_asked(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    path = sums(tmp_path / "sums.jsonl", 4)
    with mounted(tmp_path / "disk", "size=4m") as disk:
        tsbench.sweep([*command(endpoint, path, disk / "run", 4), "limit=2"])
        assert endpoint.requests == 8
        remount(disk, "ro")
        for run in (disk / "run", disk / "new"):
            code, said = tsbench.run(command(endpoint, path, run, 4))
            assert code == 2
            sentence = said.strip().splitlines()[-1]
            assert sentence.startswith("tsbench sweep: run: cannot write ")
            assert "Read-only file system" in sentence
        assert endpoint.requests == 8
        assert len(read_samples(disk / "run")) == 8
        remount(disk, "rw")
        tsbench.sweep(command(endpoint, path, disk / "run", 4))
        assert endpoint.requests == len(endpoint.asked) == 16


def test_a_sweep_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    tsbench: Tsbench, endpoint: Endpoint, tmp_path: Path
) -> None:
    path = sums(tmp_path / "sums.jsonl", 30)
    endpoint.answer = lambda prompt, rng: f"The answer is {rng.randbytes(20_000).hex()} 3."
    with mounted(tmp_path / "disk", "size=4m") as disk:
        words = command(endpoint, path, disk / "run", 4)
        code, said = tsbench.run(words)
        assert code == 2
        sentence = said.strip().splitlines()[-1]
        assert sentence.startswith("tsbench sweep: run: cannot write ")
        assert "No space left on device; what was answered before is kept" in sentence
        stored = len(read_samples(disk / "run"))
        lost = endpoint.requests - stored
        assert stored > 20
        assert 0 < lost <= SLOTS
        remount(disk, "size=60m")
        tsbench.sweep(words)
        samples = read_samples(disk / "run")
        assert len(samples) == samples["key"].nunique() == 120
        assert endpoint.requests == 120 + lost


def test_a_full_disk_elsewhere_is_one_sentence_too() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x/curves.parquet")
    found = refusal(ExceptionGroup("", [full]), CONF, "fit")
    assert found == "runs/x/curves.parquet cannot be written: No space left on device"
    assert refusal(OSError(errno.EIO, "what broke"), CONF, "fit") is None


FILLING = """
import resource, sys
from pathlib import Path
from test_store import row
from tsbench.store import Store
n = int(sys.argv[2])
with Store(Path(sys.argv[1])) as store:
    for i in range(n):
        assert store.answered(f"{i:032x}") is None
        store.put(row(f"{i:032x}", text=f"{i} " * 300, problem_id=f"p{i // 32}"))
    for i in range(n):
        store.update(f"{i:032x}", {"correct": 1.0, "status": "ok", "graded": True})
    for i in range(n):
        assert store.answered(f"{i:032x}")["correct"] == 1.0
    assert len(store.frame(["key", "correct"])) == n
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
with Store(Path(sys.argv[1])) as store:
    for i in range(n):
        assert store.answered(f"{i:032x}")["correct"] == 1.0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def memory(folder: Path, n: int) -> list[int]:
    """Return the most MiB that a process had in memory, n rows written and then read."""
    done = python(FILLING, folder, n)
    assert done.returncode == 0, done.stderr
    return [int(each) for each in done.stdout.split()]


def test_memory_does_not_grow_with_what_is_stored(tmp_path: Path) -> None:
    few, many = memory(tmp_path / "few", 1000), memory(tmp_path / "many", 9000)
    assert max(m - f for f, m in zip(few, many, strict=True)) < 24, (few, many)


@pytest.mark.table
def test_memory_of_two_and_fifty_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, many = memory(tmp_path / "few", 2000), memory(tmp_path / "many", 50_000)
    with capsys.disabled():
        print(f"\nMiB written, read again: 2,000 rows {few}, 50,000 rows {many}")
    assert max(m - f for f, m in zip(few, many, strict=True)) < 64
