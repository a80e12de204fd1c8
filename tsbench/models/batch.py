"""Requests that differ in the seed alone, sent as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tsbench.models.base import Request, Response

Send = Callable[[Request, int], Awaitable[list[Response]]]
"""Asks for so many replies to one request."""


class Batch:
    """Sends those that come together as one, `most` at the most, so that a prompt is read once."""

    def __init__(self, most: int, send: Send) -> None:
        self.most, self.send = most, send
        self._waiting: dict[Request, list[tuple[int, asyncio.Future[Response]]]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Request) -> Response:
        """Return the response to one request."""
        if self.most == 1:
            (response,) = await self.send(request, 1)
            return response
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        kind = replace(request, seed=0)
        waiting = self._waiting.setdefault(kind, [])
        waiting.append((request.seed, answer))
        if len(waiting) == self.most:
            self._flush(kind)
        elif len(waiting) == 1:
            loop.call_soon(self._flush, kind)
        return await answer

    def _flush(self, kind: Request) -> None:
        waiting = self._waiting.pop(kind, [])
        if not waiting:
            return
        answers = [answer for _, answer in waiting]
        task = asyncio.create_task(self._answer(replace(kind, seed=waiting[0][0]), answers))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _answer(self, request: Request, answers: list[asyncio.Future[Response]]) -> None:
        try:
            responses = await self.send(request, len(answers))
        except Exception as error:
            for answer in answers:
                if not answer.cancelled():
                    answer.set_exception(error)
            return
        for answer, response in zip(answers, responses, strict=True):
            if not answer.cancelled():
                answer.set_result(response)
