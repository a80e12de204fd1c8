"""What the runner and a model say to each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tsbench.models.gate import Gate
from tsbench.types import CountedBy, EffortLevel, Message, Status, Usage

UNKNOWN = Usage(None, None, None, None)
NOTHING = Usage()


@dataclass(frozen=True)
class Request:
    """One reply wanted: `messages`, then `prefix` to continue, with bounds and a seed.

    `effort` (low, medium or high) and `thinking_budget` (tokens of thought at most) are for chat
    endpoints that take them.
    """

    messages: tuple[Message, ...]
    prefix: str
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    top_logprobs: int
    effort: EffortLevel | None = None
    thinking_budget: int | None = None


def prompt_hash(requests: Sequence[Request]) -> str | None:
    """Return 16 hex digits of the SHA-256 of what is shown to the model, roles included.

    A prefix counts as a last turn of the assistant; requests of one ask follow one another. None
    where nothing is asked.
    """
    shown = [
        [[message.role, message.content] for message in request.messages]
        + ([["assistant", request.prefix]] if request.prefix else [])
        for request in requests
    ]
    whole = json.dumps([turn for turns in shown for turn in turns])
    return hashlib.sha256(whole.encode()).hexdigest()[:16] if shown else None


@dataclass(frozen=True)
class Response:
    """One reply as the endpoint gave it.

    `first` are the first token's likeliest alternatives; `confidence` is the mean over tokens of
    the negative mean log-probability of those that were listed; `scores` are what a classifier
    gave instead of a text. `attempts` are HTTP requests; `wasted` is what those used that gave
    nothing, None where it is not known.
    """

    text: str
    status: Status
    finish: str | None = None
    reason: str | None = None
    thoughts: str | None = None
    usage: Usage = UNKNOWN
    counted_by: CountedBy = "none"
    logprob_sum: float | None = None
    logprob_mean: float | None = None
    confidence: float | None = None
    scores: tuple[float, ...] = ()
    first: Mapping[str, float] = field(default_factory=dict)
    served_model: str | None = None
    attempts: int = 1
    wasted: Usage = NOTHING


@dataclass(frozen=True)
class Served:
    """What answers: `endpoint` identifies it across runs (no port of a child process)."""

    endpoint: str
    model: str
    params: float | None


@dataclass(frozen=True)
class Identity:
    """A model as its asks' keys have it: what answers, and all that shapes a reply but the ask."""

    served: Served
    shape: Mapping[str, Any]

    def sampling(self) -> dict[str, Any]:
        """Return what shapes a reply."""
        return dict(self.shape)


class Connected(Protocol):
    """An open model, asked at most `slots` requests at a time.

    A draw asks for the `top_logprobs` likeliest alternatives of each token. `gate` lets asks in.
    """

    served: Served

    @property
    def gate(self) -> Gate: ...

    @property
    def slots(self) -> int: ...

    @property
    def top_logprobs(self) -> int: ...

    def sampling(self) -> dict[str, Any]: ...

    async def complete(self, request: Request) -> Response: ...


class Model(Protocol):
    """A model as configured; it does nothing until `connect`.

    It `continues` a prefix or not, and `takes` some of effort and thinking_budget as parameters.
    """

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int: ...

    @property
    def continues(self) -> bool: ...

    @property
    def takes(self) -> frozenset[str]: ...

    @property
    def dollars_in(self) -> float | None: ...

    @property
    def dollars_out(self) -> float | None: ...

    def identity(self) -> Identity | None:
        """Return its identity without a word to it; None where its weights are not here yet."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Connected]: ...
