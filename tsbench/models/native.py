"""llama.cpp's own route for plain completions, in the layout of the OpenAI dialect.

Its /v1/completions gives the usage of the first of several choices alone, and log-probabilities
leave out the tokens of a stop string; /completion counts every choice's tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUTE = "/completion"
NAMES = {"max_tokens": "n_predict", "n": "n_cmpl", "logprobs": "n_probs"}
FINISHES = {"eos": "stop", "word": "stop", "limit": "length"}


def request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a plain completion with the names that the route has."""
    return {NAMES.get(name, name): value for name, value in body.items()}


def answer(found: object) -> object:
    """Return the route's answer, one object or a list of them, as one of /v1/completions.

    Each choice has a usage of its own. What is no such answer is returned as it is.
    """
    several: list[Any] = found if isinstance(found, list) else [found]
    if not several or not all(isinstance(each, Mapping) and "content" in each for each in several):
        return found
    choices = [choice(each) for each in several]
    return {"model": several[0].get("model"), "choices": choices, "usage": choices[0]["usage"]}


def choice(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return one choice."""
    timings = found.get("timings")
    cached = timings.get("cache_n") if isinstance(timings, Mapping) else None
    return {
        "index": found.get("index"),
        "text": found["content"],
        "finish_reason": FINISHES.get(str(found.get("stop_type"))),
        "logprobs": {"content": found.get("completion_probabilities")},
        "usage": {
            "prompt_tokens": found.get("tokens_evaluated"),
            "completion_tokens": found.get("tokens_predicted"),
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
