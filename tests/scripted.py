"""A model that says what a test tells it to: strategies run on it without any I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import OmegaConf

from tsbench.cli import CONF
from tsbench.runner import Tally, drive
from tsbench.types import Ask, Draw, Judge, Message, Problem, Reply, Status, Strategy, Usage

PROBLEM = Problem("p", "t", "math", (Message("user", "What is 1 + 1?"),), stop=("\n",))


@dataclass(frozen=True)
class Said:
    """What comes after the prefix, how it ended, and what a judge scores."""

    text: str = ""
    answer: str | None = None
    finish: str = "stop"
    score: float | None = None
    status: Status = "ok"
    tokens: int = 3


Say = Callable[[Ask, int], Said]


def configs() -> dict[str, Any]:
    """Return every config of the package that names one strategy."""
    files = sorted((CONF / "strategy").glob("*.yaml"))
    found = {file.stem: OmegaConf.load(file) for file in files}
    for config in found.values():
        if "policy" in list(config.keys()):
            config["policy"] = str(Path(__file__).with_name("policy.json"))
    return {name: c for name, c in found.items() if hasattr(get_class(c["_target_"]), "run")}


@dataclass
class Run:
    """What a strategy asked, batch by batch, what it was given, and what it picked."""

    batches: list[list[tuple[Ask, int]]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    picked: Reply | None = None

    @property
    def asked(self) -> list[tuple[Ask, int]]:
        return [ask for batch in self.batches for ask in batch]

    @property
    def draws(self) -> list[Draw]:
        return [ask for ask, _ in self.asked if isinstance(ask, Draw)]

    @property
    def judges(self) -> list[Judge]:
        return [ask for ask, _ in self.asked if isinstance(ask, Judge)]


def play(strategy: Strategy, say: Say, problem: Problem = PROBLEM) -> Run:
    """Run a strategy on scripted replies, through the driver that the runner uses."""
    run, steps = Run(), drive(strategy.run(problem), Tally(), Counter())
    try:
        wanted = next(steps)
        while True:
            run.batches.append(wanted)
            first = len(run.replies)
            given = [reply(ask, say(ask, i), first + n) for n, (ask, i) in enumerate(wanted)]
            run.replies += given
            wanted = steps.send(given)
    except StopIteration as stop:
        run.picked = stop.value
    return run


def reply(ask: Ask, said: Said, number: int) -> Reply:
    """Return what was said as the runner would: a step has no answer, a verdict has a score."""
    used = Usage(1, 0, said.tokens, 0, 1.0)
    if isinstance(ask, Judge):
        return Reply(f"{number}", said.text, status=said.status, score=said.score, usage=used)
    answer = None if ask.partial else said.answer
    text = ask.prefix + said.text
    return Reply(f"{number}", text, answer, said.status, said.finish, usage=used)


def in_turn(*answers: str | None) -> Say:
    """Give these answers to draws, one after the other and then again; judges score 0."""
    seen = iter(range(10_000))

    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=0.0)
        answer = answers[next(seen) % len(answers)]
        return Said(answer or "", answer)

    return say
