"""What tokens cost: FLOPs and dollars. An unknown price is unknown (NaN), not zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

DOLLARS = ("dollars_in", "dollars_out", "dollars_cached")


@dataclass(frozen=True)
class Price:
    """`params` of the model, dollars for a million prompt tokens and for a million generated.

    `dollars_cached` are for a million prompt tokens that were in the endpoint's cache; None prices
    them as any other.
    """

    params: float | None
    dollars_in: float | None
    dollars_out: float | None
    dollars_cached: float | None = None

    @property
    def known(self) -> bool:
        """Whether dollars are."""
        return self.dollars_in is not None and self.dollars_out is not None

    def row(self) -> dict[str, float | None]:
        """Return its dollars by name."""
        return {key: getattr(self, key) for key in DOLLARS}

    def flops(self, read: Any, cached: Any, made: Any) -> Any:
        """Return FLOPs: 2 N for each token generated, or read and not cached.

        Kaplan et al. 2020, arXiv 2001.08361, without the attention term, which is small at the
        contexts of a sweep. Arguments are token counts, scalars or arrays alike.
        """
        return (read - cached + made) * (2.0 * self.params if self.params else float("nan"))

    def dollars(self, read: Any, made: Any, cached: Any = 0) -> Any:
        """Return dollars; every prompt token is paid for, those of them that were cached too."""
        if self.dollars_in is None or self.dollars_out is None:
            return read * float("nan")
        saved = 0.0 if self.dollars_cached is None else self.dollars_in - self.dollars_cached
        return (read * self.dollars_in - cached * saved + made * self.dollars_out) / 1e6


class Sold(Protocol):
    """A model whose config may say what its tokens cost."""

    @property
    def name(self) -> str: ...

    @property
    def dollars_in(self) -> float | None: ...

    @property
    def dollars_out(self) -> float | None: ...


@dataclass(frozen=True)
class PriceTable:
    """Prices that a user keeps, by the name of the model, with their date and source.

    `models` maps a name to `dollars_in`, `dollars_out` and, where cached prompt tokens have a price
    of their own, `dollars_cached`: dollars for a million tokens. A model whose own config has
    `dollars_in` keeps its own; one that has none and is not in the table has no known price.
    """

    models: Mapping[str, Mapping[str, float]] | None = None
    date: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name, row in (self.models or {}).items():
            if not {"dollars_in", "dollars_out"} <= set(row) <= set(DOLLARS):
                raise ValueError(
                    f"price.models: {name!r} has {', '.join(row) or 'nothing'}; it needs "
                    "dollars_in and dollars_out, and may have dollars_cached"
                )
            for key, value in row.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                    raise ValueError(
                        f"price.models: {key} of {name!r} must be dollars for a million tokens, 0 "
                        f"or more, found {value!r}"
                    )
        if self.models and not (self.date and self.source):
            raise ValueError("price needs a date and a source for the prices in price.models")

    def of(self, params: float | None, model: Sold) -> Price:
        """Return the price by the model's own config, else by this table, else unknown."""
        row: Mapping[str, float | None] = (self.models or {}).get(model.name, {})
        if model.dollars_in is not None or not row:
            row = {"dollars_in": model.dollars_in, "dollars_out": model.dollars_out}
        return Price(params, *(row.get(key) for key in DOLLARS))


def remembered(served: Mapping[str, Any], config: Mapping[str, Any]) -> Price:
    """Return what a model's tokens cost, as a manifest has it; without a price there, by config."""
    row = served.get("price") or config
    return Price(served.get("params"), *(row.get(key) for key in DOLLARS))


@dataclass(frozen=True)
class Prices:
    """The price of the swept model and, by verifier, of judges that have a model of their own."""

    model: Price
    judges: Mapping[str, Price] = field(default_factory=dict)

    def of(self, verifier: object) -> Price:
        """Return the price of what a verifier asks; None and NaN are no verifier."""
        return self.judges.get(str(verifier), self.model)
