"""Thinking budgets: forced, truncated, asked for in words, or parameters of the endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from tsbench.strategies.checks import positive, whole
from tsbench.types import Draw, EffortLevel, Message, Problem, Steps, ThinkingKind

FIRST_CHECKPOINT = 8
WAIT = "\nWait,"
EFFORTS: tuple[EffortLevel, ...] = get_args(EffortLevel)


def checkpoints(budget: int) -> list[int]:
    """Split `budget` at 8, 16, 32, ... tokens, so that larger budgets reuse the smaller ones."""
    marks, mark = [], FIRST_CHECKPOINT
    while mark < budget:
        marks.append(mark)
        mark *= 2
    return [*marks, budget] if budget else []


def stops(problem: Problem) -> tuple[str, ...]:
    """Return what ends thoughts: the problem's own stops, and the words that give an answer."""
    return (problem.force.strip(), *problem.stop)


def forced(thoughts: str, problem: Problem) -> str:
    """Return the prefix that makes the model answer after `thoughts`."""
    return (thoughts.rstrip() + problem.force).lstrip()


@dataclass(frozen=True)
class Forced:
    """Let the model reason for `thinking_budget` tokens, then make it answer.

    Budget forcing; Muennighoff et al. 2025, arXiv 2501.19393. A model that stops reasoning early
    is made to go on by appending "Wait", at most `waits` times; what it reasoned past that is
    what it spent.
    """

    thinking_budget: int
    waits: int = 8
    name: ClassVar[str] = "forced"
    thinking_kind: ClassVar[ThinkingKind] = "forced"
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole("thinking_budget", self.thinking_budget)

    @property
    def budget(self) -> int:
        """The tokens of thought."""
        return self.thinking_budget

    @property
    def rounds(self) -> int:
        """The most pieces of thought where the endpoint counts their tokens, and the answer."""
        pieces = len(checkpoints(self.thinking_budget))
        return pieces + 1 + (self.waits + 1 if pieces else 0)

    def run(self, problem: Problem) -> Steps:
        """Yield one continuation at a time, and last the forced answer."""
        stop = stops(problem)
        thoughts, spent, waits = "", 0, 0
        for mark in checkpoints(self.thinking_budget):
            while spent < mark and waits <= self.waits:
                (reply,) = yield [Draw(thoughts, mark - spent, stop, "forced", partial=True)]
                thoughts = reply.text
                spent += max(1, reply.usage.completion_tokens or 0)
                if reply.finish != "length" and spent < mark:
                    thoughts, waits = thoughts.rstrip() + WAIT, waits + 1
        prefix = forced(thoughts, problem)
        (answer,) = yield [
            Draw(prefix, thinking_kind="forced", thinking_budget=self.thinking_budget)
        ]
        return answer


@dataclass(frozen=True)
class Truncated:
    """Cut one chain of thought after `thinking_budget` tokens and make the model answer there.

    Early answering; Lanham et al. 2023, arXiv 2307.13702. The chain is the same for every budget:
    it is asked in pieces that double, and equal pieces are asked once. So budgets are 0, 8, 16,
    32, ... tokens, and compared on the same thoughts. A chain that ended by itself is not
    prolonged: there, larger budgets share one answer.
    """

    thinking_budget: int
    name: ClassVar[str] = "truncated"
    thinking_kind: ClassVar[ThinkingKind] = "truncated"
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole("thinking_budget", self.thinking_budget)
        eighths, rest = divmod(self.thinking_budget, FIRST_CHECKPOINT)
        if rest or eighths & (eighths - 1):
            raise ValueError(
                f"thinking_budget must be 0, 8, 16, 32, ... (doubling), so that budgets share "
                f"one chain; found {self.thinking_budget}"
            )

    @property
    def budget(self) -> int:
        """The tokens of thought."""
        return self.thinking_budget

    @property
    def rounds(self) -> int:
        """The pieces of the chain, and the answer."""
        return len(checkpoints(self.thinking_budget)) + 1

    def run(self, problem: Problem) -> Steps:
        """Yield one piece of the chain at a time, and last the forced answer."""
        thoughts, spent = "", 0
        for mark in checkpoints(self.thinking_budget):
            piece = Draw(thoughts, mark - spent, stops(problem), "truncated", partial=True)
            (reply,) = yield [piece]
            thoughts, spent = reply.text, mark
            if reply.finish != "length":
                break
        (answer,) = yield [
            Draw(
                forced(thoughts, problem),
                thinking_kind="truncated",
                thinking_budget=self.thinking_budget,
            )
        ]
        return answer


@dataclass(frozen=True)
class Prompted:
    """Ask in words for about `thinking_budget` tokens of thought before the answer.

    Han et al. 2024, arXiv 2412.18547. Nothing enforces the budget: the reply has room for it
    twice and for the problem's own bound, and what it used is measured. `request` has `{budget}`
    where the number goes.
    """

    thinking_budget: int
    request: str = "Think about this in about {budget} tokens first, then give the answer."
    name: ClassVar[str] = "prompted"
    thinking_kind: ClassVar[ThinkingKind] = "prompted"

    def __post_init__(self) -> None:
        positive("thinking_budget", self.thinking_budget)
        if "{budget}" not in self.request:
            raise ValueError(f"request must have {{budget}} in it, found {self.request!r}")

    @property
    def budget(self) -> int:
        """The tokens of thought."""
        return self.thinking_budget

    def run(self, problem: Problem) -> Steps:
        """Yield one draw with the request below the question."""
        turns = (Message("user", self.request.replace("{budget}", str(self.thinking_budget))),)
        room = problem.max_tokens + 2 * self.thinking_budget
        (reply,) = yield [Draw("", room, None, "prompted", self.thinking_budget, turns=turns)]
        return reply


@dataclass(frozen=True)
class Effort:
    """Ask once at an `effort` of low, medium or high, for endpoints that take the parameter.

    `max_tokens` bounds thoughts and answer together; None takes the problem's own bound.
    """

    effort: EffortLevel
    max_tokens: int | None = None
    name: ClassVar[str] = "effort"
    thinking_kind: ClassVar[ThinkingKind] = "effort"
    parameter: ClassVar[str] = "effort"

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, found {self.effort!r}")
        if self.max_tokens is not None:
            positive("max_tokens", self.max_tokens)

    @property
    def budget(self) -> int:
        """The rank of the effort: 1 low, 2 medium, 3 high."""
        return EFFORTS.index(self.effort) + 1

    def run(self, problem: Problem) -> Steps:
        """Yield one draw."""
        (reply,) = yield [Draw("", self.max_tokens, None, "effort", effort=self.effort)]
        return reply


@dataclass(frozen=True)
class Native:
    """Ask once with at most `thinking_budget` tokens of thought, which the endpoint ends there.

    For endpoints that take the bound as a parameter (see `tsbench.models.dialect`). The reply has
    room for the budget and for the problem's own bound.
    """

    thinking_budget: int
    name: ClassVar[str] = "native"
    thinking_kind: ClassVar[ThinkingKind] = "native"
    parameter: ClassVar[str] = "thinking_budget"

    def __post_init__(self) -> None:
        whole("thinking_budget", self.thinking_budget)

    @property
    def budget(self) -> int:
        """The tokens of thought."""
        return self.thinking_budget

    def run(self, problem: Problem) -> Steps:
        """Yield one draw."""
        room = problem.max_tokens + self.thinking_budget
        (reply,) = yield [Draw("", room, None, "native", self.thinking_budget)]
        return reply
