"""The model's own confidence as a score; it costs no call."""

from __future__ import annotations

from dataclasses import dataclass

from tsbench.types import Problem, Reply, VerifierCall, VerifierReply


@dataclass(frozen=True)
class MeanLogprob:
    """Mean log-probability (nats a token) of the reply; None where the endpoint gave none."""

    name: str = "logprob"

    def request(self, problem: Problem, reply: Reply) -> VerifierCall | None:
        """Need no call."""
        return None

    def score(self, problem: Problem, reply: Reply, verdict: VerifierReply | None) -> float | None:
        """Return the reply's mean log-probability."""
        return reply.logprob_mean
