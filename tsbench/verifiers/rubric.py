"""A judge that marks a reply, read as an expectation (G-Eval, Liu et al. 2023, 2303.16634)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply
from tsbench.verifiers.shown import Judged, shown

BEST = 9
"""The best mark: one digit, as many tokenizers begin a 10 with the token of a 1."""


@dataclass(frozen=True)
class Rubric(Judged):
    """The mark from 0 to 9 that the model gives a reply, as a share of 9.

    It is the expected mark over the digits among the `top_logprobs` likeliest first tokens:
    finer than one sampled mark, for the same call. Where no digit is among them, or the endpoint
    gives no log-probabilities, it is the first number of the verdict's `max_tokens` tokens; None
    where that is not from 0 to 9, or there is none.
    """

    name: str = "rubric"
    question: str = (
        "Mark this answer from 0 (surely wrong) to 9 (surely right). Say the mark alone."
    )
    max_tokens: int = 4
    top_logprobs: int = 20

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show the last question with the proposed answer, and ask for a mark."""
        turns = shown(problem, self.question, Proposed_answer=ask.reply)
        return (VerifierCall(turns, max_tokens=self.max_tokens, top_logprobs=self.top_logprobs),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the expected or the said mark over 9."""
        if not verdicts:
            return None
        marks = [
            (int(token), math.exp(logprob))
            for token, logprob in verdicts[0].first.items()
            if re.fullmatch(r"\s*[0-9]\s*", token)
        ]
        total = sum(chance for _, chance in marks)
        if total > 0:
            return sum(mark * chance for mark, chance in marks) / total / BEST
        said = re.search(r"-?\d+(\.\d+)?", verdicts[0].text)
        mark = float(said[0]) if said else -1.0
        return mark / BEST if 0 <= mark <= BEST else None
