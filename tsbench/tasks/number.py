"""Answers that are numbers, compared exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from tsbench.tasks.grader import BadCell, Plain, Row, text_of
from tsbench.types import Grade, Problem

MINUS = "\N{MINUS SIGN}"
NUMBER = rf"[-{MINUS}]?\$?\s?\d[\d,]*(?:\.\d+)?(?:/\d+)?"
MARKED = re.compile(rf"(?:answer is|answer:|####|\\boxed\{{)[\s:*$]*({NUMBER})", re.IGNORECASE)
ANY = re.compile(NUMBER)


def read_number(text: str) -> str | None:
    """Return the last number that is marked as the answer, else the last number, else None.

    Marks are "answer is", "Answer:", "####" and \\boxed. Equal numbers read alike: thousands
    separators, a currency sign and trailing zeros are taken off.
    """
    found = MARKED.findall(text) or ANY.findall(text)
    if not found:
        return None
    number = re.sub(r"[\s,$]", "", found[-1]).replace(MINUS, "-")
    return re.sub(r"\.0+$|(\.\d*?)0+$", r"\1", number) if "." in number else number


def grade_number(target: str, answer: str | None) -> Grade:
    """Compare two numbers exactly, each as `read_number` gives it."""
    if answer is None:
        return Grade(None, "unparsed", "no number in the reply")
    return Grade(float(value(target) == value(answer)))


def value(number: str) -> Fraction | str:
    """Return a number as a fraction; one that is none (1/0, or of thousands of digits) as it is."""
    over, _, under = number.partition("/")
    try:
        return Fraction(over) / Fraction(under or 1)
    except (ValueError, ZeroDivisionError):
        return number


@dataclass(frozen=True)
class Number(Plain):
    """The last number of a reply, one that is marked as the answer before others.

    The target may stand at the end of a worked solution, after "####".
    """

    def target(self, row: Row) -> str:
        """Return the number in the column `target`."""
        said = text_of(row, "target")
        number = read_number(said)
        if number is None:
            raise BadCell("target", f"{said!r:.60} is no number")
        return number

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the number that the reply gives."""
        return read_number(text)

    def grade(self, target: str, answer: str) -> Grade:
        """Compare numbers exactly."""
        return grade_number(target, answer)
