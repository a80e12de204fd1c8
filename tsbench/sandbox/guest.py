"""Runs inside the sandbox, from its source alone: it imports nothing but the standard library.

It exchanges lines of JSON with the trusted process, which believes no more of them than that
the candidate answered these values. The same file is the codec of the trusted process.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 100
MAX_NODES = 200_000
MAX_HASHED = 10_000

Json = Any
Exchange = tuple[Callable[[Json], None], Callable[[], Json]]


def encode(value: object) -> Json:
    """Return a value as JSON that names every type: ints and floats in hex, containers by name.

    None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict travel; a
    subclass travels as its base. Raises ValueError for another type and for a value that is
    deeper than MAX_DEPTH or has more than MAX_NODES parts.
    """
    left = MAX_NODES

    def node(value: object, depth: int) -> Json:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError("a value that is too large or too deep to send")
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return ["int", hex(value)]
        if isinstance(value, float):
            return ["float", float.hex(value)]
        if isinstance(value, complex):
            return ["complex", float.hex(value.real), float.hex(value.imag)]
        if isinstance(value, bytes):
            return ["bytes", bytes.hex(value)]
        if isinstance(value, dict):
            pairs = dict.items(value)
            return ["dict", [[node(k, depth + 1), node(v, depth + 1)] for k, v in pairs]]
        bases: tuple[Any, ...] = (list, tuple, set, frozenset)
        for base in bases:
            if isinstance(value, base):
                return [base.__name__, [node(x, depth + 1) for x in base.__iter__(value)]]
        raise ValueError(f"a {type(value).__name__}, which is no plain value")

    return node(value, 0)


def decode(data: Json) -> object:
    """Return the value that `encode` sent; ValueError for anything that it cannot have sent."""
    left = MAX_NODES

    def node(data: Json, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError("a value that is too large or too deep to read")
        if data is None or isinstance(data, bool | str):
            return data
        kind, *parts = data
        if kind == "int":
            return int(parts[0], 16)
        if kind == "float":
            return float.fromhex(parts[0])
        if kind == "complex":
            return complex(float.fromhex(parts[0]), float.fromhex(parts[1]))
        if kind == "bytes":
            return bytes.fromhex(parts[0])
        (several,) = parts
        if kind == "list":
            return [node(x, depth + 1) for x in several]
        if kind == "tuple":
            return tuple(node(x, depth + 1) for x in several)
        if len(several) > MAX_HASHED:
            raise ValueError("a set or dict that is too large to read")
        if kind == "set":
            return {node(x, depth + 1) for x in several}
        if kind == "frozenset":
            return frozenset(node(x, depth + 1) for x in several)
        if kind == "dict":
            return {node(k, depth + 1): node(v, depth + 1) for k, v in several}
        raise ValueError("a type that cannot be sent")

    try:
        return node(data, 0)
    except (TypeError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"no encoded value ({type(error).__name__})") from None


def shown(error: BaseException) -> str:
    """Return an exception as `Name: message`, at most 200 characters."""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}"[:200]


def load(source: str, name: str) -> types.ModuleType:
    """Run `source` as the module `name`, which is not __main__."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


def serve(order: Json, exchange: Exchange) -> None:
    """Load a candidate, then answer every call with the value or with what it raised."""
    send, receive = exchange
    function = getattr(load(order["source"], "candidate"), order["entry_point"])
    send({"loaded": True})
    while True:
        call: Any = decode(receive()["call"])
        args, kwargs = call
        try:
            send({"value": encode(function(*args, **kwargs))})
        except BaseException as error:
            send({"raised": shown(error)})


class CandidateError(Exception):
    """What the candidate raised was no built-in exception."""


def rebuilt(told: str) -> Exception:
    """Return the built-in exception that `shown` told of, else a CandidateError."""
    kind = getattr(builtins, told.partition(":")[0], None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(TypeError):
            return kind(told)
    return CandidateError(told)


def check(order: Json, exchange: Exchange) -> None:
    """Run `check(candidate)` of a test file, where the candidate lives in another sandbox."""
    send, receive = exchange
    raised: list[BaseException] = []

    def candidate(*args: object, **kwargs: object) -> object:
        send({"call": encode((args, kwargs))})
        reply = receive()
        if "value" in reply:
            return decode(reply["value"])
        raised.append(rebuilt(reply["raised"]))
        raise raised[-1]

    module = load(order["source"], "tests")
    setattr(module, order["entry_point"], candidate)
    send({"loaded": True})
    try:
        module.check(candidate)
        send({"verdict": "pass", "reason": None})
    except BaseException as error:
        verdict = "error" if error in raised else "fail"
        send({"verdict": verdict, "reason": shown(error)})


def limit(limits: dict[str, int]) -> None:
    """Set hard resource limits, by their RLIMIT_ names."""
    import resource

    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def main() -> None:
    """Take the pipes away from the candidate, set the limits, say ready, and work."""
    lines = os.fdopen(os.dup(0), "rb")
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)

    def send(message: Json) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    def receive() -> Json:
        line = lines.readline()
        if not line:
            os._exit(0)
        return json.loads(line)

    order = receive()
    limit(order["limits"])
    send({"ready": sys.version.split()[0]})
    roles: dict[str, Callable[[Json, Exchange], None]] = {"serve": serve, "check": check}
    try:
        roles[order["role"]](order, (send, receive))
    except BaseException as error:
        send({"raised": shown(error)})


if __name__ == "__main__":
    main()
