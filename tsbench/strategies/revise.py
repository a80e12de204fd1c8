"""Revision: the model sees its reply and is asked for a better one.

Self-Refine (Madaan et al. 2023, arXiv 2303.17651) in chains, and the grid of parallel chains by
sequential revisions of Snell et al. 2024 (arXiv 2408.03314).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from tsbench.strategies.checks import positive
from tsbench.strategies.select import selected
from tsbench.types import Ask, Draw, Message, Problem, Reply, Steps

INSTRUCTION = "Check this reply and answer again, better if you can."


def revision(reply: Reply, instruction: str) -> Draw:
    """Return the ask for a reply after `reply` was shown as the model's own."""
    turns = (Message("assistant", reply.text.strip()), Message("user", instruction))
    return Draw(turns=turns)


def revised(
    count: int, steps: int, instruction: str
) -> Generator[Sequence[Ask], list[Reply], list[Reply]]:
    """Yield `count` draws, then a revision of each, `steps` replies a chain; return all replies.

    A chain shows its last reply only, so its prompts do not grow.
    """
    last = yield [Draw()] * count
    replies = list(last)
    for _ in range(steps - 1):
        last = yield [revision(reply, instruction) for reply in last]
        replies += last
    return replies


@dataclass(frozen=True)
class Revise:
    """Draw a reply and revise it until there are `steps`; return one of the chain.

    `select` is "last", "vote" or the name of a verifier.
    """

    steps: int
    select: str = "last"
    instruction: str = INSTRUCTION

    def __post_init__(self) -> None:
        positive("steps", self.steps)

    @property
    def name(self) -> str:
        """The strategy, with what selects unless that is being the last."""
        return "revise" if self.select == "last" else f"revise:{self.select}"

    @property
    def budget(self) -> int:
        """The number of replies."""
        return self.steps

    @property
    def verifier(self) -> str | None:
        """The verifier, None where none is asked."""
        return None if self.select in ("last", "vote") else self.select

    @property
    def rounds(self) -> int:
        """The replies of the chain, and the judges."""
        return self.steps + (self.verifier is not None)

    def run(self, problem: Problem) -> Steps:
        """Yield one draw at a time, then what selects asks."""
        replies = yield from revised(1, self.steps, self.instruction)
        return (yield from selected(replies, self.select))


@dataclass(frozen=True)
class Grid:
    """Revise `chains` draws side by side until each chain has `steps`; return one of all.

    `select` is "vote" or the name of a verifier.
    """

    chains: int
    steps: int
    select: str = "vote"
    instruction: str = INSTRUCTION

    def __post_init__(self) -> None:
        positive("chains", self.chains)
        positive("steps", self.steps)
        if self.select == "last":
            raise ValueError("select must be vote or a verifier; no reply of a grid is the last")

    @property
    def name(self) -> str:
        """The strategy, with what selects unless that is a vote."""
        return "revise-grid" if self.select == "vote" else f"revise-grid:{self.select}"

    @property
    def budget(self) -> int:
        """The number of replies."""
        return self.chains * self.steps

    @property
    def verifier(self) -> str | None:
        """The verifier, None where none is asked."""
        return None if self.select == "vote" else self.select

    @property
    def rounds(self) -> int:
        """The replies of a chain, and the judges."""
        return self.steps + (self.verifier is not None)

    def run(self, problem: Problem) -> Steps:
        """Yield a draw for every chain at a time, then what selects asks."""
        replies = yield from revised(self.chains, self.steps, self.instruction)
        return (yield from selected(replies, self.select))
