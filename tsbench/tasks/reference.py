"""What a reference solution returns for inputs that come without their outputs."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import textwrap
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import platformdirs

from tsbench.sandbox.choose import chosen
from tsbench.sandbox.grading import NO_NAMES, candidate
from tsbench.sandbox.guest import encode
from tsbench.sandbox.session import MAX_READ, Broken
from tsbench.sandbox.values import decode, plain
from tsbench.tasks.program import quiet_parse
from tsbench.types import Case

FOUND = """
def tsbench_found(value):
    return value if isinstance(value, bool) else value is not None
"""
"""Whether a function found something, where what it returns is no plain value."""
FORMS = """
import copy, itertools

def tsbench_deep(value):
    return tuple(map(tsbench_deep, value)) if isinstance(value, list) else value

def tsbench_forms(value):
    yield value
    if isinstance(value, list):
        parts = [tuple(part) if isinstance(part, list) else part for part in value]
        yield from (tuple(value), parts, tuple(parts), tsbench_deep(value))
    if isinstance(value, dict):
        yield {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
    for form in {list: (set,), str: (float, complex)}.get(type(value), ()):
        try:
            yield form(value)
        except (TypeError, ValueError):
            pass

def tsbench_expected(args):
    for given in itertools.islice(itertools.product(*map(tsbench_forms, args)), 500):
        try:
            tsbench_contract(*copy.deepcopy(given))
        except Exception:
            continue
        value = ENTRY(*copy.deepcopy(given))
        return [given, tsbench_found(value) if FIND else value]
    raise ValueError("the contract holds for no form of these arguments")
"""
"""JSON has neither tuples nor sets: the form of an input is the first that its contract takes."""
SLOW, LONG, PATIENCE = 0.5, 5.0, 30.0
"""Seconds for one input, for the inputs that are kept, and for all that are tried: what takes a
reference longer is left out, so that a candidate has time for the rest."""
LARGE = MAX_READ // 2
"""Bytes of all outputs that are kept: what a candidate answers is bounded too."""
BREAKS = 3
"""How often a reference may end its process before the rest is given up."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of a reference solution, in the form that JSON gives them, each a list of arguments.

    `contract` are statements that raise for arguments that the function need not take; it may be
    empty. The first `n_base` are the base inputs; `atol` is the tolerance of a float output. Where
    `find` is set, an output is whether the function found something: not None, or true.
    """

    program: str
    entry_point: str
    contract: str
    args: Sequence[Sequence[Any]] = field(repr=False)
    n_base: int = 0
    atol: float = 0.0
    find: bool = False


def expected(inputs: Inputs, *, unsafe: bool) -> tuple[Case | None, ...]:
    """Return a case for each input, None where there is none.

    There is one where the contract takes the input and the reference returns a plain value in
    time. The reference is run once, in the sandbox; what it returned is kept in the user's cache
    folder, under a hash of all that it follows from.
    """
    path = platformdirs.user_cache_path("tsbench") / "expected" / f"{digest(inputs)}.json"
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        found = run_reference(inputs, unsafe)
        write(path, [case and encode((case.args, case.expected)) for case in found])
        return found
    return tuple(text and read(text) for text in kept)


def read(text: str) -> Case:
    """Return a case that was kept."""
    args, value = cast("tuple[Any, Any]", decode(json.loads(text)))
    return Case(args, value)


def digest(inputs: Inputs) -> str:
    """Return a hash of inputs, and of how they are put to the reference."""
    whole = [FOUND, FORMS, SLOW, LONG, PATIENCE, LARGE, BREAKS, asdict(inputs)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:32]


def write(path: Path, value: object) -> None:
    """Write JSON, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def run_reference(inputs: Inputs, unsafe: bool) -> tuple[Case | None, ...]:
    """Ask the reference for one value after the other."""
    shims = FORMS.replace("ENTRY", inputs.entry_point).replace("FIND", repr(inputs.find))
    source = "\n".join([inputs.program, contract_of(inputs), FOUND, shims])
    began, spent, size = time.monotonic(), 0.0, 0
    cases: list[Case | None] = [None] * len(inputs.args)
    left = iter(enumerate(inputs.args))
    for _ in range(BREAKS):
        try:
            with candidate(chosen(unsafe), began + PATIENCE, source, "tsbench_expected") as session:
                for place, given in left:
                    asked = time.monotonic()
                    session.send((plain((given,)), NO_NAMES))
                    kind, answer = session.receive()
                    took = time.monotonic() - asked
                    if kind != "value" or took > SLOW or spent + took > LONG:
                        continue
                    args, value = cast("list[Any]", answer)
                    if size + (more := len(encode(value))) > LARGE:
                        continue
                    cases[place] = Case(tuple(args), value)
                    spent, size = spent + took, size + more
        except Broken:
            continue
    return tuple(cases)


def contract_of(inputs: Inputs) -> str:
    """Return the function that raises where the contract does not hold for its arguments."""
    (function,) = (
        node
        for node in quiet_parse(inputs.program).body
        if isinstance(node, ast.FunctionDef) and node.name == inputs.entry_point
    )
    body = quiet_parse(textwrap.dedent(inputs.contract.expandtabs())).body or [ast.Pass()]
    function.name, function.body, function.decorator_list = "tsbench_contract", body, []
    return ast.unparse(function)
