"""The model judges a reply by itself: P(True) (Kadavath et al. 2022, arXiv 2207.05221)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tsbench.types import Message, Problem, Reply, VerifierCall, VerifierReply


@dataclass(frozen=True)
class PTrue:
    """P(True) / (P(True) + P(False)) of the token after `question`.

    The score is None where neither word is among the `top_logprobs` likeliest tokens.
    """

    name: str = "p_true"
    question: str = "Is this answer correct? Say True or False."
    top_logprobs: int = 10

    def request(self, problem: Problem, reply: Reply) -> VerifierCall | None:
        """Show the last question with the proposed answer, and ask for one word."""
        asked = problem.messages[-1].content
        shown = f"{asked}\nProposed answer: {reply.text.strip()}\n{self.question}"
        return VerifierCall((Message("user", shown),), max_tokens=1, top_logprobs=self.top_logprobs)

    def score(self, problem: Problem, reply: Reply, verdict: VerifierReply | None) -> float | None:
        """Normalise the two words' probabilities, whatever their case and leading space."""
        if verdict is None:
            return None
        mass = {"true": 0.0, "false": 0.0}
        for token, logprob in verdict.first.items():
            word = token.strip().lower()
            if word in mass:
                mass[word] += math.exp(logprob)
        total = mass["true"] + mass["false"]
        return mass["true"] / total if total > 0 else None
