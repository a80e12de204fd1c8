"""HumanEval, and EvalPlus: functions that a check or a reference solution decides on."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from joblib import Parallel, delayed

from tsbench.sandbox import matches
from tsbench.tasks.docstrings import docstring_cases
from tsbench.tasks.grader import BadCell, Row, list_of, text_of
from tsbench.tasks.hidden import NO_STUB, Calls, Check, Hidden, Test, Tested
from tsbench.tasks.program import DEFINED, entry_of, quiet_parse
from tsbench.tasks.reference import FOUND, Inputs, expected
from tsbench.types import Case

EQUAL = """
def alike(expected, found):
    if isinstance(expected, float) and isinstance(found, (int, float)):
        near = abs(expected - found) <= ATOL + 1e-6 * abs(expected)
        return near or expected == found or (expected != expected and found != found)
    if isinstance(expected, (list, tuple)) and type(expected) is type(found):
        return len(expected) == len(found) and all(map(alike, expected, found))
    return expected == found

def unordered(expected, found):
    return set(expected) == set(found)

def check(candidate):
    for args, expected in CASES:
        assert RULE(expected, candidate(*args))
"""


@dataclass(frozen=True)
class Function(Tested):
    """HumanEval and EvalPlus: a function to complete or to write.

    A test is the column `test`, a program that defines `check(candidate)` (HumanEval, Chen et al.
    2021, arXiv 2107.03374), or `base_input` and `plus_input`, lists of arguments whose values are
    those of the `canonical_solution` (EvalPlus, Liu et al. 2023, arXiv 2305.01210), or both. Of
    inputs, those that the `contract` refuses and those for which the reference raises, takes long
    or returns no plain value are left out. Floats may differ by `atol`; the functions in
    `unordered` return a collection in any order; those in `find` return a match or None, and it
    counts which; those in `several` may rightly return another value than the reference, so they
    have no inputs. Public tests are the examples in the
    docstring that the reference agrees with, and without a stub `public` of the base inputs.
    """

    unordered: Sequence[str] = ()
    find: Sequence[str] = ()
    several: Sequence[str] = ()

    needs: ClassVar[tuple[str, ...]] = ("prompt", "entry_point")

    def target(self, row: Row) -> Hidden:
        """Return the row's tests; its inputs are without outputs yet."""
        prompt, entry = text_of(row, "prompt"), text_of(row, "entry_point")
        stub = prompt if DEFINED.search(prompt) else ""
        if stub and entry_of(stub) != entry:
            found = f"{entry!r}, but the prompt ends with the function {entry_of(stub)!r}"
            raise BadCell("entry_point", found)
        solution = None
        if row.get("canonical_solution") is not None:
            solution = stub + text_of(row, "canonical_solution")
        inputs = None if entry in self.several else inputs_of(row, entry, solution)
        if inputs is not None and entry in self.find:
            inputs = replace(inputs, find=True)
        test = row.get("test")
        if test is None and inputs is None:
            raise BadCell("test", "empty, and so is base_input")
        return Hidden(
            entry,
            solution,
            () if test is None else (Check(text_of(row, "test"), stub or NO_STUB),),
            stub,
            docstring_cases(stub, entry) if stub else (),
            inputs=inputs,
        )

    def prepared(self, targets: Sequence[Hidden]) -> list[Hidden]:
        """Return the targets with the outputs of their inputs, found in the sandbox."""
        found: list[Hidden] = Parallel(n_jobs=-1, prefer="threads")(
            delayed(self.with_outputs)(target) for target in targets
        )
        return found

    def with_outputs(self, target: Hidden) -> Hidden:
        """Return a target with the test that its inputs make, and the public tests that hold."""
        public = self.agreed(target) if target.stub else ()
        if target.inputs is None:
            return replace(target, public=public)
        every = expected(target.inputs, unsafe=self.unsafe)
        cases = tuple(case for case in every if case is not None)
        if not cases:
            raise ValueError(
                f"task.path: none of the {len(every)} inputs of {target.entry_point} has an output"
            )
        told = []
        if not target.stub:
            base = [case for case in every[: target.inputs.n_base] if case is not None]
            public = tuple(base[i] for i in self.chosen(target.entry_point, len(base)))
            told = [f"assert {said(target.inputs, case)}" for case in public]
        if target.inputs.find:
            test: Test = findings(target.inputs, cases)
            public = ()
        else:
            unordered = target.entry_point in self.unordered
            test = equality(cases, target.inputs.atol, unordered)
        tests = (*target.tests, test)
        return replace(target, tests=tests, public=public, told=tuple(told), inputs=None)

    def agreed(self, target: Hidden) -> tuple[Case, ...]:
        """Return the examples of the docstring without those that the reference contradicts."""
        if target.solution is None or not target.public:
            return target.public
        args = [list(case.args) for case in target.public]
        inputs = Inputs(target.solution, target.entry_point, "", args)
        both = zip(target.public, expected(inputs, unsafe=self.unsafe), strict=True)
        return tuple(case for case, own in both if own and matches(case.expected, own.expected))


def inputs_of(row: Row, entry: str, solution: str | None) -> Inputs | None:
    """Return a row's inputs, the base ones first; None where it has none."""
    base, plus = list_of(row, "base_input"), list_of(row, "plus_input")
    if not base and not plus:
        return None
    for column, several in (("base_input", base), ("plus_input", plus)):
        for number, args in enumerate(several, start=1):
            if not isinstance(args, list):
                raise BadCell(column, f"its input {number} is {args!r:.40}, no list of arguments")
    if solution is None:
        raise BadCell("canonical_solution", "empty, and inputs have no outputs without it")
    if entry not in {n.name for n in quiet_parse(solution).body if isinstance(n, ast.FunctionDef)}:
        raise BadCell("canonical_solution", f"it does not define {entry!r}")
    contract, atol = str(row.get("contract") or ""), float(row.get("atol") or 0.0)
    return Inputs(solution, entry, contract, [*base, *plus], len(base), atol)


def equality(cases: Sequence[Case], atol: float, unordered: bool) -> Check:
    """Return the check that values are equal as Python says, or nearly so, or in any order."""
    listed = [(case.args, case.expected) for case in cases]
    given = f"inf, nan = float('inf'), float('nan')\nATOL, CASES = {atol!r}, {listed!r}"
    rule = "unordered" if unordered else "alike"
    return Check(f"{given}\n{EQUAL.replace('RULE', rule)}")


def findings(inputs: Inputs, cases: Sequence[Case]) -> Calls:
    """Return the calls that tell whether the function found something."""
    calls = tuple(f"tsbench_found({called(inputs, case)})" for case in cases)
    return Calls(FOUND, calls, tuple(case.expected for case in cases))


def said(inputs: Inputs, case: Case) -> str:
    """Return what a case says, as an expression that is true."""
    call = called(inputs, case)
    return (
        f"{call} == {case.expected!r}"
        if not inputs.find
        else f"{'not ' * (not case.expected)}{call}"
    )


def called(inputs: Inputs, case: Case) -> str:
    """Return the call of a case."""
    return f"{inputs.entry_point}({', '.join(map(repr, case.args))})"
