"""The code tasks: what is asked, what is read out of a reply, and how it is graded."""

import ast
import gzip
import json
import pickle
from collections import Counter

import pytest
from benchmarks import task as benchmark
from joblib import Parallel, delayed

from tsbench import sandbox
from tsbench.tasks.code import HEADER, Code
from tsbench.tasks.docstrings import docstring_cases
from tsbench.tasks.functions import LEVELS, fill
from tsbench.tasks.program import read_program
from tsbench.types import Case, Judge, Problem, Reply
from tsbench.verifiers.public_tests import RunPublicTests

CODE = Code(n_items=25)
STUB = 'def f(n):\n    """Return n plus 2."""'
PROGRAM = "def f(n):\n    return n + 2\n"


@pytest.fixture(scope="module")
def held():
    try:
        return sandbox.probe()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))


def test_a_limit_is_a_prefix_and_the_seed_decides():
    assert CODE.items(3, 10) == CODE.items(3, 25)[:10]
    assert len(CODE.items(3, None)) == 25
    assert [i.problem.id for i in CODE.items(3, 3)] == ["code-3-0", "code-3-1", "code-3-2"]
    first, other = CODE.items(3, 25), CODE.items(4, 25)
    assert {i.problem.messages[-1] for i in first} != {i.problem.messages[-1] for i in other}


def test_levels_take_turns():
    strata = Counter(item.problem.stratum for item in CODE.items(0, None))

    assert strata == {f"level{n}": 5 for n in range(1, 6)}


def test_two_hundred_problems_are_distinct():
    asked = [item.problem.messages[-1].content for item in CODE.items(0, 200)]

    assert len(set(asked)) == 200


def test_the_header_is_shared_and_its_functions_are_not_asked():
    items = CODE.items(0, 200)
    taught = {message.content for message in HEADER}

    assert all(item.problem.messages[:-1] == HEADER for item in items)
    assert not taught & {item.problem.messages[-1].content for item in items}
    for asked, told in zip(HEADER[::2], HEADER[1::2], strict=True):
        assert read_program(asked.content, told.content)


@pytest.mark.parametrize("template", [t for level in LEVELS for t in level], ids=lambda t: t.name)
def test_a_constant_cannot_pass_and_no_problem_shows_its_hidden_cases(template):
    for lap in range(8):
        function = fill(template, lap, "seed")
        outputs = function.outputs()
        assert len(outputs) >= 11
        assert len({repr(value) for value in outputs[:-3]}) > 1
        assert ast.parse(function.stub + "\n    pass")


def test_public_and_hidden_cases_are_two_sets():
    for item in CODE.items(0, 50):
        public, hidden = item.problem.public, item.target
        assert public.entry_point == hidden.entry_point
        assert len(public.cases) == 3
        (test,) = hidden.tests
        assert len(test.cases) >= 8
        assert hidden.solution not in repr(item.problem)
        assert str(test.cases) not in repr(item)


def test_every_solution_passes_and_a_constant_fails(held):
    items = CODE.items(0, 60)
    right = Parallel(n_jobs=2)(delayed(CODE.grade)(item, item.target.solution) for item in items)
    wrong = [CODE.grade(item, "return None") for item in items[:5]]

    assert [grade.correct for grade in right] == [1.0] * 60
    assert {grade.correct for grade in wrong} == {0.0}
    assert all("returned None" in grade.reason for grade in wrong)


@pytest.mark.parametrize(
    "text",
    [
        "return n + 2",
        "    return n + 2",
        "\n    return n + 2\n",
        "def f(n):\n    return n + 2",
        STUB + "\n    return n + 2",
        "```python\ndef f(n):\n    return n + 2\n```",
        "Here it is:\n```python\ndef f(n):\n    return n + 2\n```\nIt adds 2.",
        "```\nreturn n + 2\n```",
        "```python\nf(3)\n```\ngives 5:\n```python\ndef f(n):\n    return n + 2\n```",
        "I think so.\n```python\ndef f(n):\n    return n + 2",
        "Sure!\ndef f(n):\n    return n + 2\n\nThis adds 2 to n.",
        "return n + 2\nThis adds 2 to n.",
        "return (n   +   2)  # the sum",
    ],
)
def test_one_program_in_many_dresses_reads_the_same(text):
    assert read_program(STUB, text) == PROGRAM


def test_a_body_that_lost_its_first_indentation_is_whole():
    text = "total = 0\n    for x in [n]:\n        total += x\n    return total"
    expected = "def f(n):\n    total = 0\n    for x in [n]:\n        total += x\n    return total\n"

    assert read_program(STUB, text) == expected


def test_a_reply_keeps_what_the_prompt_defines_before_the_function():
    stub = 'import math\n\ndef half(n):\n    return n / 2\n\ndef f(n):\n    """F."""\n'
    whole = "from math import tau\ndef f(n):\n    return half(n)"

    assert read_program(stub, "    return half(n)").startswith("import math\n\ndef half(n):")
    assert "def half(n):" in read_program(stub, whole)
    assert "from math import tau" in read_program(stub, whole)


@pytest.mark.parametrize(
    "text",
    ["", "   \n", "I do not know.", "```python\n```", "def f(n) return n", '"""Return n."""', "("],
)
def test_a_reply_without_a_program_is_unparsed(text):
    item = CODE.items(0, 1)[0]

    assert read_program(STUB, text) is None
    assert CODE.answer(item.problem, text) is None
    assert (CODE.grade(item, text).correct, CODE.grade(item, text).status) == (None, "unparsed")


