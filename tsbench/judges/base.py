"""What judges of an evaluation share: how they are shown replies, and how verdicts make a grade."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

from tsbench.models.base import Model
from tsbench.types import Grade, Grading, Message, Problem, Reply, VerifierCall, VerifierReply
from tsbench.types import Judge as Ask


class Judge(Protocol):
    """Grades replies by verdicts of `model`, each asked `repeats` times.

    To the runner it is a verifier, whose asks are of the kind `grade`. `orders` are the ways in
    which a reply is shown (swapped or not), and `baseline` says what it is compared with: None is
    nothing.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> Model | None: ...

    @property
    def repeats(self) -> int: ...

    @property
    def orders(self) -> tuple[bool, ...]: ...

    @property
    def baseline(self) -> str | None: ...

    def request(self, problem: Problem, ask: Ask) -> Sequence[VerifierCall]: ...

    def score(
        self, problem: Problem, ask: Ask, verdicts: Sequence[VerifierReply]
    ) -> float | None: ...

    def read(self, text: str, *, swapped: bool) -> float | None:
        """Return how good a verdict calls the reply, from 0 to 1; None if it cannot be read."""
        ...


@dataclass(frozen=True)
class Asked:
    """The parts of a judge that do not hang on what it is asked.

    `model` answers the `instruction`; `lead` begins its reply, where its api is completions;
    `max_tokens` bound a verdict, thoughts included; every judgement is asked `repeats` times.
    """

    instruction: str

    _: KW_ONLY
    model: Model | None = field(default=None, repr=False)
    repeats: int = field(default=1, repr=False)
    max_tokens: int = 512
    lead: str = ""

    def __post_init__(self) -> None:
        for name in ("repeats", "max_tokens"):
            value: Any = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"judge.{name} must be a whole number of at least 1, found {value!r}"
                )
        if self.lead and self.model is not None and not self.model.continues:
            raise ValueError(
                "judge.lead begins the judge's reply, which judge.model.api=chat cannot; use "
                "judge.model.api=completions"
            )

    def call(self, problem: Problem, shown: dict[str, str | None], asked: str) -> VerifierCall:
        """Return one turn: the problem's last question, each text under its title, and `asked`."""
        parts = {"Request": problem.messages[-1].content, **shown}
        sections = [f"[{title}]\n{text.strip()}" for title, text in parts.items() if text]
        turn = Message("user", "\n\n".join([*sections, asked]))
        tops = 1 if getattr(self.model, "batch", 1) > 1 else 0  # by which shared ones are counted
        return VerifierCall((turn,), self.lead, self.max_tokens, tops)


def compared(ask: Ask) -> tuple[Grading, Reply]:
    """Return the ask of a comparison and the reply compared with; ValueError for another ask."""
    if not isinstance(ask, Grading) or ask.against is None:
        raise ValueError("a judge that compares needs a baseline's reply")
    return ask, ask.against


def said(text: str, pattern: str) -> str | None:
    """Return what the first or the last line of a verdict says and nothing else.

    `pattern` has one group. None where neither line is of that form, or both are and differ.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    found = {
        match[1].lower()
        for line in {*lines[:1], *lines[-1:]}
        if (match := re.fullmatch(pattern, line, re.IGNORECASE))
    }
    return found.pop() if len(found) == 1 else None


def graded(verdicts: Sequence[tuple[bool, Reply]]) -> Grade:
    """Return the grade that verdicts make: the mean over the orders of each order's mean.

    `verdicts` are pairs of whether the order was swapped, and the judge's reply. One that cannot
    be read is left out while its order has others. A reply without a readable verdict in every
    order has no grade, nor has one of which a judgement failed: its status is error, the reason
    says why, and it is asked again where the judge did not answer.
    """
    failed = next((v for _, v in verdicts if v.status not in ("ok", "unparsed")), None)
    if failed is not None:
        return Grade(None, "error", f"judge: {failed.status}: {failed.reason}"[:500])
    means = []
    for order in sorted({swapped for swapped, _ in verdicts}):
        mine = [v for swapped, v in verdicts if swapped == order]
        read = [v.score for v in mine if v.score is not None]
        if not read:
            reason = f"judge: no verdict could be read, such as {mine[0].text.strip()[:80]!r}"
            return Grade(None, "error", reason)
        means.append(sum(read) / len(read))
    return Grade(sum(means) / len(means))
