"""A calibrated guess at difficulty, in numbers: what policy.json holds, and no library fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

SURE = 1e-4
"""No calibrated chance is nearer to 0 or 1 than this."""


@dataclass(frozen=True)
class Calibration:
    """The chance that one pass is right, from features: logistic, or isotonic in its index.

    index = intercept + sum of weight * (feature - centre) / scale. `knots` are (index, chance) of
    the isotonic curve; without them the chance is the index's logistic function. `low` and `high`
    bound the features that it was fitted on.
    """

    features: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    intercept: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    knots: tuple[tuple[float, float], ...] = ()

    def chance(self, X: Array) -> Array:
        """Return the chance that one pass is right (rows,), NaN where a feature is missing.

        X is (rows, features), in the order of `features`.
        """
        index = self.intercept + ((X - np.array(self.centre)) / np.array(self.scale)) @ np.array(
            self.weight
        )
        if self.knots:
            at, chance = np.array(self.knots).T
            return np.where(np.isnan(index), np.nan, np.interp(index, at, chance))
        found: Array = np.clip(expit(index), SURE, 1.0 - SURE)
        return found

    def outside(self, features: Mapping[str, float]) -> str | None:
        """Return what is wrong with the features of one request; None where nothing is."""
        for name, low, high in zip(self.features, self.low, self.high, strict=True):
            value = features.get(name)
            if value is None or np.isnan(value):
                return f"feature {name!r} is missing"
            slack = 1e-9 * max(abs(low), abs(high), 1.0)
            if not low - slack <= value <= high + slack:
                return f"feature {name!r} is {value:g}, seen were {low:g} to {high:g}"
        return None


def prompt_features(text: str) -> dict[str, float]:
    """Return what a prompt's text shows at no cost: logarithms of its size, and its numbers."""
    words = text.split()
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    return {
        "prompt_log_words": float(np.log2(1 + len(words))),
        "prompt_word_length": float(np.mean([len(word) for word in words])) if words else 0.0,
        "prompt_numbers": float(len(numbers)),
        "prompt_digits": float(max((len(number) for number in numbers), default=0)),
        "prompt_operators": float(len(re.findall(r"[-+*/^=<>%]", text))),
        "prompt_lines": float(text.count("\n") + 1),
    }


def agreement_features(answers: Sequence[str | None]) -> dict[str, float]:
    """Return how m pilot draws agree: the leader's share, distinct answers, and answers given.

    All are shares of m. A draw without an answer agrees with none.
    """
    m, votes = len(answers), Counter(answer for answer in answers if answer is not None)
    return {
        "agreement": max(votes.values(), default=0) / m,
        "distinct": len(votes) / m,
        "answered": votes.total() / m,
    }
