"""A benchmark: rows of a file or a data set, how they are asked, and what grades the replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tsbench.tasks.files import NOT_TEXT, Row, Table, read_table, seeded_prefix
from tsbench.tasks.grader import BadCell, Grader, text_of
from tsbench.tasks.graders import grader_of
from tsbench.tasks.prompt import Prompt
from tsbench.types import Grade, Item, Problem

SECONDS = 30.0
"""The longest that one reply may take to grade, where the grader says nothing else."""
DIGITS = 16


@dataclass(frozen=True)
class Benchmark:
    """Questions of one class, each a row.

    Parameters
    ----------
    name : in the log.
    path : a JSONL, JSON, CSV or parquet file (gzip too), a folder of parquet files, or the name
        of a data set of the hub, pinned by `revision`; of several, the later ones add columns to
        the rows of the first that have the same id.
    columns : the grader's and the template's names of columns, and `id` and `stratum`, with the
        file's own; of a list the first that the file has. A column of the same name needs none.
        Without an id, a row's is a hash of its content.
    subset : the strata that are asked; None is all.
    grader : an object, or the name of one (see `graders`); None is that of the class.
    licence, source : what `tsbench tasks` prints.
    """

    name: str
    path: str | Sequence[str]
    task_class: str
    prompt: Prompt
    grader: Grader | str | None = None
    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    max_tokens: int = 256
    subset: Sequence[str] | None = None
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    licence: str = "its owner's"
    source: str = "your own"

    def __post_init__(self) -> None:
        if not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise ValueError(
                f"max_tokens must be a whole number of at least 1, not {self.max_tokens!r}"
            )
        grader_of(self.grader, self.task_class)

    @property
    def by(self) -> Grader:
        """The grader."""
        return grader_of(self.grader, self.task_class)

    @property
    def sandboxed(self) -> bool:
        """Whether programs are run to grade."""
        return self.by.sandboxed

    @property
    def judged(self) -> bool:
        """Whether a judge model is asked to grade."""
        return self.by.judged

    @property
    def unsafe(self) -> bool:
        """Whether programs run outside of a sandbox."""
        return bool(getattr(self.by, "unsafe", False))

    @property
    def seconds(self) -> float:
        """The longest that one reply may take to grade."""
        return float(getattr(self.by, "seconds", SECONDS))

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return a seeded choice of `limit` rows, or every row.

        Raises ValueError, in one sentence, for a file that cannot be used, and for the first row
        of it that cannot, whether it is chosen or not.
        """
        chosen = seeded_prefix(self.questions(), seed, limit)
        targets = self.by.prepared([question.target for question in chosen])
        return [self.item(*both) for both in zip(chosen, targets, strict=True)]

    def item(self, question: Question, target: Any) -> Item:
        """Return a row as an item."""
        shown = self.by.shown(target)
        problem = Problem(
            id=question.id,
            task=self.name,
            task_class=self.task_class,
            messages=self.prompt.messages({**question.row, **shown.columns}),
            stop=tuple(self.prompt.stop),
            max_tokens=self.max_tokens,
            force=self.prompt.force,
            stratum=shown.stratum or question.label,
            public=shown.public,
            entry_point=shown.entry_point,
            stub=shown.stub,
        )
        return Item(problem, target)

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the answer that the reply gives."""
        return self.by.answer(problem, text)

    def grade(self, item: Item, text: str) -> Grade:
        """Grade the answer that the reply gives; a reply without one is unparsed."""
        answer = self.by.answer(item.problem, text)
        if answer is None:
            return Grade(None, "unparsed", "no answer in the reply")
        return self.by.grade(item.target, answer)

    def questions(self) -> list[Question]:
        """Return the rows of the subset; every row is checked."""
        table = self.table()
        names = self.names(table)
        rows: dict[str, int] = {}
        every = []
        for number, theirs in enumerate(table.rows, start=1):
            try:
                question = self.question(theirs, names)
                if question.id in rows:
                    raise BadCell("id", f"{question.id!r} is that of row {rows[question.id]} too")
            except BadCell as error:
                column = names.get(error.column, error.column)
                raise table.bad(number, column, str(error)) from None
            rows[question.id] = number
            every.append(question)
        return every if self.subset is None else within(every, self.subset, table.name)

    def question(self, theirs: Row, names: Mapping[str, str]) -> Question:
        """Return one row, or raise BadCell."""
        grader = self.by
        row = {**theirs, **{ours: theirs.get(name) for ours, name in names.items()}}
        for column in (*self.prompt.columns, *grader.needs, *names.keys() & {"id", "stratum"}):
            readable(row, column)
        self.prompt.check({**dict.fromkeys(grader.shows, ""), **row}, grader.shows)
        key = text_of(row, "id") if "id" in names else digest(theirs)
        target = grader.target(row)
        if row.get("stratum") is None:
            return Question(key, None, None, row, target)
        stratum = str(row["stratum"])
        label = f"{names['stratum']} {stratum}" if stratum.isdigit() else stratum
        return Question(key, stratum, label, row, target)

    def table(self) -> Table:
        """Return the rows of the file; of several, joined by their id."""
        first, *others = [self.path] if isinstance(self.path, str) else self.path
        table = read_table(first, self.revision, self.config, self.split)
        for other in others:
            table = joined(table, read_table(other), self.columns.get("id", "id"))
        return table

    def names(self, table: Table) -> dict[str, str]:
        """Return the file's name of each column that is used; ValueError where it has none."""
        needed = dict.fromkeys((*self.prompt.columns, *self.by.needs))
        wanted = {**dict.fromkeys(needed), "id": ["id"], **self.columns}
        found = {}
        for ours, theirs in wanted.items():
            options = [ours] if theirs is None else options_of(theirs)
            name = next((each for each in options if each in table.columns), None)
            if name is not None:
                found[ours] = name
            elif isinstance(theirs, str) or (ours in needed and ours not in self.by.shows):
                asked = " or ".join(map(repr, options))
                raise ValueError(
                    f"task.path: {table.name} has no column {asked}; it has "
                    f"{', '.join(map(str, table.columns))}"
                )
        return found


