"""A model compares two replies, in both orders (Zheng et al. 2023, arXiv 2306.05685)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply
from tsbench.verifiers.shown import Judged, share, shown


@dataclass(frozen=True)
class Pairwise(Judged):
    """P(the reply is better than `against`): the mean of P(A) with the reply as A and P(B) as B.

    Asking in both orders takes out a liking for the first or the second place. None where neither
    letter is among the `top_logprobs` likeliest first tokens of one of the two verdicts.
    """

    name: str = "pairwise"
    question: str = "Which answer is better? Say A or B."
    top_logprobs: int = 10
    pairs: ClassVar[bool] = True

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show both answers in both orders. Raises ValueError without a reply to compare with."""
        if ask.against is None:
            raise ValueError(f"{self.name} compares two replies, and was given one")
        orders = ((ask.reply, ask.against), (ask.against, ask.reply))
        return [
            VerifierCall(
                shown(problem, self.question, Answer_A=first, Answer_B=second),
                max_tokens=1,
                top_logprobs=self.top_logprobs,
            )
            for first, second in orders
        ]

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the mean over both orders."""
        shares = [share(verdict.first, "a", "b") for verdict in verdicts]
        if len(shares) != 2 or shares[0] is None or shares[1] is None:
            return None
        return (shares[0] + 1.0 - shares[1]) / 2
