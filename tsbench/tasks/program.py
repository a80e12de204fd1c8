"""The program that a reply to a code problem gives."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator
from typing import Literal, overload

INDENT = "    "
DEFINED = re.compile(r"^def (\w+)", re.MULTILINE)
CODE = re.compile(r"^(?:from |import |def |class |@)", re.MULTILINE)
ASSIGNED = re.compile(r"^(?:from |import |def |class |@|[A-Za-z_]\w* *=(?!=))", re.MULTILINE)
FENCE = re.compile(r"```(?:python|py)?[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


def read_program(stub: str, text: str, entry: str | None = None) -> str | None:
    """Return the program in a reply, in one form for equal programs; None where nothing parses.

    A fence in it, else the reply, gives the whole of the function `entry` (by default the last
    that `stub` defines), or the body that continues `stub`; a block that names the function goes
    before one that does not. Lines after a program that parses are cut off.
    """
    name = entry or entry_of(stub)
    blocks = [*FENCE.findall(text), text]
    for block in sorted(blocks, key=lambda block: not names(name, block)):
        found = [longest(head, part, name) for head, part in readings(stub, block, name)]
        lines, program = max(found, key=lambda one: one[0], default=(0, ""))
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
        raise ValueError(f"{stub[:60]!r} defines no function")
    return defined[-1]


def readings(stub: str, block: str, entry: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read a block: what precedes it, and the part of it that is code.

    It may be a whole function after any words, or after constants of its own; where there is a
    stub to continue, a body, indented as a whole or not at all; or a body whose first line alone
    lost its indentation.
    """
    if names(entry, block):
        before = stub[: stub.rindex(f"def {entry}")] if stub else ""
        starts = {found.start() for first in (CODE, ASSIGNED) if (found := first.search(block))}
        yield from ((before, block[start:]) for start in sorted(starts))
    elif stub:
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


@overload
def quiet_parse(source: str) -> ast.Module: ...
@overload
def quiet_parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...
def quiet_parse(source: str, mode: Literal["exec", "eval"] = "exec") -> ast.AST:
    """Parse a program or an expression without the warnings that it would give its author."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


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
