"""Verdicts: call a candidate in a sandbox, and decide here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tsbench.sandbox.compare import matches
from tsbench.sandbox.engine import Engine
from tsbench.sandbox.guest import encode
from tsbench.sandbox.session import Broken, Session
from tsbench.types import Case

Fault = Literal["fail", "error", "timeout", "sandbox_error"]


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


def run_cases(
    engine: Engine, source: str, entry_point: str, cases: Sequence[Case], timeout: float
) -> Verdict:
    """Ask the candidate for one value after the other."""
    calls = [encode((case.args, {})) for case in cases]
    began = time.monotonic()
    passed = 0
    fault: tuple[Fault, str] | None = None
    try:
        with candidate(engine, began + timeout, source, entry_point) as session:
            for call, case in zip(calls, cases, strict=True):
                session.send({"call": call})
                wrong = judge(entry_point, case, session)
                passed += wrong is None
                fault = fault or wrong
    except Broken as broken:
        fault = (broken.status, broken.reason)
    status, reason = fault or ("pass", None)
    return Verdict(status, passed, len(cases), reason, time.monotonic() - began)


def run_check(
    engine: Engine, source: str, entry_point: str, test: str, prompt: str, timeout: float
) -> Verdict:
    """Carry the calls of a test in one sandbox over to a candidate in another."""
    began = time.monotonic()
    program = f"{prompt}\n    pass\n\n{test}"
    order = {"role": "check", "source": program, "entry_point": entry_point}
    calls = 0
    status: Literal["pass"] | Fault
    reason: str | None
    try:
        with (
            Session(engine, began + timeout, order) as tests,
            candidate(engine, began + timeout, source, entry_point) as session,
        ):
            while "verdict" not in (asked := tests.receive()):
                calls += 1
                session.send(asked)
                answer = session.receive()
                session.value(answer.get("value"))
                tests.send(answer)
        status, reason = asked["verdict"], asked["reason"]
        if status == "pass" and not calls:
            status, reason = "sandbox_error", "the tests never called the candidate"
    except Broken as broken:
        status, reason = broken.status, broken.reason
    return Verdict(status, int(status == "pass"), 1, reason, time.monotonic() - began)


def candidate(engine: Engine, deadline: float, source: str, entry_point: str) -> Session:
    """Return a session that serves the calls of a candidate's function."""
    order = {"role": "serve", "source": source, "entry_point": entry_point}
    return Session(engine, deadline, order)


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
