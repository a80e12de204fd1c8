"""Code: generated small functions, graded in the sandbox; the embedded default."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar, cast

from tsbench.tasks.functions import LEVELS, Function, fill
from tsbench.tasks.hidden import Cases, Hidden
from tsbench.tasks.program import read_program
from tsbench.types import Case, Grade, Item, Message, Problem, PublicTests

EXAMPLES = (
    ("def join(a, b):", "Return a, a space and b.", "return a + ' ' + b"),
    (
        "def odd(items):",
        "Return a list of the odd items.",
        "return [x for x in items if x % 2 == 1]",
    ),
    ("def count_words(text):", "Count the words in text.", "return len(text.split())"),
)
HEADER = tuple(
    message
    for signature, doc, body in EXAMPLES
    for message in (
        Message("user", Function("", signature, doc, body, ()).stub),
        Message("assistant", body),
    )
)
N_PUBLIC = 3


@dataclass(frozen=True)
class Code:
    """The embedded default: five levels of small functions, worked examples, hidden cases.

    Item i is drawn from the seed and i alone; its level is i mod 5. `timeout` is in seconds, for
    all cases of one reply; `unsafe` (see tsbench.sandbox) is recorded.
    """

    n_items: int
    max_tokens: int = 48
    timeout: float = 5.0
    unsafe: bool = False
    name: str = "code"
    task_class: str = "code"
    sandboxed: ClassVar[bool] = True

    @property
    def seconds(self) -> float:
        """The longest that one reply may take to grade: its own run, and the reference's."""
        return 2 * self.timeout + 10

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return items 0, 1, ... up to `limit` or `n_items`."""
        return [self.item(seed, i) for i in range(self.n_items if limit is None else limit)]

    def item(self, seed: int, i: int) -> Item:
        """Return item i; the templates of a level take turns in a seeded order."""
        turn, level = divmod(i, len(LEVELS))
        templates = LEVELS[level]
        lap, turn = divmod(turn, len(templates))
        order = random.Random(f"{self.name}/{seed}/{level}").sample(templates, len(templates))
        function = fill(order[turn], lap, f"{self.name}/{seed}")
        cases = [Case(*both) for both in zip(function.inputs, function.outputs(), strict=True)]
        hidden, public = tuple(cases[:-N_PUBLIC]), tuple(cases[-N_PUBLIC:])
        problem = Problem(
            id=f"{self.name}-{seed}-{i}",
            task=self.name,
            task_class=self.task_class,
            messages=(*HEADER, Message("user", function.stub)),
            stop=("\n\n",),
            max_tokens=self.max_tokens,
            force="\n```python\n",
            stratum=f"level{level + 1}",
            public=PublicTests(function.name, public),
        )
        return Item(problem, Hidden(function.name, function.solution, (Cases(hidden),)))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the program that the reply gives."""
        return read_program(problem.messages[-1].content, text)

    def grade(self, item: Item, text: str) -> Grade:
        """Run the program on the hidden cases."""
        program = self.answer(item.problem, text)
        if program is None:
            return Grade(None, "unparsed", "no program in the reply")
        return cast(Hidden, item.target).grade(program, self.timeout, self.unsafe)
