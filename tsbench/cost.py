"""What tokens cost: FLOPs and dollars. An unknown price is unknown (NaN), not zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Price:
    """`params` of the model, dollars for a million prompt tokens and for a million generated."""

    params: float | None
    dollars_in: float | None
    dollars_out: float | None

    def flops(self, read: Any, cached: Any, made: Any) -> Any:
        """Return FLOPs: 2 N for each token generated, or read and not cached.

        Kaplan et al. 2020, arXiv 2001.08361, without the attention term, which is small at the
        contexts of a sweep. Arguments are token counts, scalars or arrays alike.
        """
        return (read - cached + made) * (2.0 * self.params if self.params else float("nan"))

    def dollars(self, read: Any, made: Any) -> Any:
        """Return dollars; every prompt token is paid for, cached or not."""
        if self.dollars_in is None or self.dollars_out is None:
            return read * float("nan")
        return (read * self.dollars_in + made * self.dollars_out) / 1e6


@dataclass(frozen=True)
class Prices:
    """The price of the swept model and, by verifier, of judges that have a model of their own."""

    model: Price
    judges: Mapping[str, Price] = field(default_factory=dict)

    def of(self, verifier: object) -> Price:
        """Return the price of what a verifier asks; None and NaN are no verifier."""
        return self.judges.get(str(verifier), self.model)
