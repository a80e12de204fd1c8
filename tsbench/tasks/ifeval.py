"""IFEval: instructions that a program can check (Zhou et al. 2023, arXiv 2311.07911)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsbench.tasks.constraints import Constraint, grade_constraints
from tsbench.tasks.files import Row, read_rows, seeded_prefix, text_of
from tsbench.types import Grade, Item, Message, Problem


@dataclass(frozen=True)
class IFEval:
    """Rows of a local file with the columns key, prompt, instruction_id_list and kwargs.

    A reply is correct when it follows every instruction, strictly; `Grade.score` is the share
    that it follows. The stratum is the number of instructions.
    """

    path: str
    max_tokens: int = 512
    name: str = "ifeval"
    task_class: str = "open_ended"

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; it must be at least 1")

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return a seeded choice of `limit` rows, or every row.

        Raises ValueError for a file, a row or an instruction that cannot be used.
        """
        columns = ("key", "prompt", "instruction_id_list", "kwargs")
        rows = read_rows(Path(self.path), columns)
        return [self.item(row) for row in seeded_prefix(rows, seed, limit)]

    def item(self, row: Row) -> Item:
        """Return one row as an item; its target is a tuple of constraints."""
        constraints = instructions(row)
        problem = Problem(
            id=text_of(row, "key"),
            task=self.name,
            task_class=self.task_class,
            messages=(Message("user", text_of(row, "prompt")),),
            max_tokens=self.max_tokens,
            stratum=f"{len(constraints)} instruction{'s' if len(constraints) > 1 else ''}",
        )
        return Item(problem, constraints)

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the text without the white space around it; None when nothing is left."""
        return text.strip() or None

    def grade(self, item: Item, text: str) -> Grade:
        """Check every instruction; a blank text is unparsed."""
        return grade_constraints(item, text)


def instructions(row: Row) -> tuple[Constraint, ...]:
    """Return a row's instructions; a setting of None is one that a loader has filled in."""
    names, settings = row["instruction_id_list"] or [], row["kwargs"] or []
    if not names or len(names) != len(settings):
        raise ValueError(
            f"task.path: the row {row['key']!r} has {len(names)} in instruction_id_list and "
            f"{len(settings)} in kwargs; allowed are as many of each, at least one"
        )
    try:
        return tuple(
            Constraint(name, {key: value for key, value in each.items() if value is not None})
            for name, each in zip(names, settings, strict=True)
        )
    except ValueError as error:
        raise ValueError(f"task.path: the row {row['key']!r} has a bad {error}") from None
