"""The dictionary of curve shapes: plain functions of x, the doublings of spend since the smallest.

A family's parameters are its argument names. `dictionary` evaluates every family over a small
grid of parameters, scaled so that an amplitude is a change in accuracy over the measured range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit

Array = NDArray[np.float64]
Family = Callable[..., Array]
Grids = dict[Family, list[dict[str, float]]]


def linear(x: Array) -> Array:
    """Rise by the same amount with each doubling."""
    return x


def power(x: Array, alpha: float) -> Array:
    """Saturate as a power of spend, 1 - spend^-alpha."""
    saturated: Array = 1.0 - np.exp2(-alpha * x)
    return saturated


def exponential(x: Array, scale: float) -> Array:
    """Saturate exponentially in spend; `scale` is in units of the smallest spend."""
    saturated: Array = -np.expm1(-(np.exp2(x) - 1.0) / scale)
    return saturated


def logistic(x: Array, centre: float, width: float) -> Array:
    """Rise in an S about `centre`, over `width`, both in doublings."""
    risen: Array = expit((x - centre) / width)
    return risen


def coverage(x: Array, alpha: float, beta: float) -> Array:
    """Return pass@k at k = 2^x for queries whose pass@1 is Beta(alpha, beta)."""
    missed: Array = np.exp(betaln(alpha, beta + np.exp2(x)) - betaln(alpha, beta))
    return 1.0 - missed


def hinge(x: Array, start: float) -> Array:
    """Fall by the same amount with each doubling past `start`, softened over a quarter."""
    fallen: Array = 0.25 * np.logaddexp(0.0, (x - start) / 0.25)
    return fallen


def quadratic(x: Array, start: float) -> Array:
    """Fall ever faster past `start` doublings."""
    fallen: Array = np.maximum(x - start, 0.0) ** 2
    return fallen


@dataclass(frozen=True)
class Shape:
    """One entry y = a + b rise(x) - d fall(x); either part may be absent."""

    family: str
    params: Mapping[str, float]
    prior: float
    rise: Callable[[Array], Array] | None
    fall: Callable[[Array], Array] | None


def dictionary(span: float) -> list[Shape]:
    """Return the shapes for a grid that spans `span` doublings; their priors sum to one."""
    centres = np.linspace(0.0, span, int(np.clip(4 * span, 8, 40)) + 1)
    rises: Grids = {
        linear: _grid(),
        power: _grid(alpha=np.geomspace(0.15, 3.0, 12)),
        exponential: _grid(scale=np.exp2(np.linspace(-1.0, span, 16))),
        logistic: _grid(centre=centres, width=[0.05, 0.15, 0.3, 0.5, 0.8, 1.2]),
        coverage: _grid(alpha=[0.15, 0.3, 0.6, 1.2], beta=[0.5, 2.0, 8.0, 30.0]),
    }
    before_fall: Grids = {
        linear: _grid(),
        power: _grid(alpha=[0.4, 0.8, 1.6, 3.0]),
        logistic: _grid(centre=centres[2:-6:2], width=[0.1, 0.4]),
    }
    falls: Grids = {
        hinge: _grid(start=np.linspace(0.0, 0.85, 6) * span),
        quadratic: _grid(start=np.linspace(0.0, 0.85, 6) * span),
    }
    shapes = [Shape("flat", {}, 0.10, None, None)]
    masses: dict[Family, float] = {
        linear: 0.12,
        power: 0.16,
        exponential: 0.12,
        logistic: 0.16,
        coverage: 0.10,
    }
    for rise, grid in rises.items():
        prior = masses[rise] / len(grid)
        shapes += [Shape(rise.__name__, p, prior, _bound(rise, p), None) for p in grid]
    for fall, grid in falls.items():
        prior = 0.04 / len(grid)
        shapes += [
            Shape(f"flat, {fall.__name__} fall", p, prior, None, _bound(fall, p)) for p in grid
        ]
    for (rise, grid), (fall, later) in product(before_fall.items(), falls.items()):
        pairs = list(product(grid, later))
        shapes += [
            Shape(
                f"{rise.__name__}, {fall.__name__} fall",
                p | q,
                0.16 / (len(before_fall) * len(falls) * len(pairs)),
                _bound(rise, p),
                _bound(fall, q),
            )
            for p, q in pairs
        ]
    return shapes


def evaluate(shapes: Sequence[Shape], x: Array) -> tuple[Array, Array]:
    """Return every shape's rise and fall at `x`, each (shapes, x), zero where absent.

    `x` is sorted; each part starts at 0 and changes by 1 from its first point to its last.
    """
    parts = [[_scaled(part, x) for part in (shape.rise, shape.fall)] for shape in shapes]
    table = np.array(parts)
    return table[:, 0], table[:, 1]


def _scaled(part: Callable[[Array], Array] | None, x: Array) -> Array:
    if part is None:
        return np.zeros_like(x)
    values = part(x) - part(x[:1])
    scaled: Array = values / values[-1]
    return scaled


def _grid(**values: object) -> list[dict[str, float]]:
    names = list(values)
    points = product(*(np.asarray(v, dtype=float).tolist() for v in values.values()))
    return [dict(zip(names, point, strict=True)) for point in points]


def _bound(family: Family, params: Mapping[str, float]) -> Callable[[Array], Array]:
    return lambda x: family(x, **params)
