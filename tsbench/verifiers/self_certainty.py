"""The model's own confidence over what else it might have said; it costs no call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply


@dataclass(frozen=True)
class SelfCertainty:
    """How far the model's next-token distributions were from even, a mean over the reply's tokens.

    Self-certainty (Kang et al. 2025, arXiv 2502.18581) over the alternatives that the endpoint
    listed, `model.top_logprobs` a token, in nats and up to a constant; see
    `tsbench.models.logprobs.confidence`. None where fewer than two were listed.
    """

    name: str = "self_certainty"

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Need no call."""
        return ()

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the reply's confidence."""
        return ask.reply.confidence
