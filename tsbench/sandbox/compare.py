"""When a candidate's value is the one that was expected."""

from __future__ import annotations

import cmath

RELATIVE, ABSOLUTE = 1e-6, 1e-9


def matches(expected: object, found: object) -> bool:
    """Compare as Python's == does, but for four things that tests of programs want.

    A bool equals only a bool (True is not 1); nan equals nan; where a float (or complex) is
    expected, a number within 1e-6 of it relatively, or 1e-9 absolutely, is equal; and all of
    this holds inside containers. 1 and 1.0 are equal, a list and a tuple are not.
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
            and all(any(matches(x, y) for y in found) for x in expected)
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and matches(set(expected), set(found))
            and all(matches(value, found.get(key)) for key, value in expected.items())
        )
    return type(expected) is type(found) and expected == found


def close(expected: complex, found: complex) -> bool:
    """Compare two numbers with the tolerance; nan equals nan, and inf only itself."""
    try:
        if cmath.isnan(expected) or cmath.isnan(found):
            return cmath.isnan(expected) and cmath.isnan(found)
        return cmath.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except OverflowError:
        return False
