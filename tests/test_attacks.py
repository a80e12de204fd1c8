"""No attack gets through, as root and as an ordinary user; and what a grade leaves behind.

`pytest -m table -s tests/test_attacks.py` also tries the attacks on a process under plain limits
and on the WASI sandbox, and prints how many get through.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from candidates import ATTACKS, HONEST

from tsbench import sandbox
from tsbench.sandbox import bubblewrap
from tsbench.sandbox.choose import find
from tsbench.sandbox.session import Broken, Session

HERE = Path(__file__).parent
ORDINARY = 12345
WHO = ("root", "ordinary user")
KINDS = list(dict.fromkeys(attack.kind for attack in ATTACKS))
PYTHONS = (sys.executable, "/usr/bin/python3")
MODERN = "import sys; sys.exit(sys.version_info < (3, 11))"


@pytest.fixture(scope="module")
def held():
    try:
        return sandbox.probe()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))


def arena(who, *graders):
    """Run the arena as root or as an ordinary user; return what it says of every candidate."""
    if who == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    if who == "root" or os.geteuid() != 0:
        return lines(sys.executable, HERE, HERE.parent, graders, os.environ, {})
    with tree() as folder:
        ordinary = {"user": ORDINARY, "group": ORDINARY, "extra_groups": ()}
        path = {"PATH": f"{folder}:/usr/bin:/bin"}
        return lines(python_of(ordinary), folder, folder, graders, path, ordinary)


def lines(python, scripts, folder, graders, env, user):
    command = [python, str(scripts / "arena.py"), str(folder), *graders]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, **user)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def tree() -> Iterator[Path]:
    """A copy of the sandbox and the arena that any user can read, and bwrap."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside = folder / "tsbench"
        inside.mkdir()
        (inside / "__init__.py").touch()
        for module in ("types.py", "keys.py"):
            shutil.copy(HERE.parent / "tsbench" / module, inside)
        shutil.copytree(HERE.parent / "tsbench" / "sandbox", inside / "sandbox")
        for script in ("arena.py", "candidates.py"):
            shutil.copy(HERE / script, folder)
        subprocess.run(["chmod", "-R", "a+rX", name], check=True)
        (folder / "bwrap").symlink_to(next(bubblewrap.programs()))
        yield folder


def python_of(user):
    """Return a Python that the user may run, or skip."""
    for python in PYTHONS:
        try:
            if not subprocess.run([python, "-c", MODERN], check=False, **user).returncode:
                return python
        except OSError:
            continue
    pytest.skip(f"none of {', '.join(PYTHONS)} is one of 3.11 or newer that a user may run")


@pytest.fixture(scope="module", params=WHO)
def results(request, held):
    if held["name"] != "bubblewrap":
        pytest.skip(f"the sandbox here is {held['name']}")
    return arena(request.param, "bubblewrap-cases", "bubblewrap-check")


def got_through(row):
    return row["status"] == "pass" or bool(row["touched"])


def test_every_attack_is_a_failure_of_its_own(results):
    attacks = [row for row in results if row["kind"] != "honest"]

    assert len(attacks) >= len(ATTACKS) >= 50
    assert [row for row in attacks if got_through(row)] == []
    assert {row["status"] for row in attacks} <= {"fail", "error", "timeout"}


def test_honest_programs_pass(results):
    honest = [row for row in results if row["kind"] == "honest"]

    assert len(honest) == 2 * len(HONEST) == 12
    assert [row for row in honest if row["status"] != "pass" or row["touched"]] == []


@pytest.mark.table
def test_how_many_get_through(capsys, held, prepared):
    columns = {}
    for who in WHO:
        graders = ("bubblewrap-cases", "rlimits-exit", "rlimits-print")
        if who == WHO[0]:
            graders += ("wasi-cases",)
        rows = arena(who, *graders)
        columns |= {(g, who): [r for r in rows if r["grader"] == g] for g in graders}
    with capsys.disabled():
        print(f"\n{table(columns)}")
    for (grader, _), rows in columns.items():
        through = [row for row in rows if row["kind"] != "honest" and got_through(row)]
        assert sum(row["status"] == "pass" for row in rows if row["kind"] == "honest") == 6
        assert len(through) > 50 if "rlimits" in grader else through == []


def table(columns):
    """A Markdown table: attacks that got through, by kind, under each grader."""
    totals = Counter(attack.kind for attack in ATTACKS)
    head = ["attacks", "", *(f"{grader} as {who}" for grader, who in columns)]
    told = [head, ["---"] * len(head)]
    for kind in KINDS:
        through = [
            sum(got_through(row) for row in rows if row["kind"] == kind)
            for rows in columns.values()
        ]
        told.append([kind, totals[kind], *through])
    sums = [sum(row[i] for row in told[2:]) for i in range(1, len(head))]
    told.append(["all", *sums])
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in told)


def test_threads_that_never_end_do_not_hold_the_grade(held):
    source = """
import threading, time
def forever():
    while True: time.sleep(1)
for _ in range(8): threading.Thread(target=forever).start()
def f(n): return n
"""
    verdict = sandbox.grade(source, "f", [((1,), 1)], timeout=20.0)

    assert verdict.status == "pass"
    assert verdict.seconds < 10.0


def test_an_endless_loop_is_a_timeout_after_the_time_allowed(held):
    began = time.monotonic()
    verdict = sandbox.grade("def f(n):\n    while True: pass", "f", [((1,), 1)], timeout=1.5)

    assert verdict.status == "timeout"
    assert 1.4 < time.monotonic() - began < 4.0


def test_one_candidate_leaves_nothing_for_the_next(held):
    write = "def f():\n    open('/tmp/note', 'w').write('42')\n    return 0"
    read = "import os\ndef f(): return os.listdir('/tmp')"

    assert sandbox.grade(write, "f", [((), 0)], timeout=10.0).status == "pass"
    assert sandbox.grade(read, "f", [((), [])], timeout=10.0).status == "pass"


def test_a_guest_that_stops_before_it_is_ready_is_the_sandboxs_failure(held, monkeypatch):
    order = {"role": "serve", "source": "", "entry_point": "f"}
    engine = find()
    monkeypatch.setattr("tsbench.sandbox.engine.SOURCE", "raise SystemExit(1)")
    with pytest.raises(Broken) as caught, Session(engine, time.monotonic() + 5.0, order):
        pass

    assert caught.value.status == "sandbox_error"
