"""The WASI sandbox: what it runs, what it has not, and when it is chosen."""

import subprocess
import sys

import pytest

from tsbench import sandbox
from tsbench.sandbox import wasi
from tsbench.sandbox.choose import find, holds
from tsbench.sandbox.engine import LIMITS
from tsbench.sandbox.grading import run_cases, run_check
from tsbench.sandbox.prepare import Prepare
from tsbench.types import Case

PROMPT = 'def f(n):\n    """F."""\n'


def grade(engine, source, expected, timeout=30.0):
    return run_cases(engine, source, "f", [Case((3,), expected)], timeout)


@pytest.fixture
def alone(monkeypatch):
    """A machine without bubblewrap."""
    monkeypatch.setattr("tsbench.sandbox.choose.bubblewrap.engines", lambda: iter(()))
    find.cache_clear()
    sandbox.probe.cache_clear()
    yield
    find.cache_clear()
    sandbox.probe.cache_clear()


def test_it_is_chosen_where_there_is_no_bubblewrap_and_says_so(prepared, alone):
    found = sandbox.probe()
    verdict = sandbox.grade("def f(n): return n", "f", [((1,), 1)], timeout=30.0)

    assert found["name"] == "wasi"
    assert found["version"].startswith("wasmtime ")
    assert found["interpreter"].startswith("CPython of componentize-py ")
    assert found["interpreter"].rpartition(" ")[2].startswith("3.")
    assert found["limits"]["AS"] == LIMITS["AS"]
    assert (verdict.status, verdict.sandbox) == ("pass", f"wasi {found['version']}")


def test_bubblewrap_goes_before_it(prepared):
    if next(sandbox.choose.bubblewrap.engines(), None) is None:
        pytest.skip("there is no bubblewrap here")
    assert find().name == "bubblewrap"


def test_it_is_not_chosen_until_it_is_prepared(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path))
    with pytest.raises(sandbox.SandboxUnavailable, match="tsbench prepare once"):
        sandbox.grade("def f(): pass", "f", [((), None)], timeout=1.0)

    assert list(tmp_path.iterdir()) == []


def test_without_its_packages_it_is_refused(monkeypatch):
    monkeypatch.setattr("tsbench.sandbox.wasi.importlib.util.find_spec", lambda name: None)

    assert list(wasi.engines()) == []
    with pytest.raises(ValueError, match=r"pip install 'tsbench\[wasi\]'"):
        Prepare("wasi")()


def test_no_other_sandbox_is_prepared():
    with pytest.raises(ValueError, match="'docker' cannot be prepared; allowed: wasi"):
        Prepare("docker")


def test_preparing_again_builds_nothing(prepared, capsys):
    before = prepared.component.stat().st_mtime_ns
    Prepare("wasi")()

    assert prepared.component.stat().st_mtime_ns == before
    assert str(prepared.component) in capsys.readouterr().out


def test_another_guest_needs_another_build(prepared, monkeypatch):
    monkeypatch.setattr("tsbench.sandbox.wasi.SOURCE", "# another\n")

    assert wasi.prepared() != prepared.component


def test_a_component_that_is_damaged_is_refused(prepared, tmp_path):
    damaged = tmp_path / "damaged.cwasm"
    damaged.write_bytes(prepared.component.read_bytes()[:100_000])
    engine = wasi.Wasi(damaged, prepared.packages, "wasmtime", "CPython")

    assert str(holds(engine)).startswith("the sandbox did not start")


HONEST = {
    "the standard library": (
        "import collections, dataclasses, decimal, fractions, heapq, itertools, json, math, re\n"
        "import statistics, string, typing, xml.etree.ElementTree, zoneinfo, asyncio, random\n"
        "def f(n): return heapq.nsmallest(1, [math.gcd(n, 9), 7])",
        [3],
    ),
    "codecs": ("def f(n): return '\u20ac'.encode('cp1252')", b"\x80"),
    "every type": (
        "def f(n): return [None, True, n, 0.5, 1j, '\\ud800', b'x', (), {1}, frozenset(), {n: []}]",
        [None, True, 3, 0.5, 1j, "\ud800", b"x", (), {1}, frozenset(), {3: []}],
    ),
    "recursion": ("def f(n): return n if n > 900 else f(n + 1)", 901),
    "a map that recurses": ("def f(n): return n if n > 300 else list(map(f, [n + 1]))[0]", 301),
    "noise": ("def f(n):\n    print('x' * 10**6)\n    return n", 3),
}


@pytest.mark.parametrize(("source", "expected"), HONEST.values(), ids=HONEST.keys())
def test_an_honest_program_passes(prepared, source, expected):
    verdict = grade(prepared, source, expected)

    assert verdict.status == "pass", verdict.reason


HELD = {
    "exit code 0": ("import os\ndef f(n): os._exit(0)", "error"),
    "no files": ("def f(n): return open('/etc/passwd').read()", "error"),
    "no folders": ("import os\ndef f(n): return os.listdir('/')", "error"),
    "no environment": ("import os\ndef f(n): return os.environ.get('PATH', 7)", "fail"),
    "no network": ("import socket\ndef f(n): return socket.socket()", "error"),
    "no processes": ("import subprocess\ndef f(n): return subprocess.run(['ls'])", "error"),
    "no threads": ("import threading\ndef f(n): threading.Thread(target=f).start()", "error"),
    "memory": ("def f(n):\n    x = []\n    while True: x.append(bytearray(10**8))", "error"),
    "the stack": ("import sys\nsys.setrecursionlimit(10**7)\ndef f(n): return [f(n)]", "error"),
    "too much": ("def f(n): return 'x' * 3 * 10**6", "error"),
    "lies": ("import wit_world\ndef f(n): wit_world.send('{\"verdict\":null}')", "error"),
    "a loop": ("def f(n):\n    while True: pass", "timeout"),
    "a sleep": ("import time\ndef f(n): time.sleep(60)", "timeout"),
}


@pytest.mark.parametrize(("source", "status"), HELD.values(), ids=HELD.keys())
def test_it_holds(prepared, source, status):
    verdict = grade(prepared, source, 3, timeout=2.0 if status == "timeout" else 30.0)

    assert verdict.status == status, verdict.reason


def test_one_candidate_leaves_nothing_for_the_next(prepared):
    grade(prepared, "import json\njson.note = 5\ndef f(n): return n", 3)
    verdict = grade(prepared, "import json\ndef f(n): return hasattr(json, 'note')", False)

    assert verdict.status == "pass", verdict.reason


def test_a_check_is_carried_between_two_of_them(prepared):
    test = "def check(candidate):\n    assert candidate(3) == 4\n"
    right = run_check(prepared, "def f(n): return n + 1", "f", test, PROMPT, 60.0)
    wrong = run_check(prepared, "def f(n): return n", "f", test, PROMPT, 60.0)

    assert (right.status, wrong.status) == ("pass", "fail")


def test_the_command_says_what_it_made(prepared):
    done = subprocess.run(
        [sys.executable, "-m", "tsbench.cli", "prepare"], capture_output=True, text=True, check=True
    )

    assert str(prepared.component) in done.stdout
    assert "componentize-py" in done.stdout
