"""MBPP: functions that a list of asserts decides on (Austin et al. 2021, arXiv 2108.07732)."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.tasks.grader import BadCell, Row, list_of, text_of
from tsbench.tasks.hidden import Calls, Cases, Check, Hidden, Test, Tested
from tsbench.tasks.program import INDENT, quiet_parse
from tsbench.types import Case


@dataclass(frozen=True)
class Asserts(Tested):
    """Asserts in the column `tests`, of which `public` are shown with the question.

    Those that say a literal value of a call with literals are compared outside of the sandbox.
    Where arguments need the program's own classes, or the column `setup`, or the assert is on the
    call itself, the calls alone run after the program. Any other assert, and one on a truth value
    (which 0 and 1 equal), runs as a check in a sandbox of its own, with the column `imports`. The
    reference is the column `solution`.
    """

    needs: ClassVar[tuple[str, ...]] = ("tests",)

    def target(self, row: Row) -> Hidden:
        """Return the row's asserts."""
        texts = [str(text).strip() for text in list_of(row, "tests")]
        solution = None if row.get("solution") is None else text_of(row, "solution")
        try:
            asserts = [one_assert(text) for text in texts]
            entry = asked_function(asserts, solution)
        except (SyntaxError, ValueError) as error:
            raise BadCell("tests", str(error)) from None
        facts = [fact for node in asserts if (fact := fact_of(node, entry)) is not None]
        setup = str(row.get("setup") or "")
        cases = [fact.case for fact in facts if fact.case is not None]
        test: Test
        if len(facts) == len(asserts) and (setup or len(cases) < len(facts)):
            test = Calls(setup, tuple(f.call for f in facts), tuple(f.value for f in facts))
        elif len(cases) == len(asserts) and not any(isinstance(f.value, bool) for f in facts):
            test = Cases(tuple(cases))
        else:
            imports = [*map(str, list_of(row, "imports")), *imports_of(solution)]
            body = [f"{INDENT}{ast.unparse(node)}" for node in asserts]
            head = ["def check(candidate):", f"{INDENT}{entry} = candidate"]
            test = Check("\n".join([*imports, setup, *head, *body]))
        public = self.chosen(entry, len(texts))
        shown = [fact_of(asserts[i], entry) for i in public if not setup]
        return Hidden(
            entry,
            solution,
            (test,),
            public=tuple(fact.case for fact in shown if fact and fact.case),
            told=tuple(texts[i] for i in public),
        )


@dataclass(frozen=True)
class Fact:
    """What an assert says of the function: an expression that calls it, and the literal value.

    `case` is the same as arguments, None where these are not literal.
    """

    call: str
    value: object
    case: Case | None = None


def one_assert(text: str) -> ast.Assert:
    """Return the statement of a test; SyntaxError or ValueError where it is not one assert."""
    match quiet_parse(text).body:
        case [ast.Assert() as node]:
            return node
    raise ValueError(f"{text!r:.60} is no assert")


def fact_of(node: ast.Assert, entry: str) -> Fact | None:
    """Return the fact of `assert f(...) == literal`, `assert f(...)` or `assert not f(...)`."""
    value: ast.expr | None = None
    match node.test:
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[other]):
            value = other
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call):
            pass
        case ast.Call() as call:
            pass
        case _:
            return None
    if call.keywords or ast.unparse(call.func) != entry:
        return None
    if value is None:
        return Fact(f"bool({ast.unparse(call)})", isinstance(node.test, ast.Call))
    try:
        said = ast.literal_eval(value)
    except (ValueError, TypeError):
        return None
    try:
        case = Case(tuple(map(ast.literal_eval, call.args)), said)
    except (ValueError, TypeError):
        case = None
    return Fact(ast.unparse(call), said, case)


def asked_function(asserts: Sequence[ast.stmt], solution: str | None) -> str:
    """Return the function that the asserts call; ValueError where there is none.

    It is the first that the solution defines; without a solution, the first that is no builtin.
    """
    walked = (part for node in asserts for part in ast.walk(node))
    called = [n.func.id for n in walked if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    if solution is None:
        known = {name for name in called if not hasattr(builtins, name)}
    else:
        known = {n.name for n in quiet_parse(solution).body if isinstance(n, ast.FunctionDef)}
    for name in called:
        if name in known:
            return name
    raise ValueError("no assert calls a function that the solution defines")


def imports_of(program: str | None) -> list[str]:
    """Return the top-level imports of a program."""
    body = quiet_parse(program or "").body
    return [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
