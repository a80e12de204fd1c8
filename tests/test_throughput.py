"""How many candidates are graded a second, beside a bare `python -c` of the same programs.

`pytest -m table -s tests/test_throughput.py` prints it. Both take turns on the reference
solutions of the code task, with two workers. Time on the clock says what to expect of this
machine as busy as it is; processor time, of grader and sandbox together, depends less on that.
"""

import ctypes
import os
import resource
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from arena import SUBREAPER

from tsbench import sandbox
from tsbench.sandbox.choose import find
from tsbench.tasks.code import Code
from tsbench.tasks.hidden import Hidden

WORKERS, ROUNDS, PROGRAMS = 2, 5, 60
MANY = 10_000


def in_sandbox(target: Hidden) -> bool:
    verdict = sandbox.grade(
        target.solution, target.entry_point, target.tests[0].cases, timeout=60.0
    )
    return verdict.status == "pass"


def bare(target: Hidden) -> bool:
    called = target.entry_point
    tests = [f"assert {called}{case.args!r} == {case.expected!r}" for case in target.tests[0].cases]
    program = "\n".join([target.solution, *tests])
    return subprocess.run([find().interpreter, "-c", program], check=False).returncode == 0


GRADERS = {"sandbox": in_sandbox, "python -c": bare}


def adopt() -> None:
    """Become the parent of what a killed sandbox leaves, so that its time can be counted."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    find()


def measured(name: str, target: Hidden) -> float:
    """Grade once; return the processor time in seconds."""
    before = processor_time()
    assert GRADERS[name](target)
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return processor_time() - before


def processor_time() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.mark.table
def test_throughput(capsys):
    try:
        engine = find()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))
    targets = [item.target for item in Code(PROGRAMS).items(0, None)]
    clock, processor = (dict.fromkeys(GRADERS, 0.0) for _ in range(2))
    with ProcessPoolExecutor(WORKERS, initializer=adopt) as pool:
        list(pool.map(measured, ["sandbox"] * len(targets), targets))
        for _ in range(ROUNDS):
            for name in GRADERS:
                began = time.perf_counter()
                processor[name] += sum(pool.map(measured, [name] * len(targets), targets))
                clock[name] += time.perf_counter() - began
    n = ROUNDS * PROGRAMS
    with capsys.disabled():
        print(f"\n{engine.name} {engine.version}, {engine.interpreter}, {WORKERS} workers:")
        for name in GRADERS:
            print(
                f"  {name}: {n / clock[name]:.1f} programs a second, "
                f"{1e3 * processor[name] / n:.1f} ms of processor time each"
            )
        for what, spent in (("programs a second", clock), ("processor time", processor)):
            print(f"  {what}, as a ratio: {spent['python -c'] / spent['sandbox']:.2f}")
        print(f"  {MANY} candidates, extrapolated: {MANY * clock['sandbox'] / n:.0f} s, of which")
        print(f"  {MANY * processor['sandbox'] / n:.0f} s of processor time on all cores together")
    assert clock["sandbox"] < 10 * clock["python -c"]
