"""The command `tsbench serve`: a policy in front of the user's own endpoint, in the OpenAI dialect.

The strategy that is measured is the one that is served: `tsbench.strategies.Routed`, driven by the
runner of a sweep, over a store that remembers nothing.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tsbench.models.base import Model
from tsbench.policy import Choice
from tsbench.runner import Runner
from tsbench.store import Row, Store
from tsbench.strategies import Routed
from tsbench.tasks.suite import Suite
from tsbench.types import Message, Outcome, Problem, Steps, Strategy, Task, Usage, Verifier

ROLES = ("system", "user", "assistant")
CLASS = "x-tsbench-class"
KNOWN = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "n", "user"}
)
"""What of a request's body is heeded; a header of the answer names the rest."""
REFUSED = ("tools", "functions", "response_format", "audio")
"""What a vote cannot give."""


class Refused(ValueError):  # noqa: N818
    """A request that cannot be answered, and its HTTP status."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Forgetful:
    """What a runner needs of a store, and remembers nothing: every ask is made."""

    def answered(self, key: str) -> Row | None:
        return None

    def put(self, row: Row) -> None:
        return None

    def claim(self, key: str) -> bool:
        return True

    def release(self, key: str) -> None:
        return None


@dataclass
class Watched:
    """A routed strategy that notes which arm it chose."""

    routed: Routed
    choices: list[Choice] = field(default_factory=list)
    name: ClassVar[str] = Routed.name

    @property
    def budget(self) -> int:
        """The strategy's."""
        return self.routed.budget

    def run(self, problem: Problem) -> Steps:
        """Run the strategy."""
        return (yield from self.routed.told(problem, self.choices.append))


@dataclass(frozen=True)
class Serve:
    """Serve `policy` at `host` and `port` in front of `model`.

    Draws are sampled as `model` is configured, which is how the policy was measured. `task` reads
    the answers that are voted on, `verifiers` score; `others` as in `Routed`. A request's class is
    in its header x-tsbench-class, else `task_class`, else the only one of the policy; one that the
    policy has not gets its fallback. `max_tokens` bounds a reply of a request that bounds none.
    """

    policy: str
    model: Model
    task: Task | Suite
    verifiers: Mapping[str, Verifier]
    others: Sequence[Strategy] = ()
    task_class: str | None = None
    max_tokens: int = 1024
    host: str = "127.0.0.1"
    port: int = 8000

    def __post_init__(self) -> None:
        missing = [name for name in self.routed.verifiers if name not in self.verifiers]
        if missing:
            raise ValueError(
                f"policy {self.policy} needs the verifier {missing[0]!r}; there are: "
                f"{', '.join(self.verifiers) or 'none'}."
            )
        if self.routed.continues and not self.model.continues:
            raise ValueError(
                f"policy {self.policy} has an arm that continues a prefix, which model.api=chat "
                "cannot; use model.api=completions with a template, or a model/dialect that can"
            )
        if not (isinstance(self.max_tokens, int) and self.max_tokens >= 1):
            raise ValueError(f"max_tokens must be a whole number of at least 1: {self.max_tokens}")

    @property
    def routed(self) -> Routed:
        """The policy as a strategy."""
        return Routed(self.policy, tuple(self.others))

    def __call__(self) -> None:
        """Serve until interrupted."""
        print(f"Serving {self.policy} at http://{self.host}:{self.port}/v1", flush=True)
        uvicorn.run(self.app(), host=self.host, port=self.port, log_level="warning")

    def app(self) -> Starlette:
        """Return the ASGI application; it connects to the model when it starts."""
        routed = self.routed

        @asynccontextmanager
        async def connected(app: Starlette) -> AsyncIterator[None]:
            async with AsyncExitStack() as stack:
                model = await stack.enter_async_context(self.model.connect())
                own = {name: getattr(v, "model", None) for name, v in self.verifiers.items()}
                judges = {
                    name: await stack.enter_async_context(judge.connect())
                    for name, judge in own.items()
                    if judge is not None and name in routed.verifiers
                }
                app.state.runner = Runner(
                    model,
                    cast(Store, Forgetful()),
                    self.verifiers,
                    run="serve",
                    seed=0,
                    slots=self.model.slots,
                    judges=judges,
                )
                yield

        async def completions(request: Request) -> Response:
            try:
                return await self.answer(request, routed)
            except Refused as error:
                return failed(str(error), error.status)

        async def models(request: Request) -> Response:
            one = {"id": self.model.name, "object": "model", "owned_by": "tsbench"}
            return JSONResponse({"object": "list", "data": [one]})

        return Starlette(
            routes=[
                Route("/v1/chat/completions", completions, methods=["POST"]),
                Route("/v1/models", models),
            ],
            lifespan=connected,
        )

    async def answer(self, request: Request, routed: Routed) -> Response:
        """Return the answer to one request; raise Refused for one that has none."""
        body = await read(request)
        task_class = request.headers.get(CLASS) or self.task_class or only(routed)
        problem = self.problem(body, task_class)
        watched = Watched(routed)
        (outcome,) = await request.app.state.runner.solve(
            self.reader(task_class), problem, watched, 1
        )
        if outcome.reply is None and outcome.status != "ok":
            raise upstream(outcome)
        headers = told(watched.choices, outcome, body)
        made = completion(self.model.name, outcome)
        if body.get("stream"):
            return StreamingResponse(chunks(made), media_type="text/event-stream", headers=headers)
        return JSONResponse(made, headers=headers)

    def problem(self, body: Mapping[str, Any], task_class: str) -> Problem:
        """Return a request's problem; it is new, so nothing that was answered stands in for it."""
        bound = body.get("max_completion_tokens") or body.get("max_tokens") or self.max_tokens
        stop = body.get("stop") or ()
        return Problem(
            id=uuid.uuid4().hex,
            task="serve",
            task_class=task_class,
            messages=tuple(message(each) for each in body["messages"]),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            max_tokens=int(bound),
        )

    def reader(self, task_class: str) -> Task:
        """Return the task that reads the answers of a class; the first where none is of it."""
        tasks = self.task.tasks.values() if isinstance(self.task, Suite) else [self.task]
        known = [task for task in tasks if task is not None]
        return next((task for task in known if task.task_class == task_class), known[0])


