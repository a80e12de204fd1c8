"""Code: generated small functions, and HumanEval from a file; both graded in the sandbox."""

from __future__ import annotations

import ast
import doctest
import random
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tsbench import sandbox
from tsbench.sandbox import Verdict
from tsbench.tasks.files import Row, read_rows, seeded_prefix, text_of
from tsbench.tasks.functions import LEVELS, Function, fill
from tsbench.types import Case, Grade, Item, Message, Problem, PublicTests

INDENT = "    "
DEFINED = re.compile(r"^def (\w+)", re.MULTILINE)
CODE = re.compile(r"^(?:from |import |def |class |@)", re.MULTILINE)
FENCE = re.compile(r"```(?:python|py)?[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


def read_program(stub: str, text: str) -> str | None:
    """Return the program in a reply, in one form for equal programs; None where nothing parses.

    A fence in it, else the reply, gives the whole of `stub`'s last function or the body that
    continues `stub`; a block that names the function goes before one that does not. Lines after
    a program that parses are cut off.
    """
    blocks = [*FENCE.findall(text), text]
    for block in sorted(blocks, key=lambda block: not names(entry_of(stub), block)):
        found = [longest(head, part, entry_of(stub)) for head, part in readings(stub, block)]
        lines, program = max(found, key=lambda one: one[0])
        if lines:
            return program
    return None


def names(entry: str, block: str) -> bool:
    """Say whether a block defines the function."""
    return re.search(rf"^def {entry}\b", block, re.MULTILINE) is not None


def entry_of(stub: str) -> str:
    """Return the name of the last function that a stub defines; ValueError if there is none."""
    defined: list[str] = DEFINED.findall(stub)
    if not defined:
        raise ValueError(f"task: the prompt {stub[:60]!r} defines no function")
    return defined[-1]


def readings(stub: str, block: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read a block: what precedes it, and the part of it that is code.

    It may be a whole function after any words; a body, indented as a whole or not at all; or a
    body whose first line alone lost its indentation.
    """
    entry = entry_of(stub)
    if names(entry, block):
        start = CODE.search(block)
        assert start is not None
        yield stub[: stub.rindex(f"def {entry}")], block[start.start() :]
        return
    body = block.strip("\n")
    head = stub.rstrip() + "\n"
    yield head, textwrap.indent(textwrap.dedent(body), INDENT)
    yield head, INDENT + body.lstrip(" ")


def longest(head: str, part: str, entry: str) -> tuple[int, str]:
    """Return how many leading lines of `part` parse and complete `entry`, and the program."""
    lines = part.rstrip().split("\n")
    for end in range(len(lines), 0, -1):
        try:
            tree = quiet_parse(head + "\n".join(lines[:end]))
            if complete(tree, entry):
                return end, ast.unparse(tree) + "\n"
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return 0, ""


def quiet_parse(source: str) -> ast.Module:
    """Parse a program without the warnings that it would give its author."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def complete(tree: ast.Module, entry: str) -> bool:
    """Drop the docstring of the function `entry`; say whether it does anything."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == entry:
            if ast.get_docstring(node) is not None:
                del node.body[0]
            return not all(
                isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
                for line in node.body
            )
    return False


@dataclass(frozen=True)
class Cases:
    """The hidden test of a generated function."""

    entry_point: str
    cases: tuple[Case, ...]
    solution: str


@dataclass(frozen=True)
class Check:
    """The hidden test of a HumanEval problem; the solution is None where the file has none."""

    entry_point: str
    prompt: str
    test: str
    solution: str | None


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
        return Item(problem, Cases(function.name, hidden, function.solution))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the program that the reply gives."""
        return read_program(problem.messages[-1].content, text)

    def grade(self, item: Item, text: str) -> Grade:
        """Run the program on the hidden cases."""
        hidden = cast(Cases, item.target)

        def verdict(source: str) -> Verdict:
            return sandbox.grade(
                source,
                hidden.entry_point,
                hidden.cases,
                timeout=self.timeout,
                unsafe=self.unsafe,
            )

        return graded(self.answer(item.problem, text), hidden.solution, verdict)


@dataclass(frozen=True)
class HumanEval:
    """Functions to complete, from a local file (Chen et al. 2021, arXiv 2107.03374).

    Its columns are `id_column` (OpenAI's own file says task_id), prompt, entry_point and test;
    with a canonical_solution a program that runs out of time can be told from a slow machine.
    Public tests are the examples in the docstring whose call and value are literals.
    """

    path: str
    max_tokens: int
    id_column: str = "id"
    instruction: str = "Complete this Python function. Answer with the whole function."
    timeout: float = 10.0
    unsafe: bool = False
    name: str = "humaneval"
    task_class: str = "code"

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return a seeded choice of `limit` rows, or every row."""
        rows = read_rows(Path(self.path), (self.id_column, "prompt", "entry_point", "test"))
        return [self.item(row) for row in seeded_prefix(rows, seed, limit)]

    def item(self, row: Row) -> Item:
        """Return one row as an item."""
        prompt, entry = text_of(row, "prompt"), text_of(row, "entry_point")
        if entry_of(prompt) != entry:
            raise ValueError(
                f"task.path: the row {row[self.id_column]!r} has the entry_point {entry!r}, but "
                f"its prompt ends with the function {entry_of(prompt)!r}"
            )
        solution = row.get("canonical_solution")
        cases = docstring_cases(prompt, entry)
        problem = Problem(
            id=text_of(row, self.id_column),
            task=self.name,
            task_class=self.task_class,
            messages=(Message("user", f"{self.instruction}\n\n{prompt}"),),
            max_tokens=self.max_tokens,
            force="\n```python\n",
            public=PublicTests(entry, cases) if cases else None,
        )
        source = None if solution is None else prompt + solution
        return Item(problem, Check(entry, prompt, text_of(row, "test"), source))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the program that the reply gives, after what the prompt defines."""
        return read_program(problem.messages[-1].content[len(self.instruction) + 2 :], text)

    def grade(self, item: Item, text: str) -> Grade:
        """Run the test's check on the program."""
        hidden = cast(Check, item.target)

        def verdict(source: str) -> Verdict:
            return sandbox.grade_check(
                source,
                hidden.entry_point,
                hidden.test,
                hidden.prompt,
                timeout=self.timeout,
                unsafe=self.unsafe,
            )

        return graded(self.answer(item.problem, text), hidden.solution, verdict)


def graded(program: str | None, solution: str | None, verdict: Callable[[str], Verdict]) -> Grade:
    """Grade a program by its verdict.

    One that runs out of time is wrong if the reference solution passes in that time, here and
    now; else nothing is known, and the status is "timeout".
    """
    if program is None:
        return Grade(None, "unparsed", "no program in the reply")
    found = verdict(program)
    if found.status == "timeout":
        if solution is not None and verdict(solution).status == "pass":
            return Grade(0.0, reason="out of time, where the reference solution passes")
        return Grade(None, "timeout", found.reason)
    if found.status == "sandbox_error":
        return Grade(None, "sandbox_error", found.reason)
    return Grade(float(found.status == "pass"), reason=found.reason)


def docstring_cases(prompt: str, entry: str) -> tuple[Case, ...]:
    """Return the `>>>` examples of a prompt that call `entry` with literals and show a literal."""
    tree = quiet_parse(prompt + f"\n{INDENT}pass\n")
    (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry)
    try:
        examples = doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")
    except ValueError:
        return ()
    cases = []
    for example in examples:
        try:
            call = ast.parse(example.source.strip(), mode="eval").body
            if isinstance(call, ast.Call) and ast.unparse(call.func) == entry and not call.keywords:
                args = tuple(ast.literal_eval(arg) for arg in call.args)
                cases.append(Case(args, ast.literal_eval(example.want.strip())))
        except (SyntaxError, ValueError):
            continue
    return tuple(cases)
