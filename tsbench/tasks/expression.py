"""Answers that are mathematical expressions in LaTeX, compared by math-verify."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from latex2sympy2_extended import NormalizationConfig, normalize_latex
from math_verify import parse, verify
from math_verify.errors import TimeoutException

from tsbench.tasks.grader import BadCell, Plain, Row, text_of
from tsbench.tasks.marks import boxed, marked
from tsbench.types import Grade, Problem

MATH = re.compile(r"\$([^$]+)\$")
SPELLING = NormalizationConfig(
    basic_latex=True,
    units=True,
    malformed_operators=True,
    nits=True,
    boxed="none",
    equations=False,
)
LONGEST = 1000
"""Characters of an answer that is still an expression; what is longer is a reply gone astray."""


SECONDS = 10
"""What math-verify may take to read an expression, or to compare two."""


@dataclass(frozen=True)
class Expression(Plain):
    """What stands in the last \\boxed{} of a reply, else after "The answer is", else in $...$.

    Two spellings of one expression (\\dfrac12 and \\frac{1}{2}) are one answer; whether two
    expressions are equal is math-verify's to say, which runs only where replies are graded.
    """

    seconds: ClassVar[float] = 6.0 * SECONDS

    def target(self, row: Row) -> str:
        """Return the expression in the column `target`."""
        said = text_of(row, "target")
        spelled = spelling(said)
        if spelled is None:
            raise BadCell("target", f"{said!r:.60} is no expression")
        return spelled

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the expression that the reply gives, in its plainest spelling."""
        found = boxed(text) or marked(text) or next(reversed(MATH.findall(text)), None)
        return None if found is None else spelling(found)

    def grade(self, target: str, answer: str) -> Grade:
        """Compare by spelling, then by value; math-verify's own timeout is a status."""
        if target == answer:
            return Grade(1.0)
        try:
            gold, found = (
                parse(f"\\boxed{{{said}}}", parsing_timeout=SECONDS, raise_on_error=True)
                for said in (target, answer)
            )
            equal = verify(gold, found, timeout_seconds=SECONDS, raise_on_error=True)
            return Grade(float(equal))
        except TimeoutException as error:
            return Grade(None, "timeout", f"math-verify: {error}"[:300])
        except Exception as error:
            return Grade(0.0, reason=f"no comparison: {type(error).__name__}: {error}"[:300])


def spelling(said: str) -> str | None:
    """Return an expression without delimiters, final stop and needless commands, None if empty."""
    bare = said.strip().strip("$").removeprefix("\\(").removesuffix("\\)").strip().rstrip(".")
    if not bare or len(bare) > LONGEST:
        return None
    return " ".join(normalize_latex(bare, SPELLING).split()) or None
