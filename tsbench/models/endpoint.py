"""One endpoint: its connections, the gate before it, how fast it is and whether it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
from httpx2 import Limits

from tsbench.keys import check_name, hidden, key
from tsbench.models.base import Response
from tsbench.models.faults import Garbage
from tsbench.models.gate import Gate
from tsbench.models.pace import Pace
from tsbench.models.retry import Retry, Tried

CONNECT_SECONDS = 20.0

T = TypeVar("T")


class Endpoint:
    """An open endpoint, through a pool of as many connections as it has slots.

    `timeout` bounds the seconds of one attempt, `patience` those that it may be down (see `Pace`
    and `Retry`).
    """

    def __init__(
        self, client: openai.AsyncOpenAI, slots: int, timeout: float, patience: float
    ) -> None:
        self.client = client
        self.gate = Gate(slots)
        self.pace = Pace(timeout)
        self.retry = Retry(self.gate, patience, self.hidden)

    @property
    def root(self) -> str:
        """The address without the version."""
        return str(self.client.base_url).rstrip("/").removesuffix("/v1")

    async def ask(
        self, path: str, body: Mapping[str, Any], tokens: int, read: Callable[[object], T]
    ) -> Tried[T]:
        """Post `body`, for at most so many tokens, until `read` makes something of the answer.

        What `read` raises as Garbage is tried again.
        """

        async def send() -> T:
            try:
                async with asyncio.timeout(self.pace.timeout(tokens)):
                    answer = await self.client.post(path, body=body, cast_to=object)
            except TimeoutError:
                self.pace.late()
                raise
            except ValueError as error:
                raise Garbage(f"the endpoint's answer is not JSON: {error}"[:300]) from None
            return read(answer)

        return await self.retry(send)

    def hidden(self, text: str) -> str:
        """Return a text without the key."""
        return hidden(text, self.client.api_key)

    def cleaned(self, response: Response) -> Response:
        """Return a response without the key, in case that the endpoint repeats it."""
        said = (response.text, response.thoughts, response.reason, response.finish)
        if not any(text and self.client.api_key in text for text in (*said, response.served_model)):
            return response
        text, thoughts, reason, finish = (text and self.hidden(text) for text in said)
        served = response.served_model and self.hidden(response.served_model)
        return replace(
            response,
            text=text or "",
            thoughts=thoughts,
            reason=reason,
            finish=finish,
            served_model=served,
        )


def failed(tried: Tried[Any]) -> Response:
    """Return what gave no answer as a response."""
    assert tried.fault is not None
    return Response(
        "",
        tried.fault.status,
        reason=tried.fault.reason[:500],
        attempts=tried.attempts,
        wasted=tried.wasted,
    )


@asynccontextmanager
async def opened(
    base_url: str, key_env: str, slots: int, timeout: float, patience: float
) -> AsyncIterator[Endpoint]:
    """Open an endpoint; the key is in the environment variable `key_env`."""
    client = openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key(key_env),
        max_retries=0,
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
        http_client=openai.DefaultAioHttpClient(
            limits=Limits(max_connections=slots, max_keepalive_connections=slots)
        ),
    )
    async with client:
        yield Endpoint(client, slots, timeout, patience)


def check(base_url: str, key_env: str) -> None:
    """Raise ValueError where an endpoint's address is none, or holds a secret."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(
            f"model.base_url must be an http(s) address such as http://HOST:PORT/v1, "
            f"found {base_url!r}"
        )
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            "model.base_url must have no user, password or query in it: a key is read from the "
            "environment variable that model.api_key_env names"
        )
    check_name(key_env)


async def listed(endpoint: Endpoint, name: str, key_env: str) -> Mapping[str, Any]:
    """Return what an endpoint lists of its model `name`; empty where it lists no models.

    Raises ValueError where nothing answers, the key is refused, or the model is not served.
    """
    client = endpoint.client
    address = str(client.base_url).rstrip("/")
    try:
        models = await client.with_options(timeout=20.0, max_retries=1).models.list()
    except openai.APIConnectionError as error:
        raise ValueError(
            f"model.base_url: no endpoint answers at {address} "
            f"({type(error.__cause__ or error).__name__})"
        ) from None
    except openai.AuthenticationError:
        raise ValueError(
            f"model.base_url: {address} refused the key in the environment variable {key_env}"
        ) from None
    except openai.APIStatusError:
        return {}
    names = [model.id for model in models.data]
    if names and name not in names:
        raise ValueError(
            f"model.name {name!r} is not served at {address}; it serves "
            f"{', '.join(sorted(names)[:10])}"
        )
    return next((getattr(m, "meta", None) or {} for m in models.data if m.id == name), {})
