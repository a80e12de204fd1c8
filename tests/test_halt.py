"""A sweep that is ended before its end loses nothing, says so, and goes on when run again."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, serve, sometimes_right

from tsbench.store import read_samples

PROBLEMS, K, SLOTS = 12, 4, 4


class Slow(Endpoint):
    """Answers after a while, or never once `hangs`."""

    def __init__(self, seconds: float, answer: Callable[[str, random.Random], str]) -> None:
        super().__init__(answer)
        self.seconds = seconds
        self.released = threading.Event()
        self.hangs = False

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = super().reply(path, body)
        self.released.wait(60.0 if self.hangs else self.seconds)
        return answer


def command(endpoint: Endpoint, folder: Path, *more: str) -> list[str]:
    rows = folder.parent / "sums.jsonl"
    if not rows.exists():
        lines = [
            {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
            for i in range(PROBLEMS)
        ]
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [
        *("task=jsonl", f"task.path={rows}", "task.task_class=math", "model=openai"),
        *(f"model.base_url={endpoint.base_url}", "model.name=m", f"model.slots={SLOTS}"),
        *("strategy=majority", f"strategy.k={K}", f"run={folder}", "jobs=1", "analyse=false"),
    ]
    return [sys.executable, "-m", "tsbench.cli", "sweep", *words, *more]


def begun(endpoint: Endpoint, folder: Path, answered: int) -> subprocess.Popen[str]:
    """Start a sweep as a terminal does, in a process group, and wait for its first replies."""
    process = subprocess.Popen(
        command(endpoint, folder), start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while endpoint.requests < answered + SLOTS:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the sweep asked nothing"
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(
    ("sent", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_drains_saves_and_says_how_to_go_on(
    tmp_path: Path, sent: signal.Signals, code: int, name: str
) -> None:
    with serve(Slow(0.2, sometimes_right)) as endpoint:
        folder = tmp_path / "run"
        process = begun(endpoint, folder, answered=2 * SLOTS)
        os.killpg(process.pid, sent)
        said = process.communicate(timeout=30)[1]
        assert process.returncode == code, said
        assert f"{name}: no new asks; those in flight are awaited" in said
        assert f"ended by {name}; what was answered is in {folder}, and the same command" in said
        assert "Traceback" not in said
        kept = read_samples(folder)
        assert endpoint.requests == len(kept) < PROBLEMS * K, "nothing that was asked is lost"
        assert kept["status"].eq("ok").all()
        again = subprocess.run(
            command(endpoint, folder), check=True, capture_output=True, text=True
        )
        assert f"Asked now: {PROBLEMS * K - len(kept)} replies" in again.stderr
        assert endpoint.requests == PROBLEMS * K
    samples = read_samples(folder)
    assert set(kept["key"]) < set(samples["key"])
    assert samples["correct"].notna().all()


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    with serve(Slow(0.05, sometimes_right)) as endpoint:
        folder = tmp_path / "run"
        process = begun(endpoint, folder, answered=SLOTS)
        endpoint.hangs = True
        time.sleep(0.5)  # what is answered quickly is, what is asked now hangs
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it awaits what is in flight"
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]
        endpoint.released.set()
        assert time.monotonic() - began < 10
        assert process.returncode == 130, said
        assert "the same command goes on" in said
        assert "Traceback" not in said
        kept = read_samples(folder)
        assert SLOTS <= len(kept) == endpoint.requests - SLOTS
        endpoint.hangs = False
        subprocess.run(command(endpoint, folder), check=True, capture_output=True)
        assert endpoint.requests == PROBLEMS * K + SLOTS, "what hung is asked again, once"
