"""Run the tests that a code problem shows: a verifier that costs no call of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench import sandbox
from tsbench.types import Judge, Problem, VerifierCall, VerifierReply


@dataclass(frozen=True)
class RunPublicTests:
    """The share of the public cases that the reply's program passes, from 0 to 1.

    The score is None where the problem shows no tests, where the reply holds no program, and
    where the sandbox itself failed. `timeout` is in seconds, for all cases.
    """

    name: str = "public_tests"
    timeout: float = 10.0
    unsafe: bool = False

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Need no call."""
        return ()

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Run the program in the sandbox."""
        if problem.public is None or ask.reply.answer is None:
            return None
        result = sandbox.grade(
            ask.reply.answer,
            problem.public.entry_point,
            problem.public.cases,
            timeout=self.timeout,
            unsafe=self.unsafe,
        )
        return None if result.status == "sandbox_error" else result.passed / result.total
