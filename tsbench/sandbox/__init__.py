"""Run a candidate program and never trust it.

Nothing that decides the verdict runs in, or can be read from, the process that runs the
candidate: the candidate answers values, and this process compares them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from tsbench.sandbox.compare import matches
from tsbench.sandbox.engine import (
    LIMITS,
    OPEN_VARIABLE,
    TMP_BYTES,
    Engine,
    SandboxUnavailable,
    bare,
    engines,
)
from tsbench.sandbox.guest import encode
from tsbench.sandbox.session import MAX_READ, Broken, Session
from tsbench.types import Case

Fault = Literal["fail", "error", "timeout", "sandbox_error"]

__all__ = ["SandboxUnavailable", "Verdict", "grade", "grade_check", "matches", "probe"]


@dataclass(frozen=True)
class Verdict:
    """What became of a candidate.

    "fail" is a wrong value, "error" an exception or a process that ended; "timeout" is the wall
    clock; "sandbox_error" is never the candidate's failure. `passed` of `total` cases held, and
    `seconds` is wall time.
    """

    status: Literal["pass"] | Fault
    passed: int
    total: int
    reason: str | None
    seconds: float


def grade(
    source: str,
    entry_point: str,
    cases: Sequence[Case | tuple[tuple[object, ...], object]],
    *,
    timeout: float,
    unsafe: bool = False,
) -> Verdict:
    """Call a candidate's function with every case's arguments, and compare here.

    Parameters
    ----------
    source : a Python program that defines `entry_point`.
    cases : at least one `Case`, or pair of arguments and expected value (see `matches`).
    timeout : seconds for all of them, the sandbox's start included.
    unsafe : use no sandbox; the environment variable TSBENCH_UNSAFE_SANDBOX=1 must agree.

    Raises SandboxUnavailable where no engine works, and ValueError for no cases, for arguments
    that cannot be sent, or for a time that is not positive.
    """
    pairs = [case if isinstance(case, Case) else Case(*case) for case in cases]
    if not pairs:
        raise ValueError("sandbox: grade needs at least one case")
    calls = [encode((case.args, {})) for case in pairs]
    engine, began = engine_for(unsafe), time.monotonic()
    passed, fault = 0, None
    try:
        with candidate(engine, began + positive(timeout), source, entry_point) as session:
            for call, case in zip(calls, pairs, strict=True):
                session.send({"call": call})
                wrong = judge(entry_point, case, session)
                passed += wrong is None
                fault = fault or wrong
    except Broken as broken:
        fault = (broken.status, broken.reason)
    status, reason = fault or ("pass", None)
    return Verdict(status, passed, len(pairs), reason, time.monotonic() - began)


def grade_check(
    source: str,
    entry_point: str,
    test: str,
    prompt: str,
    *,
    timeout: float,
    unsafe: bool = False,
) -> Verdict:
    """Run a test program's `check(candidate)` in one sandbox, and the candidate in another.

    The test's `candidate` is a stub whose calls this process carries over, so the verdict comes
    from where the candidate is not. HumanEval (Chen et al. 2021, arXiv 2107.03374) has this form.

    Parameters
    ----------
    source : a Python program that defines `entry_point`.
    test : a Python program that defines `check`.
    prompt : what the candidate continued; the tests may use the helpers that it defines.
    timeout : seconds for both sandboxes together.

    Raises as `grade` does. A test that does not load, or never calls the candidate, is a
    "sandbox_error".
    """
    engine, began = engine_for(unsafe), time.monotonic()
    deadline = began + positive(timeout)
    tests = {"role": "check", "source": f"{prompt}\n    pass\n\n{test}", "entry_point": entry_point}
    calls = 0
    try:
        with (
            candidate(engine, deadline, source, entry_point) as session,
            Session(engine, deadline, tests) as judges,
        ):
            while "verdict" not in (asked := judges.receive()):
                calls += 1
                session.send(asked)
                answer = session.receive()
                session.value(answer.get("value"))
                judges.send(answer)
        status, reason = asked["verdict"], asked["reason"]
        if status == "pass" and not calls:
            status, reason = "sandbox_error", "the test never called the candidate"
    except Broken as broken:
        status, reason = broken.status, broken.reason
    return Verdict(status, int(status == "pass"), 1, reason, time.monotonic() - began)


def candidate(engine: Engine, deadline: float, source: str, entry_point: str) -> Session:
    """Return a session that serves the calls of a candidate's function."""
    return Session(
        engine, deadline, {"role": "serve", "source": source, "entry_point": entry_point}
    )


def judge(entry_point: str, case: Case, session: Session) -> tuple[Fault, str] | None:
    """Return what is wrong with the answer to one call, or None."""
    answer = session.receive()
    called = f"{entry_point}{brief(case.args)}"
    if "value" not in answer:
        return "error", f"{called} raised {answer.get('raised')}"[:300]
    found = session.value(answer["value"])
    return None if matches(case.expected, found) else ("fail", f"{called} returned {brief(found)}")


def brief(value: object) -> str:
    """Return the start of a value's repr."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        return "an integer of very many digits"


def positive(timeout: float) -> float:
    """Return the time; ValueError where it is none."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"sandbox: timeout must be a positive number of seconds, found {timeout}")
    return timeout


RIGHT = """
import os, socket
def walls():
    held = 0
    for way in (os.fork, socket.socket, lambda: open("/usr/x", "w"), lambda: os.listdir("/proc")):
        try:
            way()
        except OSError:
            held += 1
    return held
"""
WRONG = "def walls(): return 5"
PROBE = (Case((), 4),)
PROBE_SECONDS = 20.0


@cache
def probe(unsafe: bool = False) -> dict[str, Any]:
    """Return the sandbox's name, version, interpreter and limits, for the manifest.

    An engine counts only if a right program passes in it, whose rightness is that it can neither
    make a process, nor open a socket, nor write, nor see other processes; and a wrong one fails.
    Raises SandboxUnavailable where no engine does.
    """
    engine, interpreter = _found(unsafe)
    return {
        "name": engine.name,
        "version": engine.version,
        "interpreter": f"{engine.python} {interpreter}",
        "limits": {**LIMITS, "TMP": TMP_BYTES, "READ": MAX_READ} if engine.bwrap else LIMITS,
    }
