"""Thinking budgets (budget forcing; Muennighoff et al. 2025, arXiv 2501.19393)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tsbench.types import Draw, Problem, Steps

FIRST_CHECKPOINT = 8
WAIT = "\nWait,"


def checkpoints(budget: int) -> list[int]:
    """Split `budget` at 8, 16, 32, ... tokens, so that larger budgets reuse the smaller ones."""
    marks, mark = [], FIRST_CHECKPOINT
    while mark < budget:
        marks.append(mark)
        mark *= 2
    return [*marks, budget] if budget else []


@dataclass(frozen=True)
class Forced:
    """Let the model reason for `thinking_budget` tokens, then make it answer.

    A model that stops reasoning early is made to go on by appending "Wait", at most `waits`
    times; what it reasoned past that is what it spent.
    """

    thinking_budget: int
    waits: int = 8
    name: ClassVar[str] = "forced"

    def __post_init__(self) -> None:
        if self.thinking_budget < 0:
            raise ValueError(f"thinking_budget must be 0 or more, found {self.thinking_budget}")

    @property
    def budget(self) -> int:
        """The tokens of thought."""
        return self.thinking_budget

    def run(self, problem: Problem) -> Steps:
        """Yield one continuation at a time, and last the forced answer."""

        stop = (problem.force.strip(), *problem.stop)
        thoughts, spent, waits = "", 0, 0
        for mark in checkpoints(self.thinking_budget):
            while spent < mark and waits <= self.waits:
                (reply,) = yield [Draw(thoughts, mark - spent, stop, "forced", partial=True)]
                thoughts = reply.text
                spent += max(1, reply.usage.completion_tokens or 0)
                if reply.finish != "length" and spent < mark:
                    thoughts, waits = thoughts.rstrip() + WAIT, waits + 1
        forced = (thoughts.rstrip() + problem.force).lstrip()
        (answer,) = yield [
            Draw(forced, thinking_kind="forced", thinking_budget=self.thinking_budget)
        ]
        return answer
