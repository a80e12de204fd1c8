"""A judge that compares a reply with a baseline's (Zheng et al. 2023, arXiv 2306.05685)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tsbench.judges.base import Asked, compared, said
from tsbench.types import Judge, Problem, VerifierCall, VerifierReply

VERDICT = r"\W*(?:(?:final )?(?:verdict|answer|winner)\W+)?(A|B|tie)\W*"
WINS = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Pairwise(Asked):
    """A win is 1, a loss 0, a tie 1/2; the grade is the mean over both orders and all repeats.

    `baseline` is `own`, one more plain reply of the swept model to each problem, which is in no
    pool, or a file of replies (see `tsbench.judges.baselines`). A verdict is read where its first
    or last line is A, B or tie.
    """

    baseline: str = field(default="own", repr=False)
    name: ClassVar[str] = "judge:pairwise"
    orders: ClassVar[tuple[bool, ...]] = (False, True)

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show both answers in the order asked for; ValueError without a baseline's reply."""
        grading, against = compared(ask)
        pair = (ask.reply.text, against.text)
        first, second = pair[::-1] if grading.swapped else pair
        shown = {"Reference answer": grading.reference, "Answer A": first, "Answer B": second}
        return (self.call(problem, shown, self.instruction),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return 1 for a win of the reply, 0 for a loss, 1/2 for a tie."""
        return self.read(verdicts[0].text, swapped=compared(ask)[0].swapped) if verdicts else None

    def read(self, text: str, *, swapped: bool) -> float | None:
        """Return what a verdict says of the reply, which was shown as B where `swapped`."""
        word = said(text, VERDICT)
        if word is None:
            return None
        return 1.0 - WINS[word] if swapped else WINS[word]