@dataclass(frozen=True)
class Question:
    """A checked row: its id, its stratum and what that is called, its columns by our names too."""

    id: str
    stratum: str | None
    label: str | None
    row: Row
    target: Any = field(repr=False)


def within(every: Sequence[Question], subset: Sequence[object], name: str) -> list[Question]:
    """Return the questions of some strata; ValueError for a stratum that there is not."""
    wanted = set(map(str, subset))
    strata = {str(question.stratum) for question in every}
    if absent := sorted(wanted - strata):
        raise ValueError(f"task.subset has {absent[0]!r}; {name} has {', '.join(sorted(strata))}")
    return [question for question in every if str(question.stratum) in wanted]


def joined(table: Table, other: Table, key: str | Sequence[str]) -> Table:
    """Return `table` with the columns that `other` adds to the rows of the same id."""
    mine, theirs = (
        next((name for name in options_of(key) if name in each.columns), None)
        for each in (table, other)
    )
    if mine is None or theirs is None:
        missing = other if theirs is None else table
        raise ValueError(f"task.path: {missing.name} has no id to join the files by")
    rows = {str(row.get(mine)): row for row in table.rows}
    added: dict[str, Row] = {}
    for number, row in enumerate(other.rows, start=1):
        found = str(row.get(theirs))
        if found not in rows or found in added:
            what = "comes twice" if found in added else f"is no id of {table.name}"
            raise other.bad(number, theirs, f"{found!r} {what}")
        added[found] = row
    whole = tuple({**added.get(found, {}), **row} for found, row in rows.items())
    return Table(table.name, whole)


def options_of(names: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list."""
    return [names] if isinstance(names, str) else list(names)


def readable(row: Row, column: str) -> None:
    """Raise BadCell where a cell holds text that is not UTF-8."""
    if isinstance(text := row.get(column), str):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadCell(column, NOT_TEXT) from None


def digest(row: Row) -> str:
    """Return an id made from a row's content: 16 hex digits of a SHA-256."""
    whole = json.dumps(row, sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:DIGITS]
