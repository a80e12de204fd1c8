"""Verdicts: call a candidate in a sandbox, and decide here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tsbench.sandbox.compare import matches
from tsbench.sandbox.engine import Engine
from tsbench.sandbox.session import Broken, Session
from tsbench.sandbox.values import plain
from tsbench.types import Case

NO_NAMES: dict[str, object] = {}

Fault = Literal["fail", "error", "timeout", "sandbox_error"]


@dataclass(frozen=True)
class Verdict:
    """What became of a candidate.

    "fail" is a wrong value, "error" an exception or a process that ended; "timeout" is the wall
    clock; "sandbox_error" is never the candidate's failure. `passed` of `total` cases held,
    `seconds` is wall time, and `sandbox` names what the candidate ran in.
    """

    status: Literal["pass"] | Fault
    passed: int
    total: int
    reason: str | None
    seconds: float
    sandbox: str


def run_cases(
    engine: Engine, source: str, entry_point: str, cases: Sequence[Case], timeout: float
) -> Verdict:
    """Ask the candidate for one value after the other."""
    calls = [(plain(case.args), NO_NAMES) for case in cases]
    began = time.monotonic()
    passed = 0
    fault: tuple[Fault, str] | None = None
    try:
        with candidate(engine, began + timeout, source, entry_point) as session:
            for call, case in zip(calls, cases, strict=True):
                session.send(call)
                wrong = judge(entry_point, case, *session.receive())
                passed += wrong is None
                fault = fault or wrong
    except Broken as broken:
        fault = (broken.status, broken.reason)
    return verdict(engine, began, passed, len(cases), fault)


def run_check(
    engine: Engine, source: str, entry_point: str, test: str, prompt: str, timeout: float
) -> Verdict:
    """Carry the calls of a test in one sandbox over to a candidate in another."""
    began = time.monotonic()
    program = f"{prompt}\n    pass\n\n{test}"
    order = {"role": "check", "source": program, "entry_point": entry_point}
    try:
        with (
            Session(engine, began + timeout, order) as tests,
            candidate(engine, began + timeout, source, entry_point) as session,
        ):
            fault = carried(tests, session)
    except Broken as broken:
        fault = (broken.status, broken.reason)
    return verdict(engine, began, int(fault is None), 1, fault)


def carried(tests: Session, session: Session) -> tuple[Fault, str] | None:
    """Carry calls and answers until the tests say what is wrong, or None where nothing is."""
    calls = 0
    kind, said = tests.receive()
    while kind == "call":
        calls += 1
        session.send(said)
        answer, value = session.receive()
        tests.send((answer, value) if answer == "value" else ("raised", str(value)))
        kind, said = tests.receive()
    match said:
        case ("pass", None) if calls:
            return None
        case ("pass", None):
            return "sandbox_error", "the tests never called the candidate"
        case ("fail" | "error" | "sandbox_error" as status, str(reason)):
            return status, reason
    raise tests.broken("gave no verdict")


def candidate(engine: Engine, deadline: float, source: str, entry_point: str) -> Session:
    """Return a session that serves the calls of a candidate's function."""
    order = {"role": "serve", "source": source, "entry_point": entry_point}
    return Session(engine, deadline, order)


def judge(entry_point: str, case: Case, kind: str, found: object) -> tuple[Fault, str] | None:
    """Return what is wrong with the answer to one call, or None."""
    called = f"{entry_point}{brief(case.args)}"
    if kind != "value":
        return "error", f"{called} raised {found}"
    return None if matches(case.expected, found) else ("fail", f"{called} returned {brief(found)}")


def brief(value: object) -> str:
    """Return the start of a value's repr."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        return "an integer of very many digits"


def verdict(
    engine: Engine, began: float, passed: int, total: int, fault: tuple[Fault, str] | None
) -> Verdict:
    """Return the verdict; its reason is one short line that any file can hold."""
    status, reason = fault or ("pass", None)
    return Verdict(
        status, passed, total, reason and one_line(reason), time.monotonic() - began, label(engine)
    )


def one_line(text: str) -> str:
    """Return at most 300 characters of a text, with what cannot be printed written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:300])[:300]


def label(engine: Engine) -> str:
    """Return an engine's name and version."""
    return f"{engine.name} {engine.version}"
