"""Answers the asks of strategies, from the store or the model. The only asyncio beside clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tsbench.asks import (
    Asks,
    as_one,
    as_reply,
    fields,
    hashed,
    joined,
    judging,
    oracle,
    seeded,
    spanned,
)
from tsbench.driver import Numbered, Run, Tally, drive
from tsbench.models.base import UNKNOWN, Connected, Request, Response, Served, prompt_hash
from tsbench.models.gate import Closed, Gate
from tsbench.store import SCHEMA_VERSION, Row, Store, StoreError
from tsbench.strategies.base import rounds
from tsbench.types import (
    Ask,
    Draw,
    Grade,
    Judge,
    Outcome,
    Problem,
    Reply,
    Status,
    Strategy,
    Task,
    Verifier,
    VerifierReply,
)

__all__ = ["Grader", "Job", "Runner", "Stopped", "Tally", "as_reply", "drive", "joined"]

Grader = Callable[[Problem, str], Awaitable[Grade]]
"""Grades the text of a reply to a problem."""
ELSEWHERE = 0.1
"""Seconds between two looks at an ask that another process has in flight."""
AHEAD = 2
"""Asks that are alive for each slot: one in flight, one that waits for its turn."""


class Stopped(Exception):  # noqa: N818
    """No new ask is made."""


@dataclass(frozen=True)
class Job:
    """A strategy on one problem, `repeats` times in step; `label` is the caller's."""

    task: Task
    problem: Problem
    strategy: Strategy
    repeats: int = 1
    label: Any = None


@dataclass
class Turn:
    """The place of an ask among those that wait, and whether a call was made for it."""

    priority: float
    begun: bool = False


Spent = Callable[[Served, Request, Response], None]
"""Is told of each call who answered it, what was asked and what came back."""


