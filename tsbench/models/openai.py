"""Any endpoint that speaks the OpenAI dialect, over chat or plain completions."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tsbench.models import native
from tsbench.models.base import NOTHING, Identity, Request, Response, Served
from tsbench.models.batch import Batch
from tsbench.models.choices import read
from tsbench.models.dialect import OPENAI, Dialect, put
from tsbench.models.endpoint import Endpoint, check, failed, listed, opened
from tsbench.models.faults import Fault, Garbage
from tsbench.models.gate import Gate
from tsbench.models.retry import Tried
from tsbench.types import Message

MOST_LOGPROBS = 20
RENDERED = 1024
"""Prompts that are kept as the endpoint's template made them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenAI:
    """A model behind `base_url`, asked `slots` requests at a time.

    The key is read from the environment variable `api_key_env` and kept nowhere else. `dialect`
    says where the endpoint differs from others. `extra` holds sampling parameters of its own
    (top_k, min_p, ...). With `api: completions` the prompt is rendered by `template` ("server":
    the endpoint's /apply-template route, as llama.cpp has it; "plain": contents separated by
    blank lines), and a prefix can be continued, as in chats whose dialect can do it. Up to `batch`
    equal draws are sent as one request with n. `top_logprobs` alternatives of each token are asked
    for (0: no log-probabilities at all). `timeout` bounds the seconds of one attempt and
    `patience` those that the endpoint may be down. `params` (parameters of the model) prices
    FLOPs; `dollars_in` and `dollars_out` are dollars for a million tokens; None is unknown.
    """

    base_url: str
    name: str
    api: Literal["chat", "completions"] = "chat"
    template: Literal["server", "plain"] = "plain"
    dialect: Dialect = OPENAI
    temperature: float = 0.8
    top_p: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    api_key_env: str = "OPENAI_API_KEY"
    slots: int = 16
    batch: int = 1
    top_logprobs: int = 1
    timeout: float = 600.0
    patience: float = 600.0
    params: float | None = None
    dollars_in: float | None = None
    dollars_out: float | None = None

    def __post_init__(self) -> None:
        check(self.base_url, self.api_key_env)
        if not self.name:
            raise ValueError("model.name must name a model that the endpoint serves, found ''")
        if self.api not in ("chat", "completions"):
            raise ValueError(f"model.api must be chat or completions, found {self.api!r}")
        if self.template not in ("server", "plain"):
            raise ValueError(f"model.template must be server or plain, found {self.template!r}")
        if not isinstance(self.dialect, Dialect):
            raise ValueError(
                f"model.dialect is a table, chosen by model/dialect=NAME; found {self.dialect!r}"
            )
        for key in ("slots", "batch"):
            if getattr(self, key) < 1:
                raise ValueError(f"model.{key} must be at least 1, found {getattr(self, key)}")
        for key in ("timeout", "patience"):
            if not getattr(self, key) > 0:
                raise ValueError(f"model.{key} must be above 0, found {getattr(self, key)}")
        if not 0 <= self.top_logprobs <= MOST_LOGPROBS:
            raise ValueError(
                f"model.top_logprobs must be from 0 to {MOST_LOGPROBS}, found {self.top_logprobs}"
            )

    @property
    def continues(self) -> bool:
        """Whether a prefix can be continued."""
        return self.api == "completions" or self.dialect.continues is not None

    @property
    def takes(self) -> frozenset[str]:
        """What it takes as a parameter: effort, thinking_budget."""
        chat = self.api == "chat"
        named = {"effort": self.dialect.effort, "thinking_budget": self.dialect.thinking_budget}
        return frozenset(name for name, path in named.items() if chat and path)

    def sampling(self) -> dict[str, Any]:
        """Return every parameter that shapes a reply beside the prompt: part of an ask's key."""
        return {
            "api": self.api,
            "temperature": self.temperature,
            "top_p": self.top_p,
            **self.dialect.body,
            **self.extra,
        }

    def identity(self) -> Identity:
        """Return its identity, without a word to the endpoint."""
        return Identity(Served(self.base_url, self.name, self.params), self.sampling())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Reach the endpoint, or raise ValueError before anything is spent."""
        async with opened(
            self.base_url, self.api_key_env, self.slots, self.timeout, self.patience
        ) as endpoint:
            meta = await listed(endpoint, self.name, self.api_key_env)
            params = self.params or meta.get("n_params")
            connection = Connection(self, endpoint, Served(self.base_url, self.name, params))
            if self.api == "completions":
                await connection.check_template()
            yield connection


class Connection:
    """An open client of one endpoint."""

    def __init__(self, model: OpenAI, endpoint: Endpoint, served: Served) -> None:
        self.model, self.served = model, served
        self._endpoint = endpoint
        self._batch = Batch(model.batch, self._send)
        self._rendered: dict[tuple[Message, ...], str] = {}
        self._named: str | None = None
        self._warned: set[str] = set()

    @property
    def gate(self) -> Gate:
        """What lets requests in."""
        return self._endpoint.gate

    @property
    def slots(self) -> int:
        """Requests that are in flight at most."""
        return self.model.slots

    @property
    def top_logprobs(self) -> int:
        """Alternatives that a draw asks for, a token."""
        return self.model.top_logprobs

    def sampling(self) -> dict[str, Any]:
        """Return every parameter that shapes a reply beside the prompt: part of an ask's key."""
        return self.model.sampling()

    async def complete(self, request: Request) -> Response:
        """Ask once. A failure of the endpoint is a response with its status, not an exception.

        Requests that differ in the seed alone and come together are sent as one, `batch` at the
        most, so that the endpoint reads their prompt once.
        """
        return await self._batch(request)

    async def _send(self, request: Request, n: int) -> list[Response]:
        """Return the responses to n equal requests; what they wasted is counted once."""
        chat, dialect = self.model.api == "chat", self.model.dialect
        try:
            body = self._chat(request) if chat else await self._text(request)
        except Fault as met:
            return [failed(Tried[object](fault=met, attempts=1))] * n
        path, body = (
            "/chat/completions" if chat else "/completions",
            body | self._common(request, n),
        )
        own = dialect.native and not chat
        if own:
            path, body = f"{self._endpoint.root}{native.ROUTE}", native.request(body)
        tried = await self._endpoint.ask(
            path,
            body,
            request.max_tokens,
            lambda answer: read(native.answer(answer) if own else answer, n, dialect),
        )
        responses = tried.answer or [failed(tried)] * n
        made = [response.usage.completion_tokens or 0 for response in responses]
        self._endpoint.pace.saw(tried.seconds, max(made))
        self._notice(responses, request.max_tokens)
        if chat and dialect.repeats and request.prefix:
            responses = [replace(r, text=r.text.removeprefix(request.prefix)) for r in responses]
        found = [self._endpoint.cleaned(response) for response in responses]
        if tried.answer and tried.attempts == 1:
            return found
        return [
            replace(each, attempts=tried.attempts, wasted=NOTHING if place else tried.wasted)
            for place, each in enumerate(found)
        ]

    def _chat(self, request: Request) -> dict[str, Any]:
        dialect = self.model.dialect
        messages = said(request.messages)
        body: dict[str, Any] = {"messages": messages}
        put(body, dialect.max_tokens, request.max_tokens)
        if request.prefix:
            if dialect.continues is None:
                raise Fault(f"chats of the dialect {dialect.name} cannot continue a prefix")
            messages.append({"role": "assistant", "content": request.prefix})
            body |= dialect.continues
        for name in ("effort", "thinking_budget"):
            value, path = getattr(request, name), getattr(dialect, name)
            if value is not None and path is None:
                raise Fault(f"the dialect {dialect.name} has no parameter for {name}")
            if value is not None:
                put(body, path, value)
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    async def _text(self, request: Request) -> dict[str, Any]:
        body = {
            "prompt": await self.render(request.messages) + request.prefix,
            "max_tokens": request.max_tokens,
        }
        return body | ({"logprobs": request.top_logprobs} if request.top_logprobs else {})

    def _common(self, request: Request, n: int) -> dict[str, Any]:
        model = self.model
        return {
            "model": model.name,
            "temperature": model.temperature,
            "top_p": model.top_p,
            "seed": request.seed,
            **({"n": n} if n > 1 else {}),
            **({"stop": list(request.stop)} if request.stop else {}),
            **model.dialect.body,
            **model.extra,
        }

    def _notice(self, responses: Sequence[Response], max_tokens: int) -> None:
        """Warn, once each, of another model than at first and of more tokens than were allowed."""
        for response in responses:
            named, made = response.served_model, response.usage.completion_tokens
            self._named = self._named or named
            if named and named != self._named:
                self._warn(
                    "name",
                    f"{self.served.endpoint} answers as {named!r} now, and as {self._named!r} "
                    "before; each reply's row has its served_model",
                )
            if made is not None and made > max_tokens:
                self._warn(
                    "tokens",
                    f"{self.served.endpoint} made {made} tokens where {max_tokens} were allowed: "
                    f"it may not know {self.model.dialect.max_tokens}; see model/dialect",
                )

    def _warn(self, about: str, sentence: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning(self._endpoint.hidden(sentence))

    async def render(self, messages: tuple[Message, ...]) -> str:
        """Return the prompt that the endpoint's template makes of `messages`; Fault if it fails."""
        if self.model.template == "plain":
            return "\n\n".join(m.content for m in messages) + "\n"
        if messages not in self._rendered:
            route = f"{self._endpoint.root}/apply-template"
            tried = await self._endpoint.ask(route, {"messages": said(messages)}, 1, prompt)
            if tried.answer is None:
                raise tried.fault or Fault("the endpoint's template gave no prompt")
            if len(self._rendered) >= RENDERED:
                self._rendered.clear()
            self._rendered[messages] = tried.answer
        return self._rendered[messages]

    async def check_template(self) -> None:
        """Raise ValueError where the endpoint renders no template."""
        try:
            await self.render((Message("user", "Hello"),))
        except Fault:
            raise ValueError(
                f"model.template: {self._endpoint.root} has no /apply-template route; use "
                "model.template=plain or model.api=chat"
            ) from None


def said(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as a chat has them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def prompt(answer: object) -> str:
    """Return a rendered prompt; Garbage where there is none."""
    found = answer.get("prompt") if isinstance(answer, Mapping) else None
    if not isinstance(found, str):
        raise Garbage("the endpoint's template gave no prompt")
    return found
