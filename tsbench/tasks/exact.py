"""Answers that are text: the whole reply, or what it says the answer is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsbench.tasks.grader import Plain, Row, text_of
from tsbench.tasks.marks import boxed, last_line, marked
from tsbench.types import Grade, Problem

OPTION = re.compile(r"\(([A-Z])\)|([A-Z])(?=[.:)]|$)")
VERDICT = re.compile(r"(?:yes|no|true|false|valid|invalid)\b", re.IGNORECASE)
BRACKETS = re.compile(r"[\[\](){}<>\s]+")


def plain(text: str) -> str | None:
    """Fold case and white space and drop a final stop; None if nothing is left."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".").casefold() or None


@dataclass(frozen=True)
class Exact(Plain):
    """The whole reply must equal the target but for case, white space and a final stop."""

    def target(self, row: Row) -> str | None:
        """Return the column `target`, in the form that is compared."""
        return plain(text_of(row, "target"))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the reply, in the form that is compared."""
        return plain(text)

    def grade(self, target: str, answer: str) -> Grade:
        """Compare."""
        return Grade(float(target == answer))


@dataclass(frozen=True)
class Choice(Exact):
    """What stands after "The answer is", in a box or on the last line, in the form of the target.

    The forms are those of BIG-Bench Hard (Suzgun et al. 2022, arXiv 2210.09261): an option, as
    (B), B or "(B) the words of it"; a verdict (yes, no, True, False, valid, invalid), whatever
    follows it; brackets, however spaced; words, with or without commas between them; a number.
    """

    def target(self, row: Row) -> str | None:
        """Return the column `target`, in the form that is compared."""
        return form(text_of(row, "target"))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return what the reply says the answer is, in the form that is compared."""
        found = boxed(text) or marked(text) or last_line(text)
        return None if found is None else form(found)


def form(said: str) -> str | None:
    """Return an answer in the one form that equal answers share; None if nothing is left."""
    bare = re.sub(r"\\text\{(.*)\}", r"\1", said).strip(" \"'`*$")
    if option := OPTION.match(bare):
        return f"({(option[1] or option[2]).casefold()})"
    if verdict := VERDICT.match(bare):
        return verdict[0].casefold()
    if BRACKETS.fullmatch(bare):
        return " ".join(bare.replace(" ", "")) or None
    return plain(bare.replace(",", " "))
