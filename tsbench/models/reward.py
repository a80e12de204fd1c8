"""A classifier behind an endpoint, as vLLM serves reward models: messages in, scores out."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from tsbench.models.base import Identity, Request, Response, Served
from tsbench.models.endpoint import Endpoint, check, failed, listed, opened
from tsbench.models.faults import Garbage
from tsbench.models.gate import Gate
from tsbench.types import Usage


@dataclass(frozen=True)
class Classifier:
    """A reward model at `base_url`, asked through `route`: classify or pooling.

    Either takes a model and its messages. classify answers a probability for each class, of which
    `label` is the one that means good (-1: the last); pooling answers a score, or a list with one
    for each step or token (of a list of classes the one at `label`). Prices as for
    `tsbench.models.openai.OpenAI`; nothing is generated, so only prompt tokens cost.
    """

    base_url: str
    name: str
    route: Literal["classify", "pooling"] = "classify"
    label: int = -1
    api_key_env: str = "OPENAI_API_KEY"
    slots: int = 16
    timeout: float = 120.0
    patience: float = 600.0
    params: float | None = None
    dollars_in: float | None = None
    dollars_out: float | None = 0.0
    continues: bool = False
    takes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check(self.base_url, self.api_key_env)
        if self.route not in ("classify", "pooling"):
            raise ValueError(f"model.route must be classify or pooling, found {self.route!r}")

    def identity(self) -> Identity:
        """Return its identity, without a word to the endpoint."""
        shape = {"route": self.route, "label": self.label}
        return Identity(Served(self.base_url, self.name, self.params), shape)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Classes]:
        """Reach the endpoint, or raise ValueError before anything is spent."""
        async with opened(
            self.base_url, self.api_key_env, self.slots, self.timeout, self.patience
        ) as endpoint:
            meta = await listed(endpoint, self.name, self.api_key_env)
            params = self.params or meta.get("n_params")
            yield Classes(self, endpoint, Served(self.base_url, self.name, params))


class Classes:
    """An open client of one classifier."""

    top_logprobs = 0

    def __init__(self, model: Classifier, endpoint: Endpoint, served: Served) -> None:
        self.model, self.served = model, served
        self._endpoint = endpoint

    @property
    def gate(self) -> Gate:
        """What lets requests in."""
        return self._endpoint.gate

    @property
    def slots(self) -> int:
        """Requests that are in flight at most."""
        return self.model.slots

    def sampling(self) -> dict[str, Any]:
        """Return what shapes a score beside the messages."""
        return self.model.identity().sampling()

    async def complete(self, request: Request) -> Response:
        """Score once. A failure of the endpoint is a response with its status."""
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        tried = await self._endpoint.ask(
            f"{self._endpoint.root}/{self.model.route}",
            {"model": self.model.name, "messages": messages},
            1,
            lambda answer: scored(answer, self.model.label),
        )
        if tried.answer is None:
            return failed(tried)
        return replace(
            self._endpoint.cleaned(tried.answer), attempts=tried.attempts, wasted=tried.wasted
        )


def scored(answer: object, label: int) -> Response:
    """Return the scores of an answer as a response; Garbage where there are none."""
    try:
        assert isinstance(answer, Mapping)
        scores = read_scores(answer["data"][0], label)
        read = (answer.get("usage") or {}).get("prompt_tokens")
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Garbage(f"the endpoint's answer has no scores: {error}"[:300]) from None
    return Response(
        json.dumps(scores),
        "ok",
        usage=Usage(read, None, 0, 0),
        counted_by="none" if read is None else "server",
        scores=scores,
        served_model=answer.get("model"),
    )


def read_scores(data: Mapping[str, Any], label: int) -> tuple[float, ...]:
    """Return the scores of one answer, of either route; ValueError where they are no numbers."""
    found = [data["probs"]] if "probs" in data else data["data"]
    scores = tuple(float(each[label] if isinstance(each, list) else each) for each in found)
    if not scores or not all(map(math.isfinite, scores)):
        raise ValueError(f"the endpoint gave no finite score: {found!r}"[:200])
    return scores
