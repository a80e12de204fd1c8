"""Game of 24: make 24 of four numbers (Yao et al. 2023, arXiv 2305.10601)."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from tsbench.tasks.grader import BadCell, Plain, Row, text_of
from tsbench.tasks.marks import boxed, last_line, marked
from tsbench.tasks.program import quiet_parse
from tsbench.types import Grade, Problem

GOAL = 24
LONGEST = 200
"""Characters of an equation that are read; four numbers need fewer."""
SIGNS = {"\N{MULTIPLICATION SIGN}": "*", "\N{DIVISION SIGN}": "/", "\N{MINUS SIGN}": "-"}
COMMANDS = {"\\times": "*", "\\cdot": "*", "\\div": "/", "\\left": "", "\\right": ""}
OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Game24(Plain):
    """An expression of + - * / and brackets that uses each number of `puzzle` once and makes 24.

    It is what stands after "Answer:" or "The answer is", in a box, or on the last line, without a
    final "= 24". It is evaluated here, by fractions, without running anything.
    """

    needs: ClassVar[tuple[str, ...]] = ("puzzle",)

    def target(self, row: Row) -> tuple[int, ...]:
        """Return the numbers in the column `puzzle`, smallest first."""
        said = text_of(row, "puzzle")
        if not re.fullmatch(r"\s*\d{1,9}(?:[\s,]+\d{1,9})+\s*", said):
            raise BadCell("puzzle", f"{said!r:.60} is no row of whole numbers")
        return tuple(sorted(map(int, re.findall(r"\d+", said))))

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the expression in Python's own spelling; None where the reply has none."""
        found = boxed(text) or marked(text) or last_line(text)
        tree = None if found is None else expression(found)
        return None if tree is None else ast.unparse(tree)

    def grade(self, target: tuple[int, ...], answer: str) -> Grade:
        """Check the numbers, then the value."""
        tree = ast.parse(answer, mode="eval").body
        used = tuple(sorted(numbers(tree)))
        if used != target:
            return Grade(0.0, reason=f"it uses {used}, not {target}")
        try:
            value = evaluated(tree)
        except ZeroDivisionError:
            return Grade(0.0, reason="it divides by zero")
        return Grade(float(value == GOAL), reason=None if value == GOAL else f"it makes {value}")


def expression(said: str) -> ast.expr | None:
    """Return the tree of the first side of an equation that calculates; None where none does."""
    for sign, plain in {**SIGNS, **COMMANDS}.items():
        said = said.replace(sign, plain)
    for side in said[:LONGEST].split("="):
        try:
            tree = quiet_parse(side.strip(" .`*$"), "eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(tree, ast.BinOp) and arithmetic(tree):
            return tree
    return None


def arithmetic(tree: ast.expr) -> bool:
    """Say whether a tree holds nothing but whole numbers and the four operations."""
    if isinstance(tree, ast.BinOp):
        known = type(tree.op) in OPERATORS
        return known and arithmetic(tree.left) and arithmetic(tree.right)
    return isinstance(tree, ast.Constant) and type(tree.value) is int


def numbers(tree: ast.expr) -> Iterator[int]:
    """Yield the numbers of an arithmetic tree."""
    yield from (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))  # type: ignore[misc]


def evaluated(tree: ast.expr) -> Fraction:
    """Return the value of an arithmetic tree; ZeroDivisionError where it has none."""
    if isinstance(tree, ast.BinOp):
        return OPERATORS[type(tree.op)](evaluated(tree.left), evaluated(tree.right))
    assert isinstance(tree, ast.Constant)
    return Fraction(tree.value)  # type: ignore[arg-type]
