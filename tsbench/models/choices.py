"""What an answer of an endpoint says: its choices, and what they used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsbench.models.base import UNKNOWN, Response
from tsbench.models.dialect import Dialect, got
from tsbench.models.faults import Garbage
from tsbench.models.logprobs import confidence, read_logprobs
from tsbench.types import Status, Usage


@dataclass(frozen=True)
class Choice:
    """One choice of an answer, of either route."""

    text: str
    finish: str | None = None
    logprobs: Mapping[str, Any] | None = None
    thoughts: str | None = None
    refusal: str | None = None

    @property
    def status(self) -> Status:
        """How it ended."""
        if self.refusal or self.finish == "content_filter":
            return "refused"
        return "truncated" if self.finish == "length" else "ok"


def read(answer: object, n: int, dialect: Dialect) -> list[Response]:
    """Return a response for each of the n choices of an answer, in their order.

    Of several choices, one without a usage of its own has its tokens counted from its
    log-probabilities; their prompt was read once, by the first. Raises Garbage where it is no
    such answer.
    """
    usage = used(answer, dialect)
    try:
        assert isinstance(answer, Mapping)
        found = sorted(answer["choices"], key=lambda choice: int(choice.get("index") or 0))
        choices = [choice(each, dialect) for each in found]
        served = answer.get("model")
        responses = [
            response(
                each, usage if n == 1 else share(each, used(own, dialect), usage, place), served
            )
            for place, (own, each) in enumerate(zip(found, choices, strict=True))
        ]
    except (AssertionError, AttributeError, KeyError, LookupError, TypeError, ValueError):
        raise Garbage(f"the endpoint's answer is no answer: {answer!r}"[:300], usage) from None
    if len(choices) != n:
        raise Garbage(f"the endpoint gave {len(choices)} choices for n = {n}", usage)
    if any(each.finish == "error" for each in choices):
        raise Garbage("the endpoint broke off its answer with an error", usage)
    return responses


def choice(found: Mapping[str, Any], dialect: Dialect) -> Choice:
    """Return one choice, of a chat or of plain completions."""
    if "message" not in found:
        return Choice(found["text"], found.get("finish_reason"), found.get("logprobs"))
    message = found["message"]
    text, thoughts = dialect.split(message)
    return Choice(
        text,
        found.get("finish_reason"),
        found.get("logprobs"),
        thoughts,
        message.get("refusal"),
    )


def used(answer: object, dialect: Dialect) -> Usage:
    """Return what an answer says that it used; None is what it does not say.

    A zero beside a text that was generated says nothing either.
    """
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    if not isinstance(usage, Mapping):
        return UNKNOWN
    return Usage(
        count(usage.get("prompt_tokens")),
        count(got(usage, dialect.cached_tokens)),
        count(usage.get("completion_tokens")),
        count(got(usage, dialect.reasoning_tokens)),
    )


def count(found: object) -> int | None:
    """Return a count of tokens, None where it is none."""
    return found if isinstance(found, int) and found >= 0 else None


def share(choice: Choice, own: Usage, usage: Usage, place: int) -> Usage:
    """Return what one of several choices used; `own` is its own usage, `usage` that of the answer.

    Log-probabilities leave out the tokens of a stop string, so a count by them is a lower bound.
    """
    tokens, _ = read_logprobs(choice.logprobs)
    made = own.completion_tokens
    if made is None:
        made = len(tokens) if tokens or not choice.text else None
    return Usage(usage.prompt_tokens, usage.prompt_tokens if place else usage.cached_tokens, made)


def response(choice: Choice, usage: Usage, served_model: object) -> Response:
    """Return a choice as a response."""
    tokens, tops = read_logprobs(choice.logprobs)
    finite = [value for value in tokens if math.isfinite(value)]
    made, thought = usage.completion_tokens, usage.reasoning_tokens
    if made == 0 and (choice.text or choice.thoughts):
        made = None
    if thought == 0 and choice.thoughts:
        thought = None
    return Response(
        choice.text,
        choice.status,
        finish=choice.finish,
        reason=choice.refusal,
        thoughts=choice.thoughts,
        usage=Usage(usage.prompt_tokens, usage.cached_tokens, made, thought),
        counted_by="none" if made is None else "server",
        logprob_sum=sum(finite) if finite else None,
        logprob_mean=sum(finite) / len(finite) if finite else None,
        confidence=confidence(tops),
        first=tops[0] if tops else {},
        served_model=str(served_model) if served_model else None,
    )
