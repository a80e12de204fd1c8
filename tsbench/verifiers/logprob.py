"""The model's own confidence as a score; it costs no call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply


@dataclass(frozen=True)
class MeanLogprob:
    """Mean log-probability (nats a token) of the reply; None where the endpoint gave none."""

    name: str = "logprob"

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Need no call."""
        return ()

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the reply's mean log-probability."""
        return ask.reply.logprob_mean
