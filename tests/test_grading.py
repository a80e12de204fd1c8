"""A grader that hangs, dies or takes all memory costs its own reply and no other."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tsbench.grading import graded
from tsbench.tasks.benchmark import Benchmark
from tsbench.tasks.expression import Expression
from tsbench.tasks.grader import Plain, Row
from tsbench.tasks.prompt import Prompt
from tsbench.types import Grade, Item, Message, Problem


@dataclass(frozen=True)
class Unruly(Plain):
    """Does what the reply tells it to."""

    seconds: ClassVar[float] = 2.0

    def target(self, row: Row) -> str:
        return str(row["target"])

    def answer(self, problem: Problem, text: str) -> str | None:
        return text or None

    def grade(self, target: str, answer: str) -> Grade:
        if answer == "hang":
            while True:
                pass
        if answer == "sleep":
            time.sleep(3600)
        if answer == "die":
            os._exit(7)
        if answer == "raise":
            raise KeyError("no such thing")
        if answer == "hoard":
            return Grade(float(len(b"x" * 2**34)))
        main = threading.current_thread() is threading.main_thread()
        return Grade(float(answer == target and main))


@pytest.fixture
def unruly() -> Benchmark:
    return Benchmark("unruly", "rows.jsonl", "quiz", Prompt("{prompt}"), grader=Unruly())


def item(n: int, target: object = "yes") -> Item:
    return Item(Problem(f"p{n}", "unruly", "quiz", (Message("user", "?"),)), target)


def test_a_reply_that_hangs_its_grader_is_lost_alone(unruly: Benchmark) -> None:
    replies = ["yes", "hang", "no", "sleep", "die", "yes", "raise", "hoard", "", "yes"]
    asked = [(item(n), reply) for n, reply in enumerate(replies)]
    found = [each.grade for each in graded(unruly, asked, 2)]
    assert [grade.status for grade in found] == [
        *("ok", "timeout", "ok", "timeout", "error", "ok", "error", "error", "unparsed", "ok")
    ]
    assert [grade.correct for grade in found] == [1, None, 0, None, None, 1, None, None, None, 1]
    assert found[1].reason == "grader: it took more than 2 seconds, and was ended"
    assert "exit code 7" in str(found[4].reason)
    assert "KeyError: 'no such thing'" in str(found[6].reason)
    assert "MemoryError" in str(found[7].reason)


@dataclass(frozen=True)
class Impatient(Expression):
    """Gives math-verify less time than it gives itself."""

    seconds: ClassVar[float] = 2.0


def test_math_verify_on_a_tower_of_powers_is_ended() -> None:
    task = Benchmark("towers", "rows.jsonl", "math", Prompt("{question}"), grader=Impatient())
    tower = r"The answer is \boxed{9^{9^{9^{9}}}}."
    asked = [(item(0, "7"), r"\boxed{7}"), (item(1, "7"), tower), (item(2, "7"), r"\boxed{8}")]
    first, second, third = (each.grade for each in graded(task, asked, 1))
    assert (first.correct, third.correct) == (1.0, 0.0)
    assert (second.status, second.correct) == ("timeout", None)
    assert second.reason == "grader: it took more than 2 seconds, and was ended"


def test_nothing_to_grade_starts_no_process(unruly: Benchmark) -> None:
    assert list(graded(unruly, [], -1)) == []
