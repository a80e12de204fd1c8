"""Any endpoint that speaks the OpenAI dialect, over chat or plain completions."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import openai

from tsbench.models.base import Identity, Request, Response, Served
from tsbench.types import Message, Status, Usage

NO_KEY = "none"
RETRIES = 4
MOST_LOGPROBS = 20

Waiting = asyncio.Future[Response]


@dataclass(frozen=True)
class OpenAI:
    """A model behind `base_url`, asked `slots` requests at a time.

    The key is read from the environment variable `api_key_env` and kept nowhere else.
    `extra` holds sampling parameters of the endpoint's own (top_k, min_p, ...). With
    `api: completions` the prompt is rendered by `template` ("server": the endpoint's
    /apply-template route, as llama.cpp has it; "plain": contents separated by blank lines), and
    only so can a prefix be continued. Up to `batch` equal draws are sent as one request with n.
    `top_logprobs` alternatives of each token are asked for (0: no log-probabilities at all).
    `params` (parameters of the model) prices FLOPs; `dollars_in` and `dollars_out` are dollars
    for a million tokens; None is unknown.
    """

    base_url: str
    name: str
    api: Literal["chat", "completions"] = "chat"
    template: Literal["server", "plain"] = "plain"
    temperature: float = 0.8
    top_p: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    api_key_env: str = "OPENAI_API_KEY"
    slots: int = 16
    batch: int = 1
    top_logprobs: int = 1
    timeout: float = 600.0
    params: float | None = None
    dollars_in: float | None = None
    dollars_out: float | None = None

    def __post_init__(self) -> None:
        check_address(self.base_url)
        if not self.name:
            raise ValueError("model.name must name a model that the endpoint serves, found ''")
        if self.api not in ("chat", "completions"):
            raise ValueError(f"model.api must be chat or completions, found {self.api!r}")
        if self.template not in ("server", "plain"):
            raise ValueError(f"model.template must be server or plain, found {self.template!r}")
        for key in ("slots", "batch"):
            if getattr(self, key) < 1:
                raise ValueError(f"model.{key} must be at least 1, found {getattr(self, key)}")
        if not 0 <= self.top_logprobs <= MOST_LOGPROBS:
            raise ValueError(
                f"model.top_logprobs must be from 0 to {MOST_LOGPROBS}, found {self.top_logprobs}"
            )

    @property
    def continues(self) -> bool:
        """Whether a prefix can be continued."""
        return self.api == "completions"

    def sampling(self) -> dict[str, Any]:
        """Return every parameter that shapes a reply beside the prompt: part of an ask's key."""
        return {
            "api": self.api,
            "temperature": self.temperature,
            "top_p": self.top_p,
            **self.extra,
        }

    def identity(self) -> Identity:
        """Return its identity, without a word to the endpoint."""
        return Identity(Served(self.base_url, self.name, self.params), self.sampling())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Reach the endpoint, or raise ValueError before anything is spent."""
        key = os.environ.get(self.api_key_env) or NO_KEY
        client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=key, max_retries=RETRIES, timeout=self.timeout
        )
        async with client:
            meta = await listed(client, self.base_url, self.name, self.api_key_env)
            params = self.params or meta.get("n_params")
            connection = Connection(self, client, Served(self.base_url, self.name, params))
            if self.api == "completions":
                await connection.render((Message("user", "Hello"),))
            yield connection


def check_address(base_url: str) -> None:
    """Raise ValueError where an endpoint's address is none."""
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise ValueError(
            f"model.base_url must be an http(s) address such as http://HOST:PORT/v1, "
            f"found {base_url!r}"
        )


async def listed(
    client: openai.AsyncOpenAI, base_url: str, name: str, key_env: str
) -> Mapping[str, Any]:
    """Return what an endpoint lists of its model `name`; empty where it lists no models.

    Raises ValueError where nothing answers, the key is refused, or the model is not served.
    """
    try:
        models = await client.with_options(timeout=20.0, max_retries=1).models.list()
    except openai.APIConnectionError as error:
        raise ValueError(
            f"model.base_url: no endpoint answers at {base_url} "
            f"({type(error.__cause__ or error).__name__})"
        ) from None
    except openai.AuthenticationError:
        raise ValueError(
            f"model.base_url: {base_url} refused the key in the environment variable {key_env}"
        ) from None
    except openai.APIStatusError:
        return {}
    names = [model.id for model in models.data]
    if names and name not in names:
        raise ValueError(
            f"model.name {name!r} is not served at {base_url}; it serves "
            f"{', '.join(sorted(names)[:10])}"
        )
    return next((getattr(m, "meta", None) or {} for m in models.data if m.id == name), {})


