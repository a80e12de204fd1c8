"""A judge that marks a reply by itself (single-answer grading of Zheng et al. 2023, 2306.05685)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.judges.base import Asked, said
from tsbench.types import Grading, Judge, Problem, VerifierCall, VerifierReply

MARK = r"\W*(?:(?:final )?(?:mark|score|rating|grade)\W+)?(\d+(?:\.\d+)?)(?:\s*/\s*\d+)?\W*"


@dataclass(frozen=True)
class Rubric(Asked):
    """A mark from `worst` to `best` as a share of that range; the grade is the mean of repeats.

    `instruction` may name {worst} and {best}. A verdict is read where its first or last line is a
    number in the range.
    """

    worst: int = 1
    best: int = 10
    name: ClassVar[str] = "judge:rubric"
    orders: ClassVar[tuple[bool, ...]] = (False,)
    baseline: ClassVar[None] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.worst < self.best:
            raise ValueError(
                f"judge.best must be above judge.worst, found {self.best} and {self.worst}"
            )

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Show the answer, after the reference answer where there is one."""
        reference = ask.reference if isinstance(ask, Grading) else None
        shown = {"Reference answer": reference, "Answer": ask.reply.text}
        asked = self.instruction.replace("{worst}", str(self.worst))
        return (self.call(problem, shown, asked.replace("{best}", str(self.best))),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Return the mark as a share of its range."""
        return self.read(verdicts[0].text, swapped=False) if verdicts else None

    def read(self, text: str, *, swapped: bool) -> float | None:
        """Return the mark as a share of its range, None where it lies outside."""
        number = said(text, MARK)
        if number is None or not self.worst <= float(number) <= self.best:
            return None
        return (float(number) - self.worst) / (self.best - self.worst)
