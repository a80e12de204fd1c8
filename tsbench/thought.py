"""Draws that think first: what the name of their strategy, "maj@k (forced 32)", says."""

from __future__ import annotations

import re
from dataclasses import dataclass

KINDS = ("thinking", "forced", "truncated", "prompted", "native", "effort")
"""The kinds of thinking; "thinking" is a budget whose kind is not known."""
NAME = re.compile(rf"(.+) \(({'|'.join(KINDS)}) ([0-9.e+]+)\)")


@dataclass(frozen=True)
class Thought:
    """A selector among draws, the kind of thinking before each draw, and its budget.

    `budget` is in tokens; of the kind "effort" it is 1, 2 or 3: low, medium or high.
    """

    selector: str
    kind: str
    budget: float


def thought(strategy: str) -> Thought | None:
    """Return what a strategy's name says of the thinking before its draws, None if nothing."""
    found = NAME.fullmatch(strategy)
    return found and Thought(found[1], found[2], float(found[3]))
