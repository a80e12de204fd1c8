"""The hidden tests of a function, and what the graders of functions share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from tsbench import sandbox
from tsbench.sandbox import Verdict
from tsbench.tasks.grader import Shown
from tsbench.tasks.program import read_program
from tsbench.tasks.reference import Inputs
from tsbench.types import Case, Grade, Problem, PublicTests

NO_STUB = "if True:"


class Test(Protocol):
    """One way to try a program in the sandbox."""

    def verdict(self, program: str, entry_point: str, timeout: float, unsafe: bool) -> Verdict: ...


@dataclass(frozen=True)
class Cases:
    """Calls whose values are compared outside of the sandbox."""

    cases: tuple[Case, ...]

    def verdict(self, program: str, entry_point: str, timeout: float, unsafe: bool) -> Verdict:
        """Call the function with all arguments."""
        return sandbox.grade(program, entry_point, self.cases, timeout=timeout, unsafe=unsafe)


@dataclass(frozen=True)
class Check:
    """A program that defines `check(candidate)`; it runs in a sandbox of its own.

    `prompt` is what precedes it: a program that ends where a body may follow.
    """

    program: str
    prompt: str = NO_STUB

    def verdict(self, program: str, entry_point: str, timeout: float, unsafe: bool) -> Verdict:
        """Run the check on the function; one that is called `check` too gets another name."""
        if entry_point == "check":
            program, entry_point = f"{program}\ntsbench_check = check\n", "tsbench_check"
        return sandbox.grade_check(
            program, entry_point, self.program, self.prompt, timeout=timeout, unsafe=unsafe
        )


@dataclass(frozen=True)
class Calls:
    """Expressions that only the candidate's program can evaluate, such as those with its classes.

    Their values are compared outside of the sandbox, so it never learns what is expected.
    """

    setup: str
    calls: tuple[str, ...]
    values: tuple[object, ...]

    def verdict(self, program: str, entry_point: str, timeout: float, unsafe: bool) -> Verdict:
        """Evaluate every expression after the program."""
        calls = ", ".join(f"lambda: {call}" for call in self.calls)
        whole = f"{program}\n{self.setup}\ndef tsbench_call(i):\n    return [{calls}][i]()\n"
        cases = [Case((i,), value) for i, value in enumerate(self.values)]
        return sandbox.grade(whole, "tsbench_call", cases, timeout=timeout, unsafe=unsafe)


@dataclass(frozen=True)
class Hidden:
    """The tests of one function: a program is right if it passes all of them.

    `solution` is the reference, None where there is none. `public` are the tests that a problem
    shows, `told` those as text, and `inputs` are still without their outputs.
    """

    entry_point: str
    solution: str | None
    tests: tuple[Test, ...] = ()
    stub: str = ""
    public: tuple[Case, ...] = ()
    told: tuple[str, ...] = ()
    inputs: Inputs | None = None

    def verdict(self, program: str, timeout: float, unsafe: bool) -> Verdict:
        """Return the first verdict that is no pass, else the last."""
        for test in self.tests:
            found = test.verdict(program, self.entry_point, timeout, unsafe)
            if found.status != "pass":
                break
        return found

    def grade(self, program: str, timeout: float, unsafe: bool) -> Grade:
        """Grade a program by its verdict.

        One that runs out of time is wrong if the reference solution passes in that time, here and
        now; else nothing is known, and the status is "timeout".
        """
        found = self.verdict(program, timeout, unsafe)
        if found.status == "timeout":
            held = self.solution and self.verdict(self.solution, timeout, unsafe)
            if held and held.status == "pass":
                return Grade(0.0, reason="out of time, where the reference solution passes")
            return Grade(None, "timeout", found.reason)
        if found.status == "sandbox_error":
            return Grade(None, "sandbox_error", found.reason)
        return Grade(float(found.status == "pass"), reason=found.reason)


@dataclass(frozen=True)
class Tested:
    """What the graders of functions share. `timeout` is in seconds, for one test of a reply.

    `unsafe` (see tsbench.sandbox) is recorded. `public` tests are shown, chosen by chance that
    hangs on the function's name alone, where the question itself shows none; all are graded.
    """

    timeout: float = 10.0
    unsafe: bool = False
    public: int = 1

    needs: ClassVar[tuple[str, ...]] = ()
    shows: ClassVar[tuple[str, ...]] = ("entry_point", "public_tests")
    sandboxed: ClassVar[bool] = True
    judged: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.public < 0:
            raise ValueError(f"grader.public is {self.public}; it must be 0 or more")

    @property
    def seconds(self) -> float:
        """The longest that one reply may take to grade: two tests, the reference's run too."""
        return 4 * self.timeout + 10

    def prepared(self, targets: Sequence[Hidden]) -> list[Hidden]:
        """Return them as they are."""
        return list(targets)

    def shown(self, target: Hidden) -> Shown:
        """Show the name, the stub and the public tests."""
        public = PublicTests(target.entry_point, target.public) if target.public else None
        columns = {"entry_point": target.entry_point, "public_tests": "\n".join(target.told)}
        return Shown(columns, target.entry_point, target.stub, public)

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the program that the reply gives, after what its stub defines."""
        return read_program(problem.stub, text, problem.entry_point)

    def grade(self, target: Hidden, answer: str) -> Grade:
        """Run the program on the hidden tests."""
        return target.grade(answer, self.timeout, self.unsafe)

    def chosen(self, name: str, several: int) -> list[int]:
        """Return which of several tests are public, the same in every sweep."""
        return sorted(random.Random(name).sample(range(several), min(self.public, several)))
