"""Runs inside the sandbox, from its source alone, and imports as little as it can: what it
imports, every candidate waits for.

It reads marshalled orders and calls of the trusted process, and writes lines of JSON, of which
that process believes no more than that the candidate answered these values.
"""

from __future__ import annotations

import builtins
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Send = Callable[[str, object], None]
    Receive = Callable[[], Any]

MAX_DEPTH = 100
MAX_NODES = 200_000


def encode(value: object) -> str:
    """Return a value as JSON that names every type: numbers and text in hex, containers by name.

    None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict travel; a
    subclass travels as its base. Raises ValueError for another type and for a value that is
    deeper than MAX_DEPTH or has more than MAX_NODES parts.
    """
    left = MAX_NODES

    def node(value: Any, depth: int) -> str:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError("a value that is too large or too deep to send")
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return f'["int","{hex(value)}"]'
        if isinstance(value, float):
            return f'["float","{float.hex(value)}"]'
        if isinstance(value, complex):
            return f'["complex","{float.hex(value.real)}","{float.hex(value.imag)}"]'
        if isinstance(value, str):
            return f'["str","{str.encode(value, "utf-8", "surrogatepass").hex()}"]'
        if isinstance(value, bytes):
            return f'["bytes","{bytes.hex(value)}"]'
        if isinstance(value, dict):
            pairs = dict.items(value)
            parts = [f"[{node(k, depth + 1)},{node(v, depth + 1)}]" for k, v in pairs]
            return f'["dict",[{",".join(parts)}]]'
        bases: tuple[Any, ...] = (list, tuple, set, frozenset)
        for base in bases:
            if isinstance(value, base):
                parts = [node(part, depth + 1) for part in base.__iter__(value)]
                return f'["{base.__name__}",[{",".join(parts)}]]'
        raise ValueError(f"a {type(value).__name__}, which is no plain value")

    return node(value, 0)


def shown(error: BaseException) -> str:
    """Return an exception as `Name: message`, at most 200 characters."""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}"[:200]


def load(source: str, name: str) -> ModuleType:
    """Run `source` as the module `name`, which is not __main__."""
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


def serve(order: Any, send: Send, receive: Receive) -> None:
    """Load a candidate, then answer every call with the value or with what it raised."""
    function = getattr(load(order["source"], "candidate"), order["entry_point"])
    send("loaded", None)
    while True:
        args, kwargs = receive()
        try:
            send("value", function(*args, **kwargs))
        except BaseException as error:
            send("raised", shown(error))


class CandidateError(Exception):
    """What the candidate raised was no built-in exception."""


def rebuilt(told: str) -> Exception:
    """Return the built-in exception that `shown` told of, else a CandidateError."""
    kind = getattr(builtins, told.partition(":")[0], None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(told)
        except TypeError:
            pass
    return CandidateError(told)


def check(order: Any, send: Send, receive: Receive) -> None:
    """Run `check(candidate)` of a test file, where the candidate lives in another sandbox."""
    raised: list[BaseException] = []
    unsent: list[BaseException] = []

    def candidate(*args: object, **kwargs: object) -> object:
        try:
            send("call", (args, kwargs))
        except ValueError as error:
            unsent.append(error)
            raise
        kind, value = receive()
        if kind == "value":
            return value
        raised.append(rebuilt(value))
        raise raised[-1]

    module = load(order["source"], "tests")
    setattr(module, order["entry_point"], candidate)
    send("loaded", None)
    try:
        module.check(candidate)
        verdict, reason = "pass", None
    except BaseException as error:
        verdict, reason = "error" if error in raised else "fail", shown(error)
    if unsent:
        verdict, reason = "sandbox_error", f"the tests pass the candidate {unsent[0]}"
    send("verdict", (verdict, reason))


def run(order: Any, send: Send, receive: Receive) -> None:
    """Say ready, and do what is ordered."""
    send("ready", sys.version.split()[0])
    try:
        {"serve": serve, "check": check}[order["role"]](order, send, receive)
    except BaseException as error:
        send("raised", shown(error))


def limit(limits: dict[str, int]) -> None:
    """Set hard resource limits, by their RLIMIT_ names."""
    import resource

    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def main() -> None:
    """Take the pipes away from the candidate, set the limits, and work."""
    orders = os.fdopen(os.dup(0), "rb")
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)

    def send(kind: str, value: object) -> None:
        data = f'{{"{kind}":{encode(value)}}}\n'.encode()
        while data:
            data = data[os.write(out, data) :]

    def receive() -> Any:
        size = orders.read(8)
        if not size:
            os._exit(0)
        return marshal.loads(orders.read(int(size, 16)))

    order = receive()
    limit(order["limits"])
    run(order, send, receive)


if __name__ == "__main__":
    main()
