"""A model judges a reply by one word: P(True) (Kadavath et al. 2022, arXiv 2207.05221)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply
from tsbench.verifiers.shown import Judged, share, shown


@dataclass(frozen=True)
class PTrue(Judged):
    """P(True) / (P(True) + P(False)) of the token after `question`.

    The score is None where neither word is among the `top_logprobs` likeliest tokens.
    """

    name: str = "p_true"
    question: str = "Is this answer correct? Say True or False."
    top_logprobs: int = 10

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show the last question with the proposed answer, and ask for one word."""
        turns = shown(problem, self.question, Proposed_answer=ask.reply)
        return (VerifierCall(turns, max_tokens=1, top_logprobs=self.top_logprobs),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Normalise the two words' probabilities."""
        return share(verdicts[0].first, "true", "false") if verdicts else None
