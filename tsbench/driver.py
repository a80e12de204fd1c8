"""Drives a strategy: numbers its asks, counts its replies. It does no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from tsbench.types import Ask, Draw, Judge, Outcome, Problem, Reply, Status, Steps, Strategy, Usage

Numbered = tuple[Ask, int]


@dataclass
class Tally:
    """What one run of a strategy has asked for so far."""

    draws: Usage = field(default_factory=Usage)
    judges: dict[str, Usage] = field(default_factory=dict)
    asks: int = 0
    thoughts: int | None = 0

    def add(self, asks: Sequence[Numbered], replies: Sequence[Reply]) -> None:
        """Count every reply; of asks in flight together only the slowest delays the answer."""
        for (ask, _), reply in zip(asks, replies, strict=True):
            spent = replace(reply.usage, seconds=0.0)
            if isinstance(ask, Judge):
                self.judges[ask.verifier] = self.judges.get(ask.verifier, Usage()) + spent
            else:
                self.draws += spent
                thought = thoughts(ask, reply.usage)
                known = self.thoughts is not None and thought is not None
                self.thoughts = (self.thoughts or 0) + (thought or 0) if known else None
        self.asks += len(asks)
        self.draws += Usage(seconds=max((r.usage.seconds for r in replies), default=0.0))


def thoughts(ask: Draw, usage: Usage) -> int | None:
    """Return the tokens of thought in a reply, None where they are not known.

    A step of thought is all thought. Of a whole reply they are what the endpoint counted; one that
    was asked in words for its thoughts, and whose endpoint counts none, is thought to its end.
    """
    if ask.thinking_kind in ("forced", "truncated"):
        return usage.completion_tokens if ask.partial else 0
    if ask.thinking_kind == "prompted":
        return usage.reasoning_tokens or usage.completion_tokens
    return usage.reasoning_tokens if ask.thinking_kind in ("effort", "native") else 0


def drive(
    steps: Steps, tally: Tally, seen: Counter[Ask]
) -> Generator[list[Numbered], list[Reply], Reply | None]:
    """Number the asks of a strategy and count its replies: the n-th equal ask has index n.

    It does no I/O, so the same function runs a strategy live, from the store, or over a stored
    pool. Raises ValueError where a strategy breaks its contract: an empty list of asks, or as its
    pick a reply that it was not given, a step or a verdict.
    """
    given: set[str] = set()
    try:
        asks = list(next(steps))
        while True:
            if not asks:
                raise ValueError("the strategy yielded no ask")
            numbered = []
            for ask in asks:
                numbered.append((ask, seen[ask]))
                seen[ask] += 1
            replies = yield numbered
            tally.add(numbered, replies)
            given.update(
                reply.key
                for (ask, _), reply in zip(numbered, replies, strict=True)
                if isinstance(ask, Draw) and not ask.partial
            )
            asks = list(steps.send(replies))
    except StopIteration as stop:
        picked: Reply | None = stop.value
    if picked is not None and picked.key not in given:
        raise ValueError("the strategy returned a reply that it was not given")
    return picked


class Run:
    """One replicate of a strategy on a problem, advanced step by step."""

    def __init__(self, strategy: Strategy, problem: Problem, seen: Counter[Ask]) -> None:
        self.problem = problem
        self.tally = Tally()
        self.picked: Reply | None = None
        self.status: Status = "ok"
        self.reason: str | None = None
        self.wanted: list[Numbered] = []
        self._steps: Generator[list[Numbered], list[Reply], Reply | None] | None = None
        try:
            self._steps = drive(strategy.run(problem), self.tally, seen)
            self.wanted = next(self._steps)
        except StopIteration:
            self._fail("the strategy asked nothing")
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def advance(self, replies: list[Reply]) -> None:
        assert self._steps is not None
        failed = next((r for r in replies if r.status in ("error", "timeout")), None)
        if failed is not None and all(r.status in ("error", "timeout") for r in replies):
            self.wanted, self.status, self.reason = [], failed.status, failed.reason
            return
        try:
            self.wanted = self._steps.send(replies)
        except StopIteration as stop:
            self.wanted, self.picked = [], stop.value
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        self.wanted, self.status, self.reason = [], "error", reason

    def outcome(self, name: str, replicate: int) -> Outcome:
        status, reason = self.status, self.reason
        if status == "ok" and self.picked is not None:
            status, reason = self.picked.status, self.picked.reason
        return Outcome(
            self.problem.id,
            name,
            replicate,
            self.picked,
            status,
            reason,
            self.tally.draws,
            self.tally.judges,
            self.tally.asks,
            self.tally.thoughts,
        )
