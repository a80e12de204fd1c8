"""A real HTTP endpoint on loopback with known answers and, on demand, faults.

It speaks the OpenAI dialect. `python tests/endpoint.py LATENCY` serves in a process of its own,
with so many seconds before each answer, and prints its address.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[str, random.Random], str]
Body = dict[str, Any]


def sometimes_right(prompt: str, rng: random.Random) -> str:
    """Say what "A + B" makes, wrong by one in three replies of ten."""
    asked = prompt.split("What is ")[-1].split("?")[0]
    a, b = (int(part) for part in asked.split(" + "))
    return f"The answer is {a + b + (rng.random() < 0.3)}."


class Endpoint:
    """Counts what it was asked; what it answers depends on prompt and seed alone.

    `fails` turns the next so many requests into HTTP 400. `fault` befalls a share `rate` of
    the requests: which ones follows from `seed`, the draw, and how often it was asked before.
    """

    def __init__(
        self,
        answer: Answer = sometimes_right,
        *,
        latency: float = 0.0,
        fault: str | None = None,
        rate: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.answer = answer
        self.latency, self.fault, self.rate, self.seed = latency, fault, rate, seed
        self.asked: Counter[str] = Counter()
        self.faulty: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.fails = 0
        self.flying = self.most_flying = 0
        self.base_url = ""
        self.model: str | None = None

    @property
    def requests(self) -> int:
        return sum(self.asked.values())

    def reply(self, path: str, body: Body) -> tuple[int, Body]:
        if self.fails > 0:
            self.fails -= 1
            return 400, {"error": {"message": "refused for the test"}}
        if not path.endswith("completions"):
            return 404, {"error": {"message": "there is no such route"}}
        chat = path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        text = self.answer(prompt, random.Random(body.get("seed", 0)))
        tokens = len(text.split())
        logprobs = {
            "content": [
                {"token": word, "logprob": -0.5, "top_logprobs": [{"token": word, "logprob": -0.5}]}
                for word in text.split()
            ]
        }
        choice: Body = {"index": 0, "finish_reason": "stop", "logprobs": logprobs}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return 200, {
            "id": "1",
            "object": "chat.completion" if chat else "text_completion",
            "created": 0,
            "model": self.model or body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt.split()),
                "completion_tokens": tokens,
                "total_tokens": tokens + len(prompt.split()),
            },
        }

    def befalls(self, draw: str) -> bool:
        """Say whether the fault befalls this request for a draw, which is counted already."""
        chance = random.Random(f"{self.seed} {self.asked[draw]} {draw}").random()
        return self.fault is not None and chance < self.rate

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})
        body = await request.json()
        draw = json.dumps(body, sort_keys=True)
        self.asked[draw] += 1
        self.headers.append(dict(request.headers))
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            if self.befalls(draw):
                self.faulty[draw] += 1
                assert self.fault is not None
                return await FAULTS[self.fault](self, request, body)
            try:
                status, payload = self.reply(request.path, body)
            except Exception as error:  # the test's own fault: no other attempt mends it
                status, payload = 400, {"error": {"message": f"the test's endpoint: {error!r}"}}
            return web.json_response(payload, status=status)
        finally:
            self.flying -= 1


Fault = Callable[[Endpoint, web.Request, Body], Awaitable[web.StreamResponse]]


def status(code: int, **headers: Callable[[], str]) -> Fault:
    async def fault(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
        said = {name.replace("_", "-"): value() for name, value in headers.items()}
        error = {"error": {"message": "the fault", "code": None}}
        return web.json_response(error, status=code, headers=said)

    return fault


def changed(change: Callable[[Body], object]) -> Fault:
    async def fault(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
        _, payload = endpoint.reply(request.path, body)
        change(payload)
        return web.json_response(payload)

    return fault


def said(payload: Body) -> Body:
    """Return where the text of an answer is."""
    choice: Body = payload["choices"][0]
    return choice.get("message", choice)


def cut_short(payload: Body) -> None:
    holder = said(payload)
    name = "content" if "content" in holder else "text"
    holder[name] = holder[name].partition(" answer")[0]
    payload["choices"][0]["finish_reason"] = "length"


def emptied(payload: Body) -> None:
    holder = said(payload)
    holder["content" if "content" in holder else "text"] = ""


async def reset(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
    _, payload = endpoint.reply(request.path, body)
    whole = json.dumps(payload).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(whole)
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    await asyncio.sleep(0.01)
    assert request.transport is not None
    request.transport.abort()
    return response


async def hang(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def not_json(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
    return web.Response(text="<html>a proxy's page</html>", content_type="text/html")


async def torn_json(endpoint: Endpoint, request: web.Request, body: Body) -> web.StreamResponse:
    return web.Response(text='{"choices": [', content_type="application/json")


FAULTS: dict[str, Fault] = {
    "429": status(429),
    "429 seconds": status(429, Retry_After=lambda: "0"),
    "429 date": status(429, Retry_After=lambda: email.utils.formatdate(time.time(), usegmt=True)),
    "429 in one second": status(429, Retry_After=lambda: "1"),
    "503 in one second": status(503, Retry_After=lambda: "1"),
    "500": status(500),
    "503": status(503, Retry_After=lambda: "0"),
    "400": status(400),
    "401": status(401),
    "404": status(404),
    "reset": reset,
    "cut": cut,
    "hang": hang,
    "not JSON": not_json,
    "torn JSON": torn_json,
    "other shape": changed(lambda payload: payload.update(choices={"detail": "a surprise"})),
    "no choices": changed(lambda payload: payload.update(choices=[])),
    "two choices": changed(lambda payload: payload.update(choices=payload["choices"] * 2)),
    "error in 200": changed(lambda payload: payload.update(choices=None, error={"code": 502})),
    "empty text": changed(emptied),
    "truncated": changed(cut_short),
    "no usage": changed(lambda payload: payload.pop("usage")),
    "other name": changed(lambda payload: payload.update(model="m-2")),
}
"""What may befall a request."""


class Server:
    """Serves an endpoint from a thread of its own; it can go down and come up at one address."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", endpoint.handle)
        self.runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        self.port = 0
        self.wait(self.runner.setup())
        self.up()

    def wait(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def up(self) -> None:
        self.site = web.TCPSite(self.runner, "127.0.0.1", self.port, backlog=1024)
        self.wait(self.site.start())
        self.port = self.runner.addresses[0][1]

    def down(self) -> None:
        async def stop() -> None:
            await self.site.stop()
            assert self.runner.server is not None
            for connection in list(self.runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()

        self.wait(stop())

    def close(self) -> None:
        self.wait(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@contextmanager
def running(endpoint: Endpoint) -> Iterator[Server]:
    """Serve on a free loopback port; `endpoint.base_url` says where."""
    server = Server(endpoint)
    endpoint.base_url = f"http://127.0.0.1:{server.port}/v1"
    try:
        yield server
    finally:
        server.close()


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve on a free loopback port; `endpoint.base_url` says where."""
    with running(endpoint):
        yield endpoint


if __name__ == "__main__":
    with serve(Endpoint(latency=float(sys.argv[1]))) as alone:
        print(alone.base_url, flush=True)
        sys.stdin.read()
