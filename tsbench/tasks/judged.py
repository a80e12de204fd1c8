"""Open-ended replies, whose grade takes a call of a judge model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tsbench.tasks.grader import BadCell, Plain, Row, list_of
from tsbench.types import Grade, Problem


@dataclass(frozen=True)
class Judged(Plain):
    """A reply that only a judge can grade; the target is a reference answer, where a row has one.

    The column `target` is text, or a list of which the first is the answer to the first turn.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    judged: ClassVar[bool] = True

    def target(self, row: Row) -> str | None:
        """Return the reference answer, None where the row has none."""
        said = row.get("target")
        if isinstance(said, list):
            said = next(iter(list_of(row, "target")), None)
        if not isinstance(said, str | None):
            raise BadCell("target", f"a {type(said).__name__}; it must be text, or a list of texts")
        return said or None

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the text without the white space around it; None when nothing is left."""
        return text.strip() or None

    def grade(self, target: str | None, answer: str) -> Grade:
        """Refuse: this process asks no model."""
        raise TypeError("a judge model must be configured to grade these replies")
