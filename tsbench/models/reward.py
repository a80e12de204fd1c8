"""A classifier behind an endpoint, as vLLM serves reward models: messages in, scores out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import openai

from tsbench.models.base import Identity, Request, Response, Served
from tsbench.models.openai import RETRIES, check_address, failed, listed
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
    params: float | None = None
    dollars_in: float | None = None
    dollars_out: float | None = 0.0
    continues: bool = False

    def __post_init__(self) -> None:
        check_address(self.base_url)
        if self.route not in ("classify", "pooling"):
            raise ValueError(f"model.route must be classify or pooling, found {self.route!r}")

    def identity(self) -> Identity:
        """Return its identity, without a word to the endpoint."""
        shape = {"route": self.route, "label": self.label}
        return Identity(Served(self.base_url, self.name, self.params), shape)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Classes]:
        """Reach the endpoint, or raise ValueError before anything is spent."""
        key = os.environ.get(self.api_key_env) or "none"
        client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=key, max_retries=RETRIES, timeout=self.timeout
        )
        async with client:
            meta = await listed(client, self.base_url, self.name, self.api_key_env)
            params = self.params or meta.get("n_params")
            yield Classes(self, client, Served(self.base_url, self.name, params))


class Classes:
    """An open client of one classifier."""

    top_logprobs = 0

    def __init__(self, model: Classifier, client: openai.AsyncOpenAI, served: Served) -> None:
        self.model, self.served = model, served
        self._client = client

    @property
    def slots(self) -> int:
        """Requests that are in flight at most."""
        return self.model.slots

    def sampling(self) -> dict[str, Any]:
        """Return what shapes a score beside the messages."""
        return self.model.identity().sampling()

    async def complete(self, request: Request) -> Response:
        """Score once. A failure of the endpoint is a response with its status."""
        root = str(self._client.base_url).rstrip("/").removesuffix("/v1")
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        body = {"model": self.model.name, "messages": messages}
        try:
            raw = await self._client.post(f"{root}/{self.model.route}", body=body, cast_to=object)
            answer = cast(Mapping[str, Any], raw)
            scores = read_scores(answer["data"][0], self.model.label)
        except openai.APITimeoutError as error:
            return failed("timeout", error)
        except Exception as error:
            return failed("error", error)
        read = (answer.get("usage") or {}).get("prompt_tokens")
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
