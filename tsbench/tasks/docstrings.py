"""The examples in a function's docstring, as cases."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator

from tsbench.tasks.program import INDENT, quiet_parse
from tsbench.types import Case

SAYS = re.compile(r"\s*(?:==>|==|=>|->|\u279e|\u2192|=|(?:should )?returns?\b)\s*")
AFTER = re.compile(r"\s*(?:$|[.,;#(]|[A-Za-z])")
"""What may follow a value on its line: nothing, a stop, a remark; no operator, whose first part
the value would be."""


def docstring_cases(prompt: str, entry: str) -> tuple[Case, ...]:
    """Return the examples of a prompt that call `entry` with literals and say a literal value.

    They are those after `>>>`, and lines of the form `f(1) == 2`, where => or -> or "returns" may
    stand for ==.
    """
    tree = quiet_parse(prompt + f"\n{INDENT}pass\n")
    (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry)
    doc = ast.get_docstring(function) or ""
    found = {repr(case): case for case in (*doctests(doc, entry), *sentences(doc, entry))}
    return tuple(found.values())


def doctests(doc: str, entry: str) -> Iterator[Case]:
    """Yield the examples after `>>>`."""
    try:
        examples = doctest.DocTestParser().get_examples(doc)
    except ValueError:
        return
    for example in examples:
        if case := case_of(example.source, example.want, entry):
            yield case


def sentences(doc: str, entry: str) -> Iterator[Case]:
    """Yield the lines that say in a sign or a word what a call returns."""
    for found in re.finditer(rf"\b{entry}\(.*$", doc, re.MULTILINE):
        text = found[0]
        ends = (place + 1 for place, char in enumerate(text) if char == ")")
        for end in ends:
            says = SAYS.match(text, end)
            if says and (value := literal_start(text[says.end() :])):
                if case := case_of(text[:end], value, entry):
                    yield case
                break


def literal_start(text: str) -> str | None:
    """Return the longest start of a text that is a literal, None where there is none."""
    for end in range(len(text), 0, -1):
        if AFTER.match(text, end):
            try:
                ast.literal_eval(text[:end].strip())
            except (SyntaxError, ValueError, TypeError):
                continue
            return text[:end]
    return None


def case_of(call: str, value: str, entry: str) -> Case | None:
    """Return a call of `entry` with literals and its literal value as a case, else None."""
    try:
        tree = quiet_parse(call.strip(), "eval").body
        if not isinstance(tree, ast.Call) or tree.keywords or ast.unparse(tree.func) != entry:
            return None
        args = tuple(ast.literal_eval(arg) for arg in tree.args)
        return Case(args, ast.literal_eval(value.strip()))
    except (SyntaxError, ValueError, TypeError):
        return None
