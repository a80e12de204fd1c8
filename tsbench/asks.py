"""An ask as its key, its request to a model, and its row in the store."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from tsbench.models.base import Request, Response, Served
from tsbench.store import Row
from tsbench.types import (
    Ask,
    Baseline,
    Draw,
    Grading,
    Judge,
    Message,
    Problem,
    Reply,
    Status,
    Usage,
    Verifier,
    VerifierCall,
)


class Identified(Protocol):
    """A model as far as keys need it, open or not."""

    @property
    def served(self) -> Served: ...

    def sampling(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Asks:
    """What tells the asks of a sweep apart, in its store and from those of any other.

    `judges` are the models of the verifiers that have one of their own, by the verifier's name.
    """

    model: Identified
    verifiers: Mapping[str, Verifier]
    judges: Mapping[str, Identified]
    seed: int

    def key(self, problem: Problem, ask: Ask, index: int) -> str:
        """Return the key of the n-th equal ask of a problem."""
        return hashed(problem, self.params(problem, ask), index, self.asked(ask).served)

    def asked(self, ask: Ask) -> Identified:
        """Return the model that answers an ask."""
        return self.model if isinstance(ask, Draw) else self.judges.get(ask.verifier, self.model)

    def params(self, problem: Problem, ask: Ask) -> dict[str, Any]:
        """Return everything that shapes the reply beside the problem's messages."""
        if isinstance(ask, Judge):
            judge = self.judges.get(ask.verifier)
            return {
                "verifier": repr(self.verifiers[ask.verifier]),
                "of": ask.reply.key,
                **({} if ask.against is None else {"against": ask.against.key}),
                **(graded_by(ask) if isinstance(ask, Grading) else {}),
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


def hashed(problem: Problem, params: Mapping[str, Any], index: int, served: Served) -> str:
    """Return a key: 32 hex digits of the SHA-256 of all that shapes a reply."""
    messages = [[m.role, m.content] for m in problem.messages]
    whole = [served.endpoint, served.model, problem.task, problem.id, messages, params, index]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


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
    if isinstance(ask, Baseline):
        params["baseline"] = True
    return params


def graded_by(ask: Grading) -> dict[str, Any]:
    """Return the parameters of a judgement: its order, and a hash of the reference shown."""
    reference = ask.reference and hashlib.sha256(ask.reference.encode()).hexdigest()[:16]
    return {"swapped": ask.swapped, **({"reference": reference} if reference else {})}


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
    usage, wasted = Usage(), Usage()
    for response in responses:
        usage, wasted = usage + response.usage, wasted + response.wasted
    counted = {response.counted_by for response in responses}
    return Response(
        "\n".join(response.text for response in responses),
        "ok",
        usage=usage,
        counted_by=counted.pop() if len(counted) == 1 else "none",
        served_model=responses[0].served_model if responses else None,
        attempts=sum(response.attempts for response in responses) or 1,
        wasted=wasted,
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
        "wasted_tokens": response.wasted.tokens,
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