def test_an_endless_loop_is_wrong_where_the_reference_passes(held):
    task = Code(n_items=5, timeout=1.5)
    grade = task.grade(task.items(0, 1)[0], "while True: pass")

    assert (grade.correct, grade.status) == (0.0, "ok")
    assert "reference solution passes" in grade.reason


def test_without_a_reference_that_passes_a_timeout_is_a_status(held, tmp_path):
    row = {
        "id": "a",
        "prompt": 'def f(n):\n    """F."""\n',
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }
    slow = "    while True: pass\n"
    for given in (row, {**row, "canonical_solution": slow}):
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(given) + "\n")
        task = benchmark("humaneval", path, "task.grader.timeout=2")
        grade = task.grade(task.items(0, None)[0], slow)
        assert (grade.correct, grade.status) == (None, "timeout")
        assert grade.reason
        path.unlink()


def test_a_broken_sandbox_is_no_verdict_on_the_candidate(monkeypatch, held):
    monkeypatch.setattr("tsbench.sandbox.engine.SOURCE", "raise SystemExit(1)")
    item = CODE.items(0, 1)[0]
    grade = CODE.grade(item, item.target.solution)
    answer = CODE.answer(item.problem, item.target.solution)

    assert (grade.correct, grade.status) == (None, "sandbox_error")
    assert grade.reason
    assert (
        RunPublicTests().score(item.problem, Judge(Reply("k", "", answer=answer), "v"), ()) is None
    )


def test_a_task_and_its_items_travel_to_a_worker():
    items = CODE.items(0, 5)

    assert pickle.loads(pickle.dumps((CODE, items))) == (CODE, items)


def test_public_tests_score_the_share_that_passes(held):
    item = CODE.items(0, 1)[0]
    problem, verifier = item.problem, RunPublicTests()
    first = problem.public.cases[0]
    partial = (
        f"def {problem.public.entry_point}(*args):\n"
        f"    if args == {first.args!r}: return {first.expected!r}\n"
    )

    def score(answer: str | None, problem: Problem = problem) -> float | None:
        return verifier.score(problem, Judge(Reply("k", "", answer=answer), "v"), ())

    assert not verifier.request(problem, Judge(Reply("k", ""), "v"))
    assert score(item.target.solution) == 1.0
    assert score(partial) == pytest.approx(1 / 3)
    assert score("raise SystemExit") == 0.0
    assert score(None) is None
    assert score("x = 1", Problem("p", "code", "code", ())) is None


PROMPT = '''def f(a, b=1):
    """Add.
    >>> f(1, 2)
    3
    >>> f([1, 2])
    [1, 2]
    >>> f(1) + 1
    3
    >>> f(open("x"))
    4
    >>> f(2, b=3)
    5
    >>> f(4)
    five
    >>> g(1)
    2
    """
'''


def test_docstring_examples_are_literal_calls_with_literal_values():
    assert docstring_cases(PROMPT, "f") == (Case((1, 2), 3), Case(([1, 2],), [1, 2]))
    assert docstring_cases('def f():\n    """None."""\n', "f") == ()
    for said in ("f(1) == 2", "* f(1) => 2 (one more)", "f(1) \u279e 2 # so", "f(1) returns 2."):
        assert docstring_cases(f'def f(n):\n    """\n    {said}\n    """\n', "f") == (
            Case((1,), 2),
        )
    for said in ("f(1) == 2 - 1 = 1", "f(n) == 2", "f(1) is 2", "f(1) == two", "g(1) == 2", "f(1)"):
        assert docstring_cases(f'def f(n):\n    """\n    {said}\n    """\n', "f") == ()
    assert docstring_cases('def f():\n    """\n      >>> f()\n    3\n    """\n', "f") == ()


ROW = {"id": "a", "prompt": STUB + "\n", "entry_point": "f", "test": "def check(candidate): pass"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "test": None}, "row 1, column 'test': empty, and so is base_input"),
        ({**ROW, "test": " "}, "row 1, column 'test': empty"),
        ({k: v for k, v in ROW.items() if k != "prompt"}, "rows.jsonl has no column 'prompt'"),
        ({**ROW, "entry_point": "g"}, "column 'entry_point': 'g', but .* the function 'f'"),
        ({**ROW, "plus_input": [[1]]}, "column 'canonical_solution': empty, and inputs"),
        (
            {**ROW, "plus_input": [1], "canonical_solution": "    return 1\n"},
            "column 'plus_input': its input 1 is 1, no list of arguments",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(row, message, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=message) as caught:
        benchmark("humaneval", path).items(0, None)

    assert "\n" not in str(caught.value)


def test_the_id_column_may_have_another_name(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"task_id" if k == "id" else k: v for k, v in ROW.items()}) + "\n")

    assert benchmark("humaneval", path).items(0, None)[0].problem.id == "a"


def humaneval(shared_data):
    path = shared_data("benchmarks/humaneval/test.jsonl.gz")
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    task = benchmark("humaneval", path)
    return task, task.items(0, None), {row["id"]: row["canonical_solution"] for row in rows}


def test_humaneval_is_read_whole_in_a_seeded_order(shared_data, held):
    task, items, solutions = humaneval(shared_data)

    assert {item.problem.id for item in items} == set(solutions)
    assert len(items) == 164
    assert task.items(0, 20) == items[:20]
    assert task.items(1, 20) != items[:20]
    assert sum(item.problem.public is not None for item in items) == 134
