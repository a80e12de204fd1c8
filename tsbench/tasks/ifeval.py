"""IFEval: instructions that a program can check (Zhou et al. 2023, arXiv 2311.07911)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tsbench.tasks.constraints import Constraint, grade_constraints
from tsbench.tasks.grader import BadCell, Plain, Row, Shown, list_of
from tsbench.types import Grade, Problem


@dataclass(frozen=True)
class Instructions(Plain):
    """A reply is correct when it follows every instruction, strictly.

    `Grade.score` is the share that it follows. The stratum is the number of instructions.
    """

    needs: ClassVar[tuple[str, ...]] = ("instruction_id_list", "kwargs")

    def target(self, row: Row) -> tuple[Constraint, ...]:
        """Return a row's instructions; a setting of None is one that a loader has filled in."""
        names, settings = list_of(row, "instruction_id_list"), list_of(row, "kwargs")
        if not names or len(names) != len(settings):
            found = f"{len(settings)}, for {len(names)} in instruction_id_list"
            raise BadCell("kwargs", f"{found}; allowed are as many of each, at least one")
        try:
            return tuple(
                Constraint(name, {key: value for key, value in each.items() if value is not None})
                for name, each in zip(names, settings, strict=True)
            )
        except (ValueError, AttributeError) as error:
            raise BadCell("instruction_id_list", str(error)) from None

    def shown(self, target: tuple[Constraint, ...]) -> Shown:
        """Show how many there are."""
        return Shown(stratum=f"{len(target)} instruction{'s' if len(target) > 1 else ''}")

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the text without the white space around it; None when nothing is left."""
        return text.strip() or None

    def grade(self, target: tuple[Constraint, ...], answer: str) -> Grade:
        """Check every instruction."""
        return grade_constraints(target, answer)
