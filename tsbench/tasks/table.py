"""A user's own questions: a file with the columns id, prompt and target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tsbench.tasks.files import Row, read_rows, seeded_prefix, text_of
from tsbench.tasks.math import grade_number, read_number
from tsbench.types import Grade, Item, Message, Problem


@dataclass(frozen=True)
class Table:
    """Rows of a JSONL, CSV or parquet file.

    In the class math the target is a number, compared exactly; in every other class the reply
    must equal the target but for case, white space and a final stop.
    """

    path: str
    task_class: str
    max_tokens: int
    instruction: str = ""
    name: str = "jsonl"

    def __post_init__(self) -> None:
        if self.task_class == "code":
            raise ValueError(
                "task.task_class: code needs tests, which this file has no column for; use "
                "task=humaneval, or math or open_ended here"
            )

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return a seeded choice of `limit` rows, or every row."""
        rows = read_rows(Path(self.path), ("id", "prompt", "target"))
        for number, row in enumerate(rows, start=1):
            for column in ("prompt", "target"):
                if row[column] is None or not str(row[column]).strip():
                    raise ValueError(
                        f"task.path: {Path(self.path).name} row {number} has no {column!r}"
                    )
            if self.task_class == "math" and read_number(str(row["target"])) is None:
                raise ValueError(
                    f"task.path: {Path(self.path).name} row {number} has the target "
                    f"{row['target']!r}, which is no number; the class math needs one"
                )
        return [self.item(row) for row in seeded_prefix(rows, seed, limit)]

    def item(self, row: Row) -> Item:
        """Return one row as an item."""
        asked = "\n".join(part for part in (text_of(row, "prompt"), self.instruction) if part)
        problem = Problem(
            id=text_of(row, "id"),
            task=self.name,
            task_class=self.task_class,
            messages=(Message("user", asked),),
            max_tokens=self.max_tokens,
        )
        return Item(problem, text_of(row, "target"))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the number, or the text in the form that is compared."""
        return read_number(text) if self.task_class == "math" else plain(text)

    def grade(self, item: Item, text: str) -> Grade:
        """Compare with the target."""
        answer = self.answer(item.problem, text)
        if self.task_class == "math":
            return grade_number(str(item.target), answer)
        if answer is None:
            return Grade(None, "unparsed", "the reply is empty")
        return Grade(float(answer == plain(str(item.target))))


def plain(text: str) -> str | None:
    """Fold case and white space and drop a final stop; None if nothing is left."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".").casefold() or None
