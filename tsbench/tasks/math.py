"""Math: a generated ladder of arithmetic and word problems; the embedded default."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tsbench.tasks.number import grade_number, read_number
from tsbench.types import Grade, Item, Message, Problem

Kind = Callable[[random.Random], tuple[str, str, int]]


def _sum(r: random.Random) -> tuple[str, str, int]:
    a, b = r.randint(2, 9), r.randint(2, 9)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", a + b


def _carry(r: random.Random) -> tuple[str, str, int]:
    a, b = r.randint(11, 89), r.randint(2, 9)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", a + b


def _product(r: random.Random) -> tuple[str, str, int]:
    a, b = r.randint(2, 9), r.randint(2, 9)
    return f"What is {a} times {b}?", f"{a} times {b} = {a * b}.", a * b


NAMES = ("Tom", "Mia", "Sam", "Eva", "Ben", "Ana", "Leo", "Zoe")
THINGS = ("apples", "books", "coins", "pens", "shells", "cards", "eggs", "stones")


def _story(r: random.Random) -> tuple[str, str, int]:
    name, thing = r.choice(NAMES), r.choice(THINGS)
    a, b = r.randint(2, 9), r.randint(2, 9)
    asked = f"{name} has {a} {thing} and gets {b} more. How many {thing} does {name} have?"
    return asked, f"{a} + {b} = {a + b}.", a + b


def _three(r: random.Random) -> tuple[str, str, int]:
    a, b, c = (r.randint(1, 6) for _ in range(3))
    asked = f"What is {a} + {b} + {c}?"
    return asked, f"{a} + {b} + {c} = {a + b + c}.", a + b + c


def _larger(r: random.Random) -> tuple[str, str, int]:
    a, b = r.sample(range(11, 100), 2)
    return f"Which is larger, {a} or {b}?", f"{max(a, b)} > {min(a, b)}.", max(a, b)


def _difference(r: random.Random) -> tuple[str, str, int]:
    a, b = r.randint(8, 19), r.randint(2, 7)
    return f"What is {a} - {b}?", f"{a} - {b} = {a - b}.", a - b


def _two_step(r: random.Random) -> tuple[str, str, int]:
    name, thing = r.choice(NAMES), r.choice(THINGS)
    a, b, c = r.randint(2, 5), r.randint(2, 5), r.randint(1, 3)
    asked = (
        f"{name} has {a} boxes with {b} {thing} each and gets {c} more. "
        f"How many {thing} does {name} have?"
    )
    return asked, f"{a} times {b} = {a * b}. {a * b} + {c} = {a * b + c}.", a * b + c


def _sequence(r: random.Random) -> tuple[str, str, int]:
    start, step = r.randint(1, 9), r.randint(2, 6)
    a, b, c, d = (start + i * step for i in range(4))
    return f"What comes next: {a}, {b}, {c}?", f"{c} + {step} = {d}.", d


LEVELS: tuple[tuple[Kind, ...], ...] = (
    (_sum, _product),
    (_story, _carry),
    (_difference, _two_step),
    (_larger,),
    (_sequence, _three),
)
FORCE = " The answer is"
EXAMPLES = 5


def worked(kind: Kind, seed: int) -> list[Message]:
    """Return one worked example of a kind as a user and an assistant turn."""
    asked, steps, value = kind(random.Random(seed))
    return [Message("user", asked), Message("assistant", f"{steps}{FORCE} {value}.")]


def header(kind: Kind) -> tuple[Message, ...]:
    """Return a kind's worked examples, the same for all of its problems."""
    return tuple(message for i in range(EXAMPLES) for message in worked(kind, 1000 + i))


@dataclass(frozen=True)
class Arithmetic:
    """The embedded default: five levels, worked examples, exact grading.

    Item i is drawn from the seed and i alone; its level is i mod 5.
    """

    n_items: int
    max_tokens: int
    name: str = "math"
    task_class: str = "math"

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return items 0, 1, ... up to `limit` or `n_items`."""
        return [self.item(seed, i) for i in range(self.n_items if limit is None else limit)]

    def item(self, seed: int, i: int) -> Item:
        """Return item i."""
        r = random.Random(f"{self.name}/{seed}/{i}")
        level = i % len(LEVELS)
        kind = r.choice(LEVELS[level])
        asked, _, value = kind(r)
        problem = Problem(
            id=f"{self.name}-{seed}-{i}",
            task=self.name,
            task_class=self.task_class,
            messages=(*header(kind), Message("user", asked)),
            stop=("\n",),
            max_tokens=self.max_tokens,
            force=FORCE,
            stratum=f"level{level + 1}",
        )
        return Item(problem, str(value))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the number that the reply gives."""
        return read_number(text)

    def grade(self, item: Item, text: str) -> Grade:
        """Compare numbers exactly."""
        return grade_number(str(item.target), self.answer(item.problem, text))
