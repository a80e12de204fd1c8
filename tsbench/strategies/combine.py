"""The model reads its own drafts: it names the most consistent one, or writes one out of all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.strategies.base import Draws, answered
from tsbench.types import Draw, Message, Problem, Reply, Steps

CHOICE_TOKENS = 16
"""Room for "Reply 12" with some words around it."""


def listing(drafts: Sequence[Reply], asked: str) -> tuple[Message, ...]:
    """Return a user's turn that shows the drafts, numbered from 1, and then asks."""
    shown = [f"Reply {i}: {draft.text.strip()}" for i, draft in enumerate(drafts, start=1)]
    return (Message("user", "\n\n".join([*shown, asked])),)


def numbered(text: str, n: int) -> int | None:
    """Return the first whole number of `text`, None where it has none or it is not 1 to n."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found and 1 <= int(found[0]) <= n else None


@dataclass(frozen=True)
class UniversalSelfConsistency(Draws):
    """Draw `k` replies, show them all, and return the one that the model calls most consistent.

    Chen et al. 2023, arXiv 2311.17311. Where the model names none, none is picked.
    """

    question: str = "Which reply agrees most with the others? Say its number."
    name: ClassVar[str] = "usc"
    rounds: ClassVar[int] = 2

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then one step that reads those that gave an answer."""
        drafts = answered((yield [Draw()] * self.k))
        if len(drafts) < 2:
            return drafts[0] if drafts else None
        turns = listing(drafts, self.question)
        (said,) = yield [Draw(max_tokens=CHOICE_TOKENS, partial=True, turns=turns)]
        choice = numbered(said.text, len(drafts))
        return None if choice is None else drafts[choice - 1]


@dataclass(frozen=True)
class Fuse(Draws):
    """Draw `k` replies, show them all, and return one more that is written out of them.

    Generative fusion; Jiang et al. 2023, arXiv 2306.02561 (by a trained fuser; here by the model
    itself).
    """

    instruction: str = "Use the best of these replies and write one reply that is right."
    name: ClassVar[str] = "fuse"
    rounds: ClassVar[int] = 2

    def run(self, problem: Problem) -> Steps:
        """Yield k draws, then one that reads those that gave an answer."""
        drafts = answered((yield [Draw()] * self.k))
        if not drafts:
            return None
        (fused,) = yield [Draw(turns=listing(drafts, self.instruction))]
        return fused
