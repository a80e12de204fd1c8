"""A model checks a reply step by step, several times; the score is how often it accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply
from tsbench.verifiers.shown import Judged, shown

SAID = re.compile(r"\b(right|wrong)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SelfVerify(Judged):
    """The share of `samples` sampled checks of at most `max_tokens` tokens that end in "right".

    Zhao et al. 2025, arXiv 2502.01839. A check ends in the last of the words right and wrong that
    it says; one that says neither counts for neither, and where all do the score is None. Equal
    checks that share a request are counted by their log-probabilities, hence `top_logprobs`.
    """

    name: str = "self_verify"
    samples: int = 4
    max_tokens: int = 64
    top_logprobs: int = 1
    question: str = (
        "Check this answer step by step, then end with one word: right, or wrong if it is wrong."
    )

    def __post_init__(self) -> None:
        for name in ("samples", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show the last question with the proposed answer, `samples` times."""
        turns = shown(problem, self.question, Proposed_answer=ask.reply)
        call = VerifierCall(turns, max_tokens=self.max_tokens, top_logprobs=self.top_logprobs)
        return [call] * self.samples

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the share of the readable checks that accept."""
        said = [found[-1].lower() for v in verdicts if (found := SAID.findall(v.text))]
        return said.count("right") / len(said) if said else None
