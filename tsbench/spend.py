"""What one call of a sweep has spent, and the limits at which it asks no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tsbench.cost import Price
from tsbench.models.base import Request, Response, Served
from tsbench.types import ANSWERED, Usage


@dataclass(frozen=True)
class Limits:
    """Ends a call cleanly once it has spent so much; None is no limit.

    `tokens` are those read and those generated, `dollars` their price, by draws, verifiers and
    failed attempts; `hours` are those of the clock. What is stored from calls before is free.
    """

    tokens: float | None = None
    dollars: float | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and value > 0):
                raise ValueError(
                    f"limits.{name} must be a number above 0, or null; found {value!r}"
                )


class Spend:
    """Counts calls as they are answered.

    A count that the endpoint does not give is taken at its bound, `max_tokens` or a token for each
    byte of the prompt, so that a limit holds then too. Of a reply that failed only what was
    `wasted` counts. `dollars` is None where a model's price is unknown.
    """

    def __init__(self, limits: Limits, prices: Mapping[Served, Price]) -> None:
        self.limits, self.prices = limits, prices
        self.tokens = 0
        known = all(price.known for price in prices.values())
        self.dollars: float | None = 0.0 if known else None

    def add(self, served: Served, request: Request, response: Response) -> None:
        """Count one call and all its attempts."""
        most = bound(request)
        spent = filled(response.wasted, most)
        if response.status in ANSWERED:
            spent += filled(response.usage, most)
        read, cached, made = (
            int(n or 0) for n in (spent.prompt_tokens, spent.cached_tokens, spent.completion_tokens)
        )
        self.tokens += read + made
        if self.dollars is not None:
            self.dollars += float(self.prices[served].dollars(read, made, cached))

    def reached(self) -> str | None:
        """Return which limit is reached and by what, None while there is room."""
        limits = self.limits
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return (
                f"limits.tokens={limits.tokens:.0f} is reached: this call spent "
                f"{self.tokens:,} tokens"
            )
        if limits.dollars is not None and (self.dollars or 0.0) >= limits.dollars:
            return (
                f"limits.dollars={limits.dollars:g} is reached: this call spent "
                f"{self.dollars:.4f} dollars"
            )
        return None


def bound(request: Request) -> Usage:
    """Return the most tokens that one call takes: a token is a byte or more.

    What the endpoint's own template adds to the messages is not in it.
    """
    shown = [*(message.content for message in request.messages), request.prefix]
    return Usage(sum(len(text.encode()) for text in shown), 0, request.max_tokens, 0)


def filled(usage: Usage, most: Usage) -> Usage:
    """Return a usage with its unknown counts at their bounds."""
    unknown = {name: getattr(most, name) for name, n in vars(usage).items() if n is None}
    return replace(usage, **unknown)
