"""What each grader reads out of a reply, and when that is right."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tsbench import sandbox
from tsbench.tasks.exact import Choice, Exact, form
from tsbench.tasks.expression import Expression
from tsbench.tasks.game24 import Game24
from tsbench.tasks.grader import BadCell
from tsbench.tasks.hidden import Calls, Cases, Check
from tsbench.tasks.judged import Judged
from tsbench.tasks.mbpp import Asserts
from tsbench.tasks.number import Number, grade_number, read_number
from tsbench.tasks.reference import Inputs, expected
from tsbench.types import Case, Message, Problem

PROBLEM = Problem("p", "t", "math", (Message("user", "?"),))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 + 3 = 5. The answer is 5.", "5"),
        ("The answer is: **1,234.50**", "1234.5"),
        ("Answer: $ 12", "12"),
        ("so 3 or 4\n#### -7", "-7"),
        (r"\boxed{\$18.00}", "18"),
        ("first 3, then 4", "4"),
        ("minus \N{MINUS SIGN}3", "-3"),
        ("a half, 1/2", "1/2"),
        ("none", None),
    ],
)
def test_a_number_is_read(text: str, number: str | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("target", "answer", "correct"),
    [
        ("18", "18", 1.0),
        ("0.5", "1/2", 1.0),
        ("1/3", "0.333333", 0.0),
        ("10", "11", 0.0),
        ("10", "1/0", 0.0),
        ("10", "9" * 10_000, 0.0),
    ],
)
def test_numbers_are_compared_exactly(target: str, answer: str, correct: float) -> None:
    assert grade_number(target, answer).correct == correct


def test_a_number_s_target_may_end_a_solution() -> None:
    assert Number().target({"target": "2 + 2 = <<2+2=4>>4\n#### 4"}) == "4"
    with pytest.raises(BadCell, match="'many' is no number"):
        Number().target({"target": "many"})


@pytest.mark.parametrize(
    ("target", "text", "correct"),
    [
        (r"\frac{1}{2}", r"so \boxed{\dfrac12}.", 1.0),
        (r"\frac{1}{2}", "The answer is $0.5$.", 1.0),
        (r"\frac{14}{3}", "**Answer:** 14/3", 1.0),
        (r"3\sqrt{13}", r"\boxed{\sqrt{117}}", 1.0),
        (r"\left( 3, \frac{\pi}{2} \right)", r"\boxed{(3,\pi/2)}", 1.0),
        (r"\text{(C)}", "The final answer is C. I hope it is correct.", 1.0),
        ("p - q", r"\boxed{q - p}", 0.0),
        ("5", r"first \boxed{5}, then \boxed{6}", 0.0),
        ("2", r"\boxed{\frac{}{}{}", None),
        ("2", "I do not know.", None),
        ("2", r"\boxed{" + "1+" * 1000 + "1}", None),
    ],
)
def test_expressions(target: str, text: str, correct: float | None) -> None:
    grader = Expression()
    answer = grader.answer(PROBLEM, text)
    grade = None if answer is None else grader.grade(grader.target({"target": target}), answer)
    assert (None if grade is None else grade.correct) == correct


def test_two_spellings_are_one_vote() -> None:
    said = [r"\boxed{\dfrac{1}{2}}", r"The answer is $\frac12$.", r"\boxed{ \tfrac{1}{2} }"]
    assert {Expression().answer(PROBLEM, text) for text in said} == {r"\frac{1}{2}"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So the answer is (B).", "(b)"),
        ("The answer is B", "(b)"),
        ("The answer is (B) the red book.", "(b)"),
        ("The answer is **C.**", "(c)"),
        (r"\boxed{\text{(D)}}", "(d)"),
        ("It holds.\nAnswer: Yes, because it does.", "yes"),
        ("the answer is Invalid.", "invalid"),
        ("The answer is ] ) }", "] ) }"),
        ("The answer is ])}", "] ) }"),
        ("The answer is apple, bear and cat.", "apple bear and cat"),
        ("Thinking.\n\nTrue\n", "true"),
        ("the answer is -12.", "-12"),
        ("A bear", "a bear"),
        ("", None),
    ],
)
def test_choices_have_one_form(text: str, answer: str | None) -> None:
    assert Choice().answer(PROBLEM, text) == answer
    assert answer is None or form(answer) == answer


def test_exact_is_the_whole_reply() -> None:
    target = Exact().target({"target": " New  York. "})
    assert Exact().answer(PROBLEM, "new york") == target
    assert Exact().grade(target or "", "it is new york").correct == 0.0
    assert Exact().answer(PROBLEM, " \n") is None


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("Answer: (10 - 4) * 4 * 1 = 24", 1.0),
        ("(10 - 4) \N{MULTIPLICATION SIGN} 4 \N{DIVISION SIGN} 1", 1.0),
        (r"\boxed{(10 - 4) \times 4 \cdot 1 = 24}", 1.0),
        ("24 = (10 - 4) * 4 / 1", 1.0),
        ("Answer: 10 + 4 * 4 - 1 = 24", 0.0),
        ("Answer: 4 * 4 + 10 - 2 = 24", 0.0),
        ("Answer: 24 = 24", None),
        ("Answer: (10 - 4) * 4 ** 1", None),
        ("Answer: __import__('os').system('true')", None),
        ("Answer: 10 / (4 - 4) + 1 = 24", 0.0),
        ("Answer: 10(4 - 4) = 24", None),
        ("no idea", None),
    ],
)
def test_game_of_24(text: str, correct: float | None) -> None:
    grader = Game24()
    answer = grader.answer(PROBLEM, text)
    grade = None if answer is None else grader.grade(grader.target({"puzzle": "1 4 4 10"}), answer)
    assert (None if grade is None else grade.correct) == correct


def test_a_puzzle_is_a_row_of_numbers() -> None:
    assert Game24().target({"puzzle": "10, 4 4, 1"}) == (1, 4, 4, 10)
    for puzzle in ("1 2 x 4", "1", "1.5 2 3 4"):
        with pytest.raises(BadCell, match="is no row of whole numbers"):
            Game24().target({"puzzle": puzzle})


def test_a_judge_s_target_is_a_reference_where_there_is_one() -> None:
    assert Judged().target({"target": ["first", "second"]}) == "first"
    assert Judged().target({"target": "one"}) == "one"
    assert Judged().target({}) is None
    with pytest.raises(BadCell, match="a dict; it must be text"):
        Judged().target({"target": {"a": 1}})


@pytest.fixture(scope="module")
def held() -> None:
    try:
        sandbox.probe()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))


PAIR = "class Pair:\n    def __init__(self, a):\n        self.a = a\ndef f(p):\n    return p.a\n"
WITH_MATH = "import math\ndef f(x):\n    return x / 3\n"
MATCH = "import re\ndef f(x):\n    return re.search('a', x)\n"
ASSERTS: list[tuple[str, str, list[str], type, str]] = [
    ("literal calls", "def f(x): return x + 1\n", ["assert f(1) == 2"], Cases, "x + 2"),
    ("a truth value", "def f(x): return int(x > 1)\n", ["assert f(2) == True"], Check, "0"),
    ("its own class", PAIR, ["assert f(Pair(3)) == 3"], Calls, "None"),
    ("a type", "def f(x, t): return t(x)\n", ["assert f('3', int) == 3"], Calls, "None"),
    ("a constant expression", WITH_MATH, ["assert f(1.0/3) == 1/9"], Check, "None"),
    ("nearness", WITH_MATH, ["assert math.isclose(f(1), 0.333, rel_tol=0.01)"], Check, "1"),
    ("a set", "def f(x): return [2, 1]\n", ["assert set(f(0)) == set((1, 2))"], Check, "[1]"),
    ("itself", MATCH, ["assert f('abc')", "assert not f('xyz')"], Calls, "True"),
    ("the name check", "def check(x): return x > 1\n", ["assert check(2) == True"], Check, "0"),
]


@pytest.mark.parametrize(
    ("solution", "tests", "kind", "wrong"), [a[1:] for a in ASSERTS], ids=[a[0] for a in ASSERTS]
)
def test_asserts(held: None, solution: str, tests: list[str], kind: type, wrong: str) -> None:
    grader = Asserts()
    target = grader.target({"tests": tests, "solution": solution})
    assert [type(test) for test in target.tests] == [kind]
    assert target.told == (tests[grader.chosen(target.entry_point, len(tests))[0]],)
    assert grader.grade(target, solution).correct == 1.0
    head, _, _ = solution.rpartition("return ")
    assert grader.grade(target, f"{head}return {wrong}\n").correct == 0.0


def test_setup_runs_after_the_program(held: None) -> None:
    row = {"tests": ["assert f(root) == 3"], "solution": PAIR, "setup": "root = Pair(3)\r\n"}
    target = Asserts().target(row)
    assert target.public == ()
    assert Asserts().grade(target, PAIR).correct == 1.0
    assert Asserts().grade(target, PAIR.replace("p.a", "p")).correct == 0.0


def test_public_asserts_are_the_same_in_every_sweep() -> None:
    tests = [f"assert f({n}) == {n + 1}" for n in range(5)]
    row = {"tests": tests, "solution": "def f(n): return n + 1"}
    one, two = (Asserts(public=n).target(row) for n in (1, 2))
    assert one == Asserts().target(row)
    assert len(one.public) == 1
    assert len(two.public) == 2
    assert one.tests == two.tests == (Cases(tuple(Case((n,), n + 1) for n in range(5))),)
    assert Asserts(public=0).target(row).told == ()
    with pytest.raises(ValueError, match=r"grader\.public is -1"):
        Asserts(public=-1)


@pytest.mark.parametrize(
    ("tests", "found"),
    [
        (["f(1)"], "'f\\(1\\)' is no assert"),
        (["assert f(1) == 2; x = 1"], "is no assert"),
        (["assert f("], "was never closed"),
        (["assert g(1) == 2"], "no assert calls a function that the solution defines"),
        ([], "no assert calls a function"),
    ],
)
def test_bad_asserts_are_named(tests: list[str], found: str) -> None:
    with pytest.raises(BadCell, match=found) as caught:
        Asserts().target({"tests": tests, "solution": "def f(n): return n"})
    assert caught.value.column == "tests"


def test_a_reference_is_run_once_and_what_it_said_is_kept(
    held: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    program = "def f(pair, n):\n    return {n: pair, 'far': float('inf')}\n"
    contract = "    assert isinstance(pair, tuple)\n    assert n > 0\n"
    args = [[[1, 2], 3], [[1, 2], 0], ["x", 1], [[1.5], 10**30]]
    inputs = Inputs(program, "f", contract, args, n_base=1)
    first = expected(inputs, unsafe=False)
    assert first == (
        Case(((1, 2), 3), {3: (1, 2), "far": math.inf}),
        None,
        None,
        Case(((1.5,), 10**30), {10**30: (1.5,), "far": math.inf}),
    )
    monkeypatch.setattr("tsbench.tasks.reference.run_reference", None)
    assert expected(inputs, unsafe=False) == first
    with pytest.raises(TypeError):
        expected(replace(inputs, contract=""), unsafe=False)
