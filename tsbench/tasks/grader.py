"""What a benchmark's answers are and when they are right: the protocol of graders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from tsbench.types import Grade, Problem, PublicTests

Row = Mapping[str, Any]


class BadCell(ValueError):  # noqa: N818
    """A cell that a grader cannot use: `column` is the grader's own name of it."""

    def __init__(self, column: str, found: str) -> None:
        super().__init__(found)
        self.column = column


@dataclass(frozen=True)
class Shown:
    """What a problem may show of its hidden target.

    `columns` are those that the grader `shows`; the others are fields of the problem.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    entry_point: str | None = None
    stub: str = ""
    public: PublicTests | None = None
    stratum: str | None = None


class Grader(Protocol):
    """Reads the hidden target of a row, and grades answers by it. Frozen, picklable, no network.

    `needs` are the columns without which a row cannot be graded, and `shows` those that it adds
    for a template. `sandboxed` says that programs are run, `judged` that grading takes a call of a
    judge model.
    """

    needs: ClassVar[tuple[str, ...]]
    shows: ClassVar[tuple[str, ...]]
    sandboxed: ClassVar[bool]
    judged: ClassVar[bool]

    def target(self, row: Row) -> Any:
        """Return what is kept from strategies; BadCell where a cell cannot be used."""
        ...

    def prepared(self, targets: Sequence[Any]) -> list[Any]:
        """Return the targets of the problems that will be asked, with what takes long to find."""
        ...

    def shown(self, target: Any) -> Shown:
        """Return what a problem shows of a prepared target."""
        ...

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the answer in a reply, in one form for equal answers; None where there is none.

        It is called beside requests under way, so it must be quick on any text.
        """
        ...

    def grade(self, target: Any, answer: str) -> Grade:
        """Grade an answer. It runs in a process of its own, which is ended if it hangs."""
        ...


class Plain:
    """The parts of the protocol that most graders have no use for."""

    needs: ClassVar[tuple[str, ...]] = ("target",)
    shows: ClassVar[tuple[str, ...]] = ()
    sandboxed: ClassVar[bool] = False
    judged: ClassVar[bool] = False

    def prepared(self, targets: Sequence[Any]) -> list[Any]:
        """Return them as they are."""
        return list(targets)

    def shown(self, target: Any) -> Shown:
        """Show nothing."""
        return Shown()


def text_of(row: Row, column: str) -> str:
    """Return a cell as text; BadCell where it is empty, or a list or an object."""
    value = row.get(column)
    if value is None or not str(value).strip():
        raise BadCell(column, "empty")
    if isinstance(value, list | dict):
        raise BadCell(column, f"a {type(value).__name__}; it must be text or a number")
    return str(value)


def list_of(row: Row, column: str) -> list[Any]:
    """Return a cell that is a list, no items where it is empty; BadCell where it is another."""
    value = row.get(column) or []
    if not isinstance(value, list):
        raise BadCell(column, f"{value!r:.60} is no list")
    return value