class Choice(NamedTuple):
    """One choice of an answer, of either route."""

    text: str
    finish: str | None
    logprobs: Mapping[str, Any] | None
    thoughts: str | None = None
    refusal: str | None = None


class Connection:
    """An open client of one endpoint."""

    def __init__(self, model: OpenAI, client: openai.AsyncOpenAI, served: Served) -> None:
        self.model = model
        self.served = served
        self._client = client
        self._waiting: dict[Request, list[tuple[int, Waiting]]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._rendered: dict[tuple[Message, ...], str] = {}

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
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        kind = replace(request, seed=0)
        waiting = self._waiting.setdefault(kind, [])
        waiting.append((request.seed, answer))
        if len(waiting) == self.model.batch:
            self._flush(kind)
        elif len(waiting) == 1:
            asyncio.get_running_loop().call_soon(self._flush, kind)
        return await answer

    def _flush(self, kind: Request) -> None:
        waiting = self._waiting.pop(kind, [])
        if waiting:
            task = asyncio.create_task(self._send(kind, waiting))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, kind: Request, waiting: list[tuple[int, Waiting]]) -> None:
        request, n = replace(kind, seed=waiting[0][0]), len(waiting)
        try:
            responses = await (self._chat if self.model.api == "chat" else self._text)(request, n)
        except openai.APITimeoutError as error:
            responses = [failed("timeout", error)] * n
        except Exception as error:
            responses = [failed("error", error)] * n
        for (_, answer), response in zip(waiting, responses, strict=True):
            if not answer.cancelled():
                answer.set_result(response)

    async def _chat(self, request: Request, n: int) -> list[Response]:
        if request.prefix:
            raise ValueError("the chat API cannot continue a prefix; use model.api=completions")
        raw = await self._client.chat.completions.with_raw_response.create(
            messages=[{"role": m.role, "content": m.content} for m in request.messages],  # type: ignore[misc]
            logprobs=True if request.top_logprobs else openai.omit,
            top_logprobs=request.top_logprobs or openai.omit,
            reasoning_effort=request.effort or openai.omit,
            **self._common(request, n),
        )
        answer = raw.parse()
        found = []
        for choice in ordered(answer.choices, n):
            extra = choice.message.model_extra or {}
            found.append(
                Choice(
                    choice.message.content or "",
                    choice.finish_reason,
                    choice.logprobs.model_dump() if choice.logprobs else None,
                    extra.get("reasoning_content") or extra.get("reasoning"),
                    choice.message.refusal,
                )
            )
        return read(found, answer.usage, answer.model, raw.retries_taken + 1)

    async def _text(self, request: Request, n: int) -> list[Response]:
        raw = await self._client.completions.with_raw_response.create(
            prompt=await self.render(request.messages) + request.prefix,
            logprobs=request.top_logprobs or openai.omit,
            **self._common(request, n),
        )
        answer = raw.parse()
        found = [
            Choice(c.text, c.finish_reason, c.logprobs.model_dump() if c.logprobs else None)
            for c in ordered(answer.choices, n)
        ]
        return read(found, answer.usage, answer.model, raw.retries_taken + 1)

    def _common(self, request: Request, n: int) -> dict[str, Any]:
        return {
            "model": self.model.name,
            "n": n if n > 1 else openai.omit,
            "max_tokens": request.max_tokens,
            "stop": list(request.stop) or openai.omit,
            "temperature": self.model.temperature,
            "top_p": self.model.top_p,
            "seed": request.seed,
            "extra_body": dict(self.model.extra) or None,
        }

    async def render(self, messages: tuple[Message, ...]) -> str:
        """Return the prompt that the endpoint's template makes of `messages`."""
        if self.model.template == "plain":
            return "\n\n".join(m.content for m in messages) + "\n"
        if messages not in self._rendered:
            root = str(self._client.base_url).rstrip("/").removesuffix("/v1")
            body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
            try:
                raw = await self._client.post(f"{root}/apply-template", body=body, cast_to=object)
            except openai.APIStatusError:
                raw = None
            if not isinstance(raw, dict) or "prompt" not in raw:
                raise ValueError(
                    f"model.template: {root} has no /apply-template route; use "
                    "model.template=plain or model.api=chat"
                )
            if len(self._rendered) >= 1024:
                self._rendered.clear()
            self._rendered[messages] = raw["prompt"]
        return self._rendered[messages]


