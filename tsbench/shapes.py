"""The dictionary of curve shapes y = a + b first(x) + d second(x), b and d not negative.

x is in doublings of spend since the smallest. Curves are plain functions whose parameters are
their argument names; `dictionary` lays a grid over those of every family, and `evaluate` scales
each part to end at 1, or at -1 where it is a fall, so that b and d are changes in accuracy over
the measured range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Curve = Callable[..., Array]
Value = float | Array


def linear(x: Array) -> Array:
    """Rise by the same amount with each doubling."""
    return x


def ramp(x: Array, end: Value) -> Array:
    """Rise by the same amount with each doubling up to `end`, then stay."""
    risen: Array = np.minimum(x, end)
    return risen


def power(x: Array, alpha: Value) -> Array:
    """Saturate as a power of spend, 1 - spend^-alpha."""
    saturated: Array = 1.0 - np.exp2(-alpha * x)
    return saturated


def exponential(x: Array, scale: Value) -> Array:
    """Saturate exponentially in spend; `scale` is in units of the smallest spend."""
    saturated: Array = -np.expm1(-(np.exp2(x) - 1.0) / scale)
    return saturated


def logistic(x: Array, centre: Value, width: Value) -> Array:
    """Rise in an S about `centre`, over `width`, both in doublings."""
    risen: Array = expit((x - centre) / width)
    return risen


def coverage(x: Array, alpha: Value, beta: Value) -> Array:
    """Return pass@k at k = 2^x for queries whose pass@1 is Beta(alpha, beta)."""
    missed: Array = np.exp(betaln(alpha, beta + np.exp2(x)) - betaln(alpha, beta))
    return 1.0 - missed


def hinge(x: Array, start: Value) -> Array:
    """Change by the same amount with each doubling past `start`."""
    changed: Array = np.maximum(x - start, 0.0)
    return changed


def quadratic(x: Array, start: Value) -> Array:
    """Change ever faster past `start` doublings."""
    return hinge(x, start) ** 2


def step(x: Array, place: Value, spread: Value) -> Array:
    """Change once more in an S about `place`, over `spread`, both in doublings."""
    return logistic(x, place, spread)


@dataclass(frozen=True, eq=False)
class Part:
    """A curve at each point of a grid of its parameters, which are (size,)."""

    curve: Curve
    params: Mapping[str, Array]
    falls: bool = False

    @property
    def size(self) -> int:
        """The number of points, 1 where there are no parameters."""
        return next((values.size for values in self.params.values()), 1)

    def evaluate(self, x: Array) -> Array:
        """Return (size, x), each row 0 at the first `x` and 1, or -1, at the last."""
        values = np.atleast_2d(self.curve(x, **{k: v[:, None] for k, v in self.params.items()}))
        values = values - values[:, :1]
        end = -values[:, -1:] if self.falls else values[:, -1:]
        scaled: Array = values / end
        return scaled


@dataclass(frozen=True)
class Family:
    """Every pair of a first and a second part, either of which may be absent: its shapes."""

    first: Part | None
    second: Part | None
    mass: float
    """Prior mass, spread evenly over the shapes."""

    @property
    def name(self) -> str:
        """The names of the parts, and what the second one does."""
        first = "flat" if self.first is None else self.first.curve.__name__
        if self.second is None:
            return first
        return f"{first}, {self.second.curve.__name__} {'fall' if self.second.falls else 'rise'}"

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of first and of second parts; the second vary fastest."""
        first, second = (1 if part is None else part.size for part in (self.first, self.second))
        return first, second

    @property
    def size(self) -> int:
        """The number of shapes."""
        return self.sizes[0] * self.sizes[1]

    def params(self, shapes: Index) -> dict[str, Array]:
        """Return the parameters of the shapes with these indices in the family."""
        places = np.divmod(shapes, self.sizes[1])
        return {
            name: values[place]
            for part, place in zip((self.first, self.second), places, strict=True)
            if part is not None
            for name, values in part.params.items()
        }


