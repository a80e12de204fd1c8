"""How a row becomes messages: system prompt, worked examples, template and answer format."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tsbench.tasks.grader import BadCell, text_of
from tsbench.types import Message

ANSWER = "answer"
LONGEST = 1_000_000
"""Characters of a cell that is shown; a longer one is a slip of the file."""


@dataclass(frozen=True)
class Prompt:
    """A template in the syntax of str.format: {column} or {column[0]}, and {{ for a brace.

    `format` is a line put after the template that says how the answer is to be given. An example
    is a row of its own: the template's columns, and `answer`, which is what the model should have
    said. In the style `chat` examples are earlier turns; in `raw`, for a model that was trained to
    continue text, all is one message, parts apart by blank lines, and `lead` (such as "Answer:")
    is what the reply continues. `force` makes the model answer at once after its thoughts, and
    `stop` ends a reply.
    """

    template: str
    format: str = ""
    system: str = ""
    examples: Sequence[Mapping[str, Any]] = ()
    style: Literal["chat", "raw"] = "chat"
    lead: str = ""
    force: str = "\nThe answer is"
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.style not in ("chat", "raw"):
            raise ValueError(f"prompt.style is {self.style!r}; allowed are chat and raw")
        if self.lead and self.style == "chat":
            raise ValueError(
                "prompt.lead is for prompt.style=raw; a chat's reply continues nothing"
            )
        wanted = {*self.columns, ANSWER}
        for number, example in enumerate(self.examples, start=1):
            if missing := sorted(wanted - example.keys()):
                raise ValueError(
                    f"prompt.examples: example {number} has no {missing[0]!r}; "
                    f"it needs {', '.join(sorted(wanted))}"
                )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template shows, in its order; ValueError where it is malformed."""
        return tuple(dict.fromkeys(name.partition("[")[0] for name in places(self.template)))

    def check(self, row: Mapping[str, Any], shown: Sequence[str] = ()) -> None:
        """Raise BadCell for a cell that cannot be shown; the columns in `shown` come later."""
        for name in places(self.template):
            column = name.partition("[")[0]
            if column in shown:
                continue
            try:
                cell, _ = string.Formatter().get_field(name, (), row)
            except (LookupError, TypeError):
                raise BadCell(column, f"it has no place for {{{name}}}") from None
            text_of({column: cell}, column)
            if len(str(cell)) > LONGEST:
                found = f"{len(str(cell))} characters; allowed are at most {LONGEST}"
                raise BadCell(column, found)

    def messages(self, row: Mapping[str, Any]) -> tuple[Message, ...]:
        """Return what the model is sent for a row that has the template's columns."""
        asked = [self.asked(each) for each in (*self.examples, row)]
        told = [str(example[ANSWER]) for example in self.examples]
        system = [Message("system", self.system)] if self.system else []
        if self.style == "raw":
            shown = [self.led(*both) for both in zip(asked, [*told, ""], strict=True)]
            return (*system, Message("user", "\n\n".join(shown)))
        turns = zip(asked, told, strict=False)
        shown_turns = [m for a, t in turns for m in (Message("user", a), Message("assistant", t))]
        return (*system, *shown_turns, Message("user", asked[-1]))

    def asked(self, row: Mapping[str, Any]) -> str:
        """Return one row as a question."""
        question = self.template.format_map(row)
        return f"{question}\n{self.format}" if self.format else question

    def led(self, asked: str, told: str) -> str:
        """Return a question with its lead and what is told after it."""
        parts = (asked, f"{self.lead} {told}".strip() if self.lead or told else "")
        return "\n".join(part for part in parts if part)


def places(template: str) -> list[str]:
    """Return what stands in a template's braces; ValueError for what is no column or index of one.

    A column is a name, and its index (the first is 0) stands in square brackets after it.
    """
    try:
        parts = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"prompt.template {template!r}: {error}; write {{{{ for a brace") from None
    for name in parts:
        if not re.fullmatch(r"[^\W\d]\w*(\[\d+\])?", name):
            raise ValueError(
                f"prompt.template {template!r} has {{{name}}}; allowed are {{column}} and "
                "{column[0]}, and {{ for a brace"
            )
    return parts
