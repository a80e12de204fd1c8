"""Log-probabilities of tokens, as endpoints give them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def read_logprobs(
    logprobs: Mapping[str, Any] | None,
) -> tuple[list[float], list[dict[str, float]]]:
    """Return each token's log-probability, and each token's likeliest alternatives.

    Both layouts are read: lists side by side (completions) and a list of entries (chat, and
    llama.cpp's completions).
    """
    if not logprobs:
        return [], []
    if content := logprobs.get("content"):
        return [entry["logprob"] for entry in content], [
            {top["token"]: top["logprob"] for top in entry.get("top_logprobs") or []}
            for entry in content
        ]
    tokens = [value for value in logprobs.get("token_logprobs") or [] if value is not None]
    return tokens, [dict(top or {}) for top in logprobs.get("top_logprobs") or []]


def confidence(tops: Sequence[Mapping[str, float]]) -> float | None:
    """Return the mean over tokens of the negative mean log-probability of the alternatives.

    It is high where the others are unlikely, so it needs more than one alternative a token; None
    where there are none. Kang et al. 2025, arXiv 2502.18581 (self-certainty, over the whole
    vocabulary, up to a constant) and Fu et al. 2025, arXiv 2508.15260 (over the listed ones).
    """
    listed = [[v for v in top.values() if math.isfinite(v)] for top in tops]
    each = [-sum(values) / len(values) for values in listed if len(values) > 1]
    return sum(each) / len(each) if each else None