class Runner:
    """Answers asks from the store, else from the model; equal asks in flight share one call.

    `judges` are the models of the verifiers that have one of their own, by the verifier's name;
    `grade` shows a reply's correctness to verifiers that are declared oracles. A model without a
    gate of its own gets one with `slots`. `on_reply` is called with each new row once it is on
    disk, and `on_spent` with each call.
    """

    def __init__(
        self,
        model: Connected,
        store: Store,
        verifiers: Mapping[str, Verifier],
        *,
        run: str,
        seed: int,
        slots: int,
        judges: Mapping[str, Connected] | None = None,
        grade: Grader | None = None,
        on_reply: Callable[[Row], None] = lambda row: None,
        on_spent: Spent = lambda served, request, response: None,
    ) -> None:
        self.model, self.store, self.verifiers = model, store, verifiers
        self.run, self.seed = run, seed
        self.judges, self.grade = judges or {}, grade
        self.on_reply, self.on_spent = on_reply, on_spent
        self.calls = 0
        self.stopped = False
        self._asks = Asks(model, verifiers, self.judges, seed)
        self._gates = {id(model): gate_of(model, slots)} | {
            id(judge): gate_of(judge, judge.slots) for judge in self.judges.values()
        }
        self._room = AHEAD * sum(gate.slots for gate in self._gates.values())
        self._alive = 0
        self._freed = asyncio.Event()
        self._flying: dict[str, asyncio.Future[Reply]] = {}

    def stop(self) -> None:
        """Make no new ask. What is in flight is awaited and stored, and then `work` returns."""
        self.stopped = True
        for gate in self._gates.values():
            gate.close()
        self._freed.set()

    async def sweep(
        self, task: Task, problems: Sequence[Problem], strategy: Strategy, replicates: int
    ) -> list[Outcome]:
        """Return the outcomes of a strategy on every problem, in the order of the problems."""
        found: dict[int, list[Outcome]] = {}
        jobs = [Job(task, each, strategy, replicates, i) for i, each in enumerate(problems)]
        await self.work(jobs, lambda job, outcomes: found.update({job.label: outcomes}))
        return [outcome for i in range(len(jobs)) for outcome in found.get(i, [])]

    async def work(
        self, jobs: Iterable[Job], on_done: Callable[[Job, list[Outcome]], None]
    ) -> None:
        """Do jobs in their order, so many side by side that every slot has an ask to go on with.

        However many there are, a bounded number is alive. A job that `stop` ended is not done.
        """
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                while self._alive >= self._room and not self.stopped:
                    self._freed.clear()
                    await self._freed.wait()
                if self.stopped:
                    return
                group.create_task(self._do(job, on_done))
                await asyncio.sleep(0)  # its first asks are alive before another job begins

    async def _do(self, job: Job, on_done: Callable[[Job, list[Outcome]], None]) -> None:
        try:
            outcomes = await self.solve(job.task, job.problem, job.strategy, job.repeats)
        except Stopped:
            return
        on_done(job, outcomes)

    async def solve(
        self, task: Task, problem: Problem, strategy: Strategy, replicates: int
    ) -> list[Outcome]:
        """Run `replicates` copies of a strategy in step, so that the numbering is always the same.

        An error in the strategy ends this problem with a status and a reason. Raises Stopped where
        an ask was not made.
        """
        seen: Counter[Ask] = Counter()
        runs = [Run(strategy, problem, seen) for _ in range(replicates)]
        left = rounds(strategy)
        while any(run.wanted for run in runs):
            batch = [(run, wanted) for run in runs for wanted in run.wanted]
            replies = await self._replies(task, problem, [wanted for _, wanted in batch], left)
            answers: dict[int, list[Reply]] = {}
            for (run, _), reply in zip(batch, replies, strict=True):
                answers.setdefault(id(run), []).append(reply)
            for run in runs:
                if run.wanted:
                    run.advance(answers[id(run)])
            left = max(1, left - 1)
        return [run.outcome(strategy.name, replicate) for replicate, run in enumerate(runs)]

    async def _replies(
        self, task: Task, problem: Problem, wanted: Sequence[Numbered], rounds_left: int
    ) -> list[Reply]:
        """Return the replies to asks that are made together, a bounded number of them alive."""
        keys = [self._keyed(problem, *each) for each in wanted]
        found = [self._stored(key) for key in keys]
        missing = iter([i for i, reply in enumerate(found) if reply is None])

        async def some() -> None:
            for i in missing:
                self._alive += 1
                try:
                    found[i] = await self.reply(task, problem, *wanted[i], rounds_left)
                finally:
                    self._alive -= 1
                    self._freed.set()

        workers = min(found.count(None), self._room)
        ended = await asyncio.gather(*(some() for _ in range(workers)), return_exceptions=True)
        errors = [error for error in ended if error is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [reply for reply in found if reply is not None]

    @asynccontextmanager
    async def _claimed(self, key: str) -> AsyncIterator[None]:
        """Hold the claim to an ask, once no other process on the store has it in flight.

        While it waits for that it is not alive, so that others are asked meanwhile.
        """
        while not self.store.claim(key):
            self._alive -= 1
            self._freed.set()
            try:
                await asyncio.sleep(ELSEWHERE)
            finally:
                self._alive += 1
            if self.stopped:
                raise Stopped
        try:
            yield
        finally:
            self.store.release(key)

    def _keyed(self, problem: Problem, ask: Ask, index: int) -> str | None:
        """Return the key of an ask, None where there is no such verifier to ask."""
        unknown = isinstance(ask, Judge) and ask.verifier not in self.verifiers
        return None if unknown else self._asks.key(problem, ask, index)

    def _stored(self, key: str | None) -> Reply | None:
        row = None if key is None else self.store.answered(key)
        return None if row is None else as_reply(row)

    async def reply(
        self, task: Task, problem: Problem, ask: Ask, index: int, rounds_left: int = 1
    ) -> Reply:
        """Return the reply to one numbered ask, asking the model at most once for it.

        Of the asks that wait, those with more rounds left (this one included) go first.
        Raises Stopped where it may not be asked any more.
        """
        if isinstance(ask, Judge) and ask.verifier not in self.verifiers:
            known = ", ".join(self.verifiers) or "none"
            reason = f"no verifier is named {ask.verifier!r}; there are: {known}"
            return Reply("", "", status="error", reason=reason)
        params = self._params(problem, ask)
        key = self._key(problem, params, index, self._asked(ask).served)
        if (row := self.store.answered(key)) is not None:
            return as_reply(row)
        if key in self._flying:
            return await asyncio.shield(self._flying[key])
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            async with self._claimed(key):
                reply = self._stored(key) or await self._ask(
                    task, problem, ask, index, key, params, Turn(-rounds_left)
                )
            future.set_result(reply)
            return reply
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # retrieved here: waiters, if any, raise it themselves
            raise
        finally:
            del self._flying[key]

    def _params(self, problem: Problem, ask: Ask) -> dict[str, Any]:
        return self._asks.params(problem, ask)

    def _key(self, problem: Problem, params: Mapping[str, Any], index: int, served: Served) -> str:
        return hashed(problem, params, index, served)

    def _asked(self, ask: Ask) -> Connected:
        """Return the model that answers an ask."""
        return self.model if isinstance(ask, Draw) else self.judges.get(ask.verifier, self.model)

    async def _ask(
        self,
        task: Task,
        problem: Problem,
        ask: Ask,
        index: int,
        key: str,
        params: dict[str, Any],
        turn: Turn,
    ) -> Reply:
        if self.stopped:
            raise Stopped
        row = {
            "key": key,
            "run": self.run,
            "task_class": problem.task_class,
            "task": problem.task,
            "problem_id": problem.id,
            "stratum": problem.stratum,
            "model": self.model.served.model,
            "endpoint": self._asked(ask).served.endpoint,
            "index": index,
            "params": json.dumps(params, sort_keys=True),
            "correct": None,
            "graded": isinstance(ask, Judge) or ask.partial,
            "schema_version": SCHEMA_VERSION,
        }
        if isinstance(ask, Judge):
            row |= await self._judge(problem, ask, key, turn)
        else:
            row |= await self._draw(task, problem, ask, key, params, turn)
        try:
            self.store.put(row)
        except StoreError:
            self.stop()
            raise
        self.on_reply(row)
        return as_reply(row)

    async def _draw(
        self,
        task: Task,
        problem: Problem,
        ask: Draw,
        key: str,
        params: Mapping[str, Any],
        turn: Turn,
    ) -> Row:
        request = Request(
            joined(problem.messages, ask.turns),
            ask.prefix,
            params["max_tokens"],
            tuple(params["stop"]),
            seeded(key, 0),
            self.model.top_logprobs,
            ask.effort,
            ask.thinking_budget if ask.thinking_kind == "native" else None,
        )
        response, timing = await self._call(self.model, request, turn)
        text = ask.prefix + response.text
        status, answer = response.status, None
        if status == "ok" and not ask.partial:
            answer = task.answer(problem, text)
            if answer is None:
                status = "unparsed"
        if ask.partial and status == "truncated":
            status = "ok"  # the cut is what was asked for
        return {
            "kind": ask.kind,
            "partial": ask.partial,
            "thinking_kind": ask.thinking_kind,
            "thinking_budget": ask.thinking_budget,
            "prompt_hash": prompt_hash([request]),
            "text": text,
            "answer": answer,
            **fields(response, status),
            **timing,
        }

    async def _judge(self, problem: Problem, ask: Judge, key: str, turn: Turn) -> Row:
        """Ask for the verdicts side by side, then score; one that failed leaves no score."""
        verifier, model = self.verifiers[ask.verifier], self._asked(ask)
        answered, began = list[tuple[Response, Row]](), time.monotonic()
        requests = list[Request]()
        score: float | None = None
        status: Status = "ok"
        reason: str | None = None
        try:
            calls = () if oracle(verifier) else verifier.request(problem, ask)
            requests = [judging(call, seeded(key, place)) for place, call in enumerate(calls)]
            asked = (self._call(model, each, turn) for each in requests)
            answered = await asyncio.gather(*asked)
            failed = next((r for r, _ in answered if r.status not in ("ok", "truncated")), None)
            began = time.monotonic()
            if failed is not None:
                status, reason = failed.status, failed.reason
            else:
                verdicts = [VerifierReply(r.text, r.first, r.scores) for r, _ in answered]
                if oracle(verifier):
                    verdicts = await self._grades(problem, ask)
                score = await asyncio.to_thread(verifier.score, problem, ask, verdicts)
                if score is None:
                    status, reason = "unparsed", "the verifier gave no score"
        except Stopped:
            raise
        except Exception as error:
            status, reason = "error", f"verifier: {type(error).__name__}: {error}"[:500]
        timing = spanned([timing for _, timing in answered])
        timing["seconds"] += time.monotonic() - began
        response = as_one([response for response, _ in answered])
        return {
            "kind": ask.kind,
            "partial": False,
            "verifier": ask.verifier,
            "of": ask.reply.key,
            "prompt_hash": prompt_hash(requests),
            "thinking_kind": "none",
            "thinking_budget": None,
            "text": response.text,
            "score": score,
            **fields(response, status),
            "reason": reason,
            **timing,
        }

    async def _grades(self, problem: Problem, ask: Judge) -> list[VerifierReply]:
        """Return what an oracle is shown: whether the reply is correct, nothing if unknown."""
        if self.grade is None:
            raise ValueError(f"the verifier {ask.verifier} needs grades, which are not at hand")
        grade = await self.grade(problem, ask.reply.text)
        return [] if grade.correct is None else [VerifierReply("", scores=(grade.correct,))]

    async def _call(self, model: Connected, request: Request, turn: Turn) -> tuple[Response, Row]:
        """Ask once a slot is free. An ask that has begun is ended, also when all is stopped."""
        async with AsyncExitStack() as slot:
            try:
                await slot.enter_async_context(self._gates[id(model)].enter(turn.priority))
            except Closed:
                if not turn.begun:
                    raise Stopped from None
            if self.stopped and not turn.begun:
                raise Stopped
            turn.begun = True
            started, began = time.time(), time.monotonic()
            self.calls += 1
            try:
                response = await model.complete(request)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"[:500]
                response = Response("", "error", reason=reason, wasted=UNKNOWN)
            seconds = time.monotonic() - began
            self.on_spent(model.served, request, response)
        return response, {"started": started, "seconds": seconds}


def gate_of(model: Connected, slots: int) -> Gate:
    """Return the model's own gate, or a new one."""
    gate = getattr(model, "gate", None)
    return gate if isinstance(gate, Gate) else Gate(slots)