async def read(request: Request) -> dict[str, Any]:
    """Return a request's body; raise Refused where it is none that can be answered."""
    try:
        body = await request.json()
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise Refused("messages must be a list")
    if not body["messages"] or body["messages"][-1].get("role") != "user":
        raise Refused("messages must end with a turn of the user")
    if body.get("n", 1) != 1:
        raise Refused(f"n is {body['n']}; allowed is 1: the policy decides how many are drawn")
    for name in REFUSED:
        if body.get(name):
            raise Refused(f"{name} cannot be routed; ask the endpoint itself")
    return body


def message(given: Mapping[str, Any]) -> Message:
    """Return one turn; raise Refused for one that is no text."""
    role, content = given.get("role"), given.get("content")
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        content = "".join(part["text"] for part in content)
    if role == "developer":
        role = "system"
    if role not in ROLES or not isinstance(content, str):
        raise Refused(f"a message of role {role!r} cannot be routed; allowed is text of {ROLES}")
    return Message(role, content)


def only(routed: Routed) -> str:
    """Return the only class of a policy; raise Refused where a request has to name one."""
    known = list(dict.fromkeys(part.task_class for part in routed.loaded.parts))
    if len(known) != 1:
        raise Refused(f"name the class in the header {CLASS}; the policy has {', '.join(known)}")
    return known[0]


def told(choices: Sequence[Choice], outcome: Outcome, body: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that say which way a request took."""
    headers = {"x-tsbench-asks": str(outcome.asks)}
    for choice in choices:
        headers["x-tsbench-route"] = choice.arm.name
        if choice.chance is not None:
            headers["x-tsbench-chance"] = f"{choice.chance:.3f}"
        if choice.fallback is not None:
            headers["x-tsbench-fallback"] = choice.fallback.encode("ascii", "replace").decode()
    ignored = sorted({*body} - KNOWN)
    return headers | ({"x-tsbench-ignored": ", ".join(ignored)} if ignored else {})


def completion(model: str, outcome: Outcome) -> dict[str, Any]:
    """Return an outcome in the OpenAI dialect; its usage is all that was spent, or null."""
    reply, spent = outcome.reply, sum(outcome.judges.values(), Usage()) + outcome.draws
    text = "" if reply is None else reply.text
    finish = "stop" if reply is None else (reply.finish or "stop")
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish,
            }
        ],
        "usage": usage(spent),
    }


def usage(spent: Usage) -> dict[str, int] | None:
    """Return tokens read and generated, null where one is not known."""
    if spent.prompt_tokens is None or spent.completion_tokens is None:
        return None
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }


async def chunks(made: dict[str, Any]) -> AsyncIterator[str]:
    """Yield a completion as one chunk of a stream: a vote has nothing to show before its end."""
    choice = made["choices"][0]
    chunk = {**made, "object": "chat.completion.chunk"}
    chunk["choices"] = [
        {"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}
    ]
    yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def upstream(outcome: Outcome) -> Refused:
    """Return an error of the user's endpoint with the status that it had."""
    reason = outcome.reason or outcome.status
    found = re.match(r"HTTP (\d{3}): ", reason)
    if found:
        return Refused(reason[found.end() :], int(found[1]))
    return Refused(reason, 504 if outcome.status == "timeout" else 502)


def failed(reason: str, status: int) -> JSONResponse:
    """Return an error in the OpenAI dialect."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": reason, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status_code=status)
