"""Drives strategies against a model. The only asyncio beside the clients themselves."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tsbench.models.base import Connected, Request, Response, Served, prompt_hash
from tsbench.store import SCHEMA_VERSION, Row, Store
from tsbench.types import (
    Ask,
    Draw,
    Grade,
    Judge,
    Message,
    Outcome,
    Problem,
    Reply,
    Status,
    Steps,
    Strategy,
    Task,
    Usage,
    Verifier,
    VerifierCall,
    VerifierReply,
)

Numbered = tuple[Ask, int]
Grader = Callable[[Problem, str], Awaitable[Grade]]
"""Grades the text of a reply to a problem."""


@dataclass
class Tally:
    """What one run of a strategy has asked for so far."""

    draws: Usage = field(default_factory=Usage)
    judges: dict[str, Usage] = field(default_factory=dict)
    asks: int = 0
    thoughts: int | None = 0

    def add(self, asks: Sequence[Numbered], replies: Sequence[Reply]) -> None:
        """Count every reply; of asks in flight together only the slowest delays the answer."""
        for (ask, _), reply in zip(asks, replies, strict=True):
            spent = replace(reply.usage, seconds=0.0)
            if isinstance(ask, Judge):
                self.judges[ask.verifier] = self.judges.get(ask.verifier, Usage()) + spent
            else:
                self.draws += spent
                thought = thoughts(ask, reply.usage)
                known = self.thoughts is not None and thought is not None
                self.thoughts = (self.thoughts or 0) + (thought or 0) if known else None
        self.asks += len(asks)
        self.draws += Usage(seconds=max((r.usage.seconds for r in replies), default=0.0))


def thoughts(ask: Draw, usage: Usage) -> int | None:
    """Return the tokens of thought in a reply, None where they are not known.

    A step of thought is all thought. Of a whole reply they are what the endpoint counted; one that
    was asked in words for its thoughts, and whose endpoint counts none, is thought to its end.
    """
    if ask.thinking_kind in ("forced", "truncated"):
        return usage.completion_tokens if ask.partial else 0
    if ask.thinking_kind == "prompted":
        return usage.reasoning_tokens or usage.completion_tokens
    return usage.reasoning_tokens if ask.thinking_kind in ("effort", "native") else 0


def drive(
    steps: Steps, tally: Tally, seen: Counter[Ask]
) -> Generator[list[Numbered], list[Reply], Reply | None]:
    """Number the asks of a strategy and count its replies: the n-th equal ask has index n.

    It does no I/O, so the same function runs a strategy live, from the store, or over a stored
    pool. Raises ValueError where a strategy breaks its contract: an empty list of asks, or as its
    pick a reply that it was not given, a step or a verdict.
    """
    given: set[str] = set()
    try:
        asks = list(next(steps))
        while True:
            if not asks:
                raise ValueError("the strategy yielded no ask")
            numbered = []
            for ask in asks:
                numbered.append((ask, seen[ask]))
                seen[ask] += 1
            replies = yield numbered
            tally.add(numbered, replies)
            given.update(
                reply.key
                for (ask, _), reply in zip(numbered, replies, strict=True)
                if isinstance(ask, Draw) and not ask.partial
            )
            asks = list(steps.send(replies))
    except StopIteration as stop:
        picked: Reply | None = stop.value
    if picked is not None and picked.key not in given:
        raise ValueError("the strategy returned a reply that it was not given")
    return picked


class Runner:
    """Answers asks from the store, else from the model; equal asks in flight share one call.

    `judges` are the models of the verifiers that have one of their own, by the verifier's name;
    `grade` shows a reply's correctness to verifiers that are declared oracles. `on_reply` is
    called with each new row once it is on disk.
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
    ) -> None:
        self.model, self.store, self.verifiers = model, store, verifiers
        self.run, self.seed, self.slots = run, seed, slots
        self.judges, self.grade = judges or {}, grade
        self.on_reply = on_reply
        self.calls = 0
        self._slots = {id(model): asyncio.Semaphore(slots)} | {
            id(judge): asyncio.Semaphore(judge.slots) for judge in self.judges.values()
        }
        self._flying: dict[str, asyncio.Future[Reply]] = {}

    async def sweep(
        self,
        task: Task,
        problems: Sequence[Problem],
        strategy: Strategy,
        replicates: int,
        on_solved: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Run a strategy on every problem, some problems at a time, in their order."""
        outcomes: list[list[Outcome]] = [[] for _ in problems]
        queue = iter(enumerate(problems))

        async def worker() -> None:
            for i, problem in queue:
                outcomes[i] = await self.solve(task, problem, strategy, replicates)
                on_solved()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.slots, len(problems))):
                group.create_task(worker())
        return [outcome for several in outcomes for outcome in several]

    async def solve(
        self, task: Task, problem: Problem, strategy: Strategy, replicates: int
    ) -> list[Outcome]:
        """Run `replicates` copies of a strategy in step, so that the numbering is always the same.

        An error in the strategy ends this problem with a status and a reason.
        """
        seen: Counter[Ask] = Counter()
        runs = [_Run(strategy, problem, seen) for _ in range(replicates)]
        while any(run.wanted for run in runs):
            batch = [(run, wanted) for run in runs for wanted in run.wanted]
            replies = await asyncio.gather(
                *(self.reply(task, problem, ask, index) for _, (ask, index) in batch)
            )
            answers: dict[int, list[Reply]] = {}
            for (run, _), reply in zip(batch, replies, strict=True):
                answers.setdefault(id(run), []).append(reply)
            for run in runs:
                if run.wanted:
                    run.advance(answers[id(run)])
        return [run.outcome(strategy.name, replicate) for replicate, run in enumerate(runs)]

    async def reply(self, task: Task, problem: Problem, ask: Ask, index: int) -> Reply:
        """Return the reply to one numbered ask, asking the model at most once for it."""
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
            reply = await self._ask(task, problem, ask, index, key, params)
            future.set_result(reply)
            return reply
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # retrieved here: waiters, if any, raise it themselves
            raise
        finally:
            del self._flying[key]

    def _params(self, problem: Problem, ask: Ask) -> dict[str, Any]:
        if isinstance(ask, Judge):
            judge = self.judges.get(ask.verifier)
            return {
                "verifier": repr(self.verifiers[ask.verifier]),
                "of": ask.reply.key,
                **({} if ask.against is None else {"against": ask.against.key}),
                **({} if judge is None else judge.sampling()),
            }
        return {
            **self.model.sampling(),
            "prefix": ask.prefix,
            "max_tokens": ask.max_tokens or problem.max_tokens,
            "stop": list(problem.stop if ask.stop is None else ask.stop),
            "seed": self.seed,
            **beyond_plain(ask),
        }

    def _asked(self, ask: Ask) -> Connected:
        """Return the model that answers an ask."""
        return self.model if isinstance(ask, Draw) else self.judges.get(ask.verifier, self.model)

    def _key(self, problem: Problem, params: Mapping[str, Any], index: int, served: Served) -> str:
        messages = [[m.role, m.content] for m in problem.messages]
        whole = [served.endpoint, served.model, problem.task, problem.id, messages, params, index]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]

    async def _ask(
        self, task: Task, problem: Problem, ask: Ask, index: int, key: str, params: dict[str, Any]
    ) -> Reply:
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
            row |= await self._judge(problem, ask, key)
        else:
            row |= await self._draw(task, problem, ask, key, params)
        self.store.put(row)
        self.on_reply(row)
        return as_reply(row)

    async def _draw(
        self, task: Task, problem: Problem, ask: Draw, key: str, params: Mapping[str, Any]
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
        response, timing = await self._call(self.model, request)
        text = ask.prefix + response.text
        status, answer = response.status, None
        if status == "ok" and not ask.partial:
            answer = task.answer(problem, text)
            if answer is None:
                status = "unparsed"
        if ask.partial and status == "truncated":
            status = "ok"  # the cut is what was asked for
        return {
            "kind": "draw",
            "partial": ask.partial,
            "thinking_kind": ask.thinking_kind,
            "thinking_budget": ask.thinking_budget,
            "prompt_hash": prompt_hash([request]),
            "text": text,
            "answer": answer,
            **fields(response, status),
            **timing,
        }

    async def _judge(self, problem: Problem, ask: Judge, key: str) -> Row:
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
            answered = await asyncio.gather(*(self._call(model, each) for each in requests))
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
        except Exception as error:
            status, reason = "error", f"verifier: {type(error).__name__}: {error}"[:500]
        timing = spanned([timing for _, timing in answered])
        timing["seconds"] += time.monotonic() - began
        response = as_one([response for response, _ in answered])
        return {
            "kind": "judge",
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

    async def _call(self, model: Connected, request: Request) -> tuple[Response, Row]:
        async with self._slots[id(model)]:
            started, began = time.time(), time.monotonic()
            self.calls += 1
            try:
                response = await model.complete(request)
            except Exception as error:
                response = Response("", "error", reason=f"{type(error).__name__}: {error}"[:500])
            return response, {"started": started, "seconds": time.monotonic() - began}


class _Run:
    """One replicate of a strategy on a problem, advanced step by step."""

    def __init__(self, strategy: Strategy, problem: Problem, seen: Counter[Ask]) -> None:
        self.problem = problem
        self.tally = Tally()
        self.picked: Reply | None = None
        self.status: Status = "ok"
        self.reason: str | None = None
        self.wanted: list[Numbered] = []
        self._steps: Generator[list[Numbered], list[Reply], Reply | None] | None = None
        try:
            self._steps = drive(strategy.run(problem), self.tally, seen)
            self.wanted = next(self._steps)
        except StopIteration:
            self._fail("the strategy asked nothing")
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def advance(self, replies: list[Reply]) -> None:
        assert self._steps is not None
        failed = next((r for r in replies if r.status in ("error", "timeout")), None)
        if failed is not None and all(r.status in ("error", "timeout") for r in replies):
            self.wanted, self.status, self.reason = [], failed.status, failed.reason
            return
        try:
            self.wanted = self._steps.send(replies)
        except StopIteration as stop:
            self.wanted, self.picked = [], stop.value
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        self.wanted, self.status, self.reason = [], "error", reason

    def outcome(self, name: str, replicate: int) -> Outcome:
        status, reason = self.status, self.reason
        if status == "ok" and self.picked is not None:
            status, reason = self.picked.status, self.picked.reason
        return Outcome(
            self.problem.id,
            name,
            replicate,
            self.picked,
            status,
            reason,
            self.tally.draws,
            self.tally.judges,
            self.tally.asks,
            self.tally.thoughts,
        )


def beyond_plain(ask: Draw) -> dict[str, Any]:
    """Return the parameters that only some draws have; the others keep their keys without them.

    A step that stops where an answer would is told apart from that answer, and so are draws whose
    treatment of thinking is not in their other parameters.
    """
    params: dict[str, Any] = {}
    if ask.turns:
        params["turns"] = [[turn.role, turn.content] for turn in ask.turns]
    if ask.effort is not None:
        params["effort"] = ask.effort
    if ask.thinking_kind not in ("none", "forced"):
        params["thinking_kind"] = ask.thinking_kind
    if ask.thinking_kind == "native":
        params["thinking_budget"] = ask.thinking_budget
    if ask.partial and ask.stop is None:
        params["partial"] = True
    return params


def seeded(key: str, place: int) -> int:
    """Return the seed of an ask's call at `place` among its calls."""
    return (int(key[:7], 16) + place) % 16**7


def oracle(verifier: Verifier) -> bool:
    """Say whether a verifier is declared to see the grade."""
    return bool(getattr(verifier, "oracle", False))


def spanned(timings: Sequence[Row]) -> Row:
    """Return when the first of several calls began and how long all took, side by side."""
    started = min((each["started"] for each in timings), default=time.time())
    ended = max((each["started"] + each["seconds"] for each in timings), default=started)
    return {"started": started, "seconds": ended - started}


def judging(call: VerifierCall, seed: int) -> Request:
    """Return a verifier's call as a request."""
    return Request(call.messages, call.prefix, call.max_tokens, (), seed, call.top_logprobs)


def as_one(responses: Sequence[Response]) -> Response:
    """Return the responses to one ask as one: their texts in lines, their usage added."""
    if len(responses) == 1:
        return responses[0]
    usage = Usage()
    for response in responses:
        usage += response.usage
    counted = {response.counted_by for response in responses}
    return Response(
        "\n".join(response.text for response in responses),
        "ok",
        usage=usage,
        counted_by=counted.pop() if len(counted) == 1 else "none",
        served_model=responses[0].served_model if responses else None,
        attempts=sum(response.attempts for response in responses) or 1,
    )


def joined(messages: tuple[Message, ...], turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages and then the turns; equal roles in a row, which templates refuse, are
    one message of two paragraphs.
    """
    if not turns or messages[-1].role != turns[0].role:
        return messages + turns
    both = replace(messages[-1], content=f"{messages[-1].content}\n\n{turns[0].content}")
    return (*messages[:-1], both, *turns[1:])


def fields(response: Response, status: Status) -> Row:
    """Return the columns that a response fills."""
    usage = asdict(response.usage)
    del usage["seconds"]
    return {
        "served_model": response.served_model,
        "thoughts": response.thoughts,
        "status": status,
        "finish": response.finish,
        "reason": response.reason,
        "counted_by": response.counted_by,
        "logprob_sum": response.logprob_sum,
        "logprob_mean": response.logprob_mean,
        "confidence": response.confidence,
        "attempts": response.attempts,
        **usage,
    }


def as_reply(row: Mapping[str, Any]) -> Reply:
    """Return what a strategy may see of a stored row: no grade."""
    return Reply(
        key=row["key"],
        text=row["text"],
        answer=row.get("answer"),
        status=row["status"],
        finish=row.get("finish"),
        reason=row.get("reason"),
        score=row.get("score"),
        usage=Usage(
            row["prompt_tokens"],
            row["cached_tokens"],
            row["completion_tokens"],
            row["reasoning_tokens"],
            row["seconds"],
        ),
        logprob_mean=row.get("logprob_mean"),
        confidence=row.get("confidence"),
        index=row["index"],
    )
