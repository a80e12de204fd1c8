"""Run a candidate program and never trust it.

Nothing that decides the verdict runs in, or can be read from, the process that runs the
candidate: the candidate answers values, and this process compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tsbench.sandbox.choose import SandboxUnavailable, chosen, probe
from tsbench.sandbox.compare import matches
from tsbench.sandbox.grading import Verdict, run_cases, run_check
from tsbench.sandbox.guest import encode
from tsbench.sandbox.session import MAX_READ
from tsbench.sandbox.values import plain
from tsbench.types import Case

ENVELOPE = 64
"""Bytes around a value, and more than that."""

__all__ = ["SandboxUnavailable", "Verdict", "grade", "grade_check", "matches", "probe"]


def grade(
    source: str,
    entry_point: str,
    cases: Sequence[Case | tuple[tuple[object, ...], object]],
    *,
    timeout: float,
    unsafe: bool = False,
) -> Verdict:
    """Call a candidate's function with the arguments of every case, and compare here.

    Parameters
    ----------
    source : a Python program that defines `entry_point`.
    cases : at least one `Case`, or pair of arguments and expected value (see `matches`), all of
        the types that `guest.encode` names.
    timeout : seconds for all of them, the sandbox's start included.
    unsafe : use no sandbox; the environment variable TSBENCH_UNSAFE_SANDBOX=1 must agree.

    Raises SandboxUnavailable where no engine works, and ValueError for no cases, for arguments
    that cannot be sent, for values that no candidate could answer, or for a time that is not
    positive.
    """
    pairs = [case if isinstance(case, Case) else Case(*case) for case in cases]
    if not pairs:
        raise ValueError("sandbox: grade needs at least one case, found none")
    answerable(entry_point, pairs)
    return run_cases(chosen(unsafe), source, entry_point, pairs, positive(timeout))


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
    prompt : what the candidate continued, up to a docstring; the tests may use its helpers.
    timeout : seconds for both sandboxes together.

    Raises as `grade` does. A test that does not load, or never calls the candidate, is a
    "sandbox_error".
    """
    return run_check(chosen(unsafe), source, entry_point, test, prompt, positive(timeout))


def answerable(entry_point: str, cases: Sequence[Case]) -> None:
    """Raise ValueError where a right candidate could not send the values that are expected."""
    size = 0
    for case in cases:
        try:
            plain(case.expected)
        except ValueError as error:
            raise ValueError(
                f"sandbox: a case of {entry_point} expects {error}, so no candidate could pass it"
            ) from None
        size += len(encode(case.expected)) + ENVELOPE
    if size > MAX_READ:
        raise ValueError(
            f"sandbox: the cases of {entry_point} expect values of {size} bytes as they are sent; "
            f"at most {MAX_READ} are read"
        )


def positive(timeout: float) -> float:
    """Return the time; ValueError where it is none."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"sandbox: timeout must be a positive number of seconds, found {timeout}")
    return timeout