@dataclass(frozen=True)
class Table:
    """Every part of a dictionary along x, and which of them each shape has."""

    first: Array
    """(firsts, x), row 0 for an absent one, as in `second` (seconds, x)."""
    second: Array
    first_of: Index
    """(shapes,), rows of `first`, as is `second_of`."""
    second_of: Index
    prior: Array
    """(shapes,)."""


def dictionary(span: float) -> tuple[Family, ...]:
    """Return the families for budgets that span `span` doublings; their masses sum to one."""

    def along(per_doubling: float, fewest: int, most: int) -> Array:
        """Return places within the span, without its ends."""
        n = int(np.clip(round(per_doubling * span), fewest, most))
        return span * np.arange(1, n) / n

    places = along(2, 6, 16)
    rises = [
        (0.09, Part(linear, {})),
        (0.07, _grid(ramp, end=along(4, 12, 32))),
        (0.13, _grid(power, alpha=np.geomspace(0.15, 3.0, 16))),
        (0.09, _grid(exponential, scale=np.exp2(np.linspace(-1.0, span, 24)))),
        (
            0.13,
            _grid(
                logistic,
                centre=np.r_[0.0, along(4, 8, 40), span],
                width=np.geomspace(0.03, 1.2, 12),
            ),
        ),
        (0.09, _grid(coverage, alpha=0.2 * 2.0 ** np.arange(5), beta=0.5 * 2.0 ** np.arange(7))),
    ]
    before_fall = [
        Part(linear, {}),
        _grid(power, alpha=np.geomspace(0.3, 3.0, 8)),
        _grid(logistic, centre=places[:-1], width=[0.1, 0.2, 0.4, 0.7, 1.2]),
    ]
    starts = span * np.linspace(0.0, 0.92, 12)
    falls = [
        _grid(hinge, start=starts, falls=True),
        _grid(quadratic, start=starts[::2], falls=True),
        _grid(step, place=places[2:], spread=[0.07, 0.3], falls=True),
    ]
    before_rise = [
        _grid(power, alpha=np.geomspace(0.5, 3.0, 5)),
        _grid(logistic, centre=places[:-2:2], width=[0.15, 0.3, 0.6]),
    ]
    again = _grid(step, place=along(4, 8, 32)[3:], spread=[0.05, 0.15, 0.4])
    return (
        Family(None, None, 0.091),
        *(Family(rise, None, mass) for mass, rise in rises),
        *(Family(None, fall, 0.025) for fall in falls),
        *(Family(rise, fall, 0.016) for rise, fall in product(before_fall, falls)),
        *(Family(rise, again, 0.045) for rise in before_rise),
    )


def evaluate(families: Sequence[Family], x: Array) -> Table:
    """Return the parts of every family at sorted `x`."""
    first, first_at = _stacked([family.first for family in families], x)
    second, second_at = _stacked([family.second for family in families], x)
    pairs = [
        np.indices(family.sizes).reshape(2, -1) + np.array([[i], [j]])
        for family, i, j in zip(families, first_at, second_at, strict=True)
    ]
    first_of, second_of = np.concatenate(pairs, axis=1)
    prior = np.concatenate([np.full(f.size, f.mass / f.size) for f in families])
    return Table(first, second, first_of, second_of, prior)


def _stacked(parts: Sequence[Part | None], x: Array) -> tuple[Array, list[int]]:
    """Return a row of zeros and the rows of the distinct parts, and where each part's begin."""
    rows = [np.zeros((1, x.size))]
    begins: dict[Part | None, int] = {None: 0}
    for part in parts:
        if part is not None and part not in begins:
            begins[part] = sum(map(len, rows))
            rows.append(part.evaluate(x))
    return np.concatenate(rows), [begins[part] for part in parts]


def _grid(curve: Curve, *, falls: bool = False, **values: ArrayLike) -> Part:
    """Return the part at every combination of its parameters' values."""
    mesh = np.meshgrid(*(np.asarray(v, dtype=np.float64) for v in values.values()), indexing="ij")
    params = {name: points.ravel() for name, points in zip(values, mesh, strict=True)}
    return Part(curve, params, falls)
