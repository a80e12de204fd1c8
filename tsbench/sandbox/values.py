"""The trusted end of the codec: reads what a guest wrote, and never more than was meant."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

from tsbench.sandbox.guest import MAX_DEPTH, MAX_NODES, encode

MAX_HASHED = 10_000
FEW = 100


def decode(data: object) -> object:
    """Return the value that `guest.encode` wrote as JSON, from the parsed JSON.

    Raises ValueError for anything that it cannot have written, for a set or dict of more than
    MAX_HASHED parts, and for one of more than FEW whose hashes collide: building it would take
    time that grows with their square.
    """
    left = MAX_NODES

    def node(data: Any, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError("a value that is too large or too deep to read")
        if data is None or isinstance(data, bool):
            return data
        kind, *parts = data
        if kind == "int":
            return int(parts[0], 16)
        if kind == "float":
            return float.fromhex(parts[0])
        if kind == "complex":
            return complex(float.fromhex(parts[0]), float.fromhex(parts[1]))
        if kind == "str":
            return bytes.fromhex(parts[0]).decode("utf-8", "surrogatepass")
        if kind == "bytes":
            return bytes.fromhex(parts[0])
        (several,) = parts
        if kind == "list":
            return [node(x, depth + 1) for x in several]
        if kind == "tuple":
            return tuple(node(x, depth + 1) for x in several)
        if kind == "set":
            return set(hashed(node(x, depth + 1) for x in several))
        if kind == "frozenset":
            return frozenset(hashed(node(x, depth + 1) for x in several))
        if kind == "dict":
            keys = hashed(node(key, depth + 1) for key, _ in several)
            return dict(zip(keys, (node(x, depth + 1) for _, x in several), strict=True))
        raise ValueError("a type that cannot be sent")

    try:
        return node(data, 0)
    except (TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"no encoded value ({type(error).__name__})") from None


def hashed(parts: Iterable[object]) -> list[Hashable]:
    """Return the parts of a set, or the keys of a dict, if a hash table can hold them."""
    found: list[Any] = list(parts)
    if len(found) > MAX_HASHED:
        raise ValueError("a set or dict that is too large to read")
    if len(found) > FEW and 2 * len(set(map(hash, found))) < len(found):
        raise ValueError("a set or dict whose hashes collide")
    return found


def plain(value: object) -> object:
    """Return a value as it arrives after a journey; ValueError if it cannot travel."""
    return decode(json.loads(encode(value)))
