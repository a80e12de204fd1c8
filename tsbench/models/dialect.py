"""What endpoints of the OpenAI dialect say each in a way of their own: a table, not code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

THOUGHTS = ("reasoning_content", "reasoning")


@dataclass(frozen=True)
class Dialect:
    """Where an endpoint takes and gives what the OpenAI dialect does not settle.

    A path is keys with dots between them. `max_tokens`, `effort` and `thinking_budget` are paths
    into the body of a chat: the bound on all tokens, the effort, and the bound on tokens of
    thought; None where the endpoint takes no such thing. `thoughts` are the fields of a message
    that hold its thoughts, the first that is there; else they stand between the two `tags` in its
    content. `reasoning_tokens` and `cached_tokens` are paths into the usage. `continues` is what
    a chat says beside a last message of the assistant to have it continued, None where it cannot,
    and `repeats` whether its answer begins with that message. `native`: plain completions go to
    llama.cpp's own route, which counts the tokens of each of several choices. `body` goes into
    every request.
    """

    name: str = "openai"
    max_tokens: str = "max_completion_tokens"
    effort: str | None = "reasoning_effort"
    thinking_budget: str | None = None
    thoughts: Sequence[str] = THOUGHTS
    tags: Sequence[str] = ()
    reasoning_tokens: str = "completion_tokens_details.reasoning_tokens"
    cached_tokens: str = "prompt_tokens_details.cached_tokens"
    continues: Mapping[str, Any] | None = None
    repeats: bool = False
    native: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.tags) not in (0, 2) or not all(self.tags):
            raise ValueError(
                f"model.dialect.tags must be none, or the two tags around thoughts, found "
                f"{list(self.tags)}"
            )

    def split(self, message: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return a message's text and its thoughts, None where it has none.

        A template may have opened the thoughts already, so that they begin with no tag; those
        that were cut have no end.
        """
        text = message.get("content") or ""
        for name in self.thoughts:
            if message.get(name):
                return text, message[name]
        if self.tags:
            opening, closing = self.tags
            before, closed, after = text.partition(closing)
            if closed or before.lstrip().startswith(opening):
                return after.lstrip(), before.lstrip().removeprefix(opening).strip()
        return text, None


OPENAI = Dialect()


def put(body: dict[str, Any], path: str, value: object) -> None:
    """Set what a path of a body leads to."""
    *outer, last = path.split(".")
    for name in outer:
        body = body.setdefault(name, {})
    body[last] = value


def got(usage: Mapping[str, Any], path: str) -> Any:
    """Return what a path leads to, None where it leads nowhere."""
    found: Any = usage
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
