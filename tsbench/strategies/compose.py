"""Both axes at once: chains under a thinking budget side by side, and a choice among them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice

from tsbench.strategies.base import Draws, rounds
from tsbench.strategies.budget import Effort, Forced, Native, Prompted, Truncated
from tsbench.strategies.select import selected
from tsbench.types import Ask, Judge, Problem, Reply, Steps, Strategy

Treatment = Forced | Truncated | Prompted | Effort | Native


def together(
    runs: Sequence[Steps],
) -> Generator[Sequence[Ask], list[Reply], list[Reply | None]]:
    """Yield the asks of several runs in step; return what each of them picked.

    A run all of whose replies failed ends there, without a pick.
    """
    picked: list[Reply | None] = [None] * len(runs)
    wanted: dict[int, Sequence[Ask]] = {}

    def advance(place: int, replies: list[Reply] | None) -> None:
        wanted.pop(place, None)
        if replies and all(reply.status in ("error", "timeout") for reply in replies):
            return
        try:
            wanted[place] = runs[place].send(replies)  # type: ignore[arg-type]  # None starts it
        except StopIteration as stop:
            picked[place] = stop.value

    for place in range(len(runs)):
        advance(place, None)
    while wanted:
        batch = dict(wanted)
        replies = iter((yield [ask for asks in batch.values() for ask in asks]))
        for place, asks in batch.items():
            advance(place, list(islice(replies, len(asks))))
    return picked


@dataclass(frozen=True)
class Judged:
    """One chain of a treatment, its reply scored by `verifier` where it gave an answer."""

    thinking: Treatment
    verifier: str

    @property
    def name(self) -> str:
        """The treatment with the verifier."""
        return f"{self.thinking.name}:{self.verifier}"

    @property
    def budget(self) -> int:
        """The treatment's."""
        return self.thinking.budget

    @property
    def rounds(self) -> int:
        """Those of the chain, and the judge."""
        return rounds(self.thinking) + 1

    def run(self, problem: Problem) -> Steps:
        """Yield the steps of the chain, then the judge."""
        reply = yield from self.thinking.run(problem)
        if reply is not None and reply.answer is not None:
            yield [Judge(reply, self.verifier)]
        return reply


@dataclass(frozen=True)
class Composed(Draws):
    """Run the internal treatment `thinking` `k` times side by side, and choose among the replies.

    `select` is "vote" or the name of a verifier. A sweep asks for `k` runs of `unit` in place of
    it: they are the same asks, and their pool gives every k at once.
    """

    thinking: Treatment
    select: str = "vote"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.select == "last":
            raise ValueError("select must be vote or a verifier; no chain is the last")

    @property
    def name(self) -> str:
        """What selects, and under which treatment: "maj@k (forced 32)"."""
        return self.named("maj@k" if self.verifier is None else f"best-of-n:{self.verifier}")

    def named(self, selector: str) -> str:
        """Return a selector's name under this treatment."""
        return f"{selector} ({self.thinking.thinking_kind} {self.thinking.budget})"

    @property
    def verifier(self) -> str | None:
        """The verifier, None where none is asked."""
        return None if self.select == "vote" else self.select

    @property
    def continues(self) -> bool:
        """Whether the treatment continues a prefix."""
        return bool(getattr(self.thinking, "continues", False))

    @property
    def rounds(self) -> int:
        """Those of a chain, and the judges."""
        return rounds(self.thinking) + (self.verifier is not None)

    @property
    def unit(self) -> Strategy:
        """One draw of the pool: a chain, scored where a verifier selects."""
        return self.thinking if self.verifier is None else Judged(self.thinking, self.verifier)

    def run(self, problem: Problem) -> Steps:
        """Yield the steps of all chains at once, then what selects asks."""
        chains = yield from together([self.thinking.run(problem) for _ in range(self.k)])
        replies = [reply for reply in chains if reply is not None]
        return (yield from selected(replies, self.select))
