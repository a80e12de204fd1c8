"""When a candidate's value is the one that was expected."""

from __future__ import annotations

import cmath
from collections.abc import Collection

RELATIVE, ABSOLUTE = 1e-6, 1e-9
MOST = 1000
"""Parts of a set that are compared each with each: at most this many have no equal partner."""


def matches(expected: object, found: object) -> bool:
    """Compare as Python's == does, but for four things that tests of programs want.

    A bool equals only a bool (True is not 1); nan equals nan; where a float (or complex) is
    expected, a number within 1e-6 of it relatively, or 1e-9 absolutely, is equal; and all of
    this holds inside containers, for the parts of a set and the keys of a dict too (see
    `partners`). 1 and 1.0 are equal, a list and a tuple are not.
    """
    if isinstance(expected, bool) or isinstance(found, bool):
        return type(expected) is type(found) and expected == found
    if isinstance(expected, float | complex) and isinstance(found, int | float | complex):
        return close(expected, found)
    if isinstance(expected, int) and isinstance(found, int | float | complex):
        return expected == found
    if isinstance(expected, list | tuple):
        return (
            type(expected) is type(found)
            and isinstance(found, list | tuple)
            and len(expected) == len(found)
            and all(map(matches, expected, found))
        )
    if isinstance(expected, set | frozenset):
        return (
            isinstance(found, set | frozenset)
            and len(expected) == len(found)
            and partners(expected, found) is not None
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and len(expected) == len(found)
            and (keys := partners(expected, found)) is not None
            and all(matches(expected[key], found[partner]) for key, partner in keys)
        )
    return type(expected) is type(found) and expected == found


def partners(
    expected: Collection[object], found: Collection[object]
) -> list[tuple[object, object]] | None:
    """Pair every part of a set (or key of a dict) with one of as many that matches it, or None.

    Equal parts are found by their hash; those without one (rounded floats, nan, and what holds
    them) are tried each with each, and None is returned where they are more than MOST.
    """
    free = {part: part for part in found}
    pairs, alone = [], []
    for part in expected:
        if part in free and matches(part, free[part]):
            pairs.append((part, free.pop(part)))
        else:
            alone.append(part)
    if len(alone) > MOST:
        return None
    for part in alone:
        partner = next((key for key in free if matches(part, key)), free)
        if partner is free:
            return None
        pairs.append((part, free.pop(partner)))
    return pairs


def close(expected: complex, found: complex) -> bool:
    """Compare two numbers with the tolerance; nan equals nan, and inf only itself."""
    try:
        if cmath.isnan(expected) or cmath.isnan(found):
            return cmath.isnan(expected) and cmath.isnan(found)
        return cmath.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except OverflowError:
        return False
