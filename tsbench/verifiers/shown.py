"""How a judge is shown a question and what was answered, and how its words are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from tsbench.models.base import Model
from tsbench.types import Message, Problem, Reply


@dataclass(frozen=True)
class Judged:
    """What judges share: `model`, an endpoint of the judge's own; None is the swept model."""

    _: KW_ONLY
    model: Model | None = field(default=None, repr=False)


def shown(problem: Problem, question: str, **replies: Reply) -> tuple[Message, ...]:
    """Return one turn: the problem's last question, each reply under its title, and `question`.

    A title's underscores are spaces.
    """
    parts = [f"{title.replace('_', ' ')}: {r.text.strip()}" for title, r in replies.items()]
    return (Message("user", "\n".join([problem.messages[-1].content, *parts, question])),)


def share(first: Mapping[str, float], yes: str, no: str) -> float | None:
    """Return P(yes) / (P(yes) + P(no)) of a first token, whatever its case and leading space.

    `first` are log-probabilities by token; None where neither word is among them.
    """
    mass = {yes.lower(): 0.0, no.lower(): 0.0}
    for token, logprob in first.items():
        word = token.strip().lower()
        if word in mass:
            mass[word] += math.exp(logprob)
    total = sum(mass.values())
    return mass[yes.lower()] / total if total > 0 else None