def ordered(choices: Sequence[Any], n: int) -> list[Any]:
    """Return the choices by index; ValueError where they are not as many as were asked."""
    if len(choices) != n:
        raise ValueError(f"the endpoint gave {len(choices)} choices for n = {n}")
    return sorted(choices, key=lambda choice: int(choice.index))


def failed(status: Status, error: Exception) -> Response:
    """Return a failure as a response."""
    said = f"{type(error).__name__}: {error}"
    return Response("", status, reason=said[:500], attempts=RETRIES + 1)


def read(choices: Sequence[Choice], usage: Any, served_model: str, attempts: int) -> list[Response]:
    """Return a response a choice: status from how it ended, counts from the server.

    Of several choices the server's usage counts one, so each one's tokens are counted from its
    log-probabilities; their prompt was read once, by the first.
    """
    found = []
    details = getattr(usage, "completion_tokens_details", None)
    prompt = getattr(usage, "prompt_tokens", None)
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    for place, choice in enumerate(choices):
        status: Status = "ok"
        if choice.refusal or choice.finish == "content_filter":
            status = "refused"
        elif choice.finish == "length":
            status = "truncated"
        tokens, tops = read_logprobs(choice.logprobs)
        made = getattr(usage, "completion_tokens", None)
        if len(choices) > 1:
            made = len(tokens) if tokens or not choice.text else None
        finite = [value for value in tokens if math.isfinite(value)]
        found.append(
            Response(
                choice.text,
                status,
                finish=choice.finish,
                reason=choice.refusal,
                thoughts=choice.thoughts,
                usage=Usage(
                    prompt,
                    prompt if place else cached,
                    made,
                    getattr(details, "reasoning_tokens", None) if len(choices) == 1 else None,
                ),
                counted_by="none" if made is None else "server",
                logprob_sum=sum(finite) if finite else None,
                logprob_mean=sum(finite) / len(finite) if finite else None,
                confidence=confidence(tops),
                first=tops[0] if tops else {},
                served_model=served_model,
                attempts=attempts,
            )
        )
    return found


def read_logprobs(
    logprobs: Mapping[str, Any] | None,
) -> tuple[list[float], list[dict[str, float]]]:
    """Return each token's log-probability, and each token's likeliest alternatives.

    Both layouts are read: lists side by side (completions) and a list of entries (chat, and
    llama.cpp's completions).
    """
    if not logprobs:
        return [], []
    if content := logprobs.get("content"):
        return [entry["logprob"] for entry in content], [
            {top["token"]: top["logprob"] for top in entry.get("top_logprobs") or []}
            for entry in content
        ]
    tokens = [value for value in logprobs.get("token_logprobs") or [] if value is not None]
    return tokens, [dict(top or {}) for top in logprobs.get("top_logprobs") or []]


def confidence(tops: Sequence[Mapping[str, float]]) -> float | None:
    """Return the mean over tokens of the negative mean log-probability of the alternatives.

    It is high where the others are unlikely, so it needs more than one alternative a token; None
    where there are none. Kang et al. 2025, arXiv 2502.18581 (self-certainty, over the whole
    vocabulary, up to a constant) and Fu et al. 2025, arXiv 2508.15260 (over the listed ones).
    """
    listed = [[v for v in top.values() if math.isfinite(v)] for top in tops]
    each = [-sum(values) / len(values) for values in listed if len(values) > 1]
    return sum(each) / len(each) if each else None
