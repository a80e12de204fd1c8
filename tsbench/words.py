"""How figures, tables and sentences say a number, a strategy, a knee and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

NARROW = "\u202f"
"""The no-break space between a number and its unit."""
ORACLE = "pass@k"
FRONTIER = "frontier"

STRATEGIES: Mapping[str, tuple[str, str]] = {
    "pass@k": ("oracle coverage", "oracle"),
    "maj@k": ("majority vote", "vote"),
    "best-of-n:logprob": ("best-of-n by log-probability", "log-prob."),
    "best-of-n:p_true": ("best-of-n by P(True)", "P(True)"),
    "best-of-n:public_tests": ("best-of-n by public tests", "public tests"),
    "mbr": ("minimum Bayes risk", "MBR"),
    "forced": ("forced thinking", "thinking"),
    "single": ("single pass", "single"),
    "frontier": ("frontier", "frontier"),
}
"""The long and the short name of each strategy."""


@dataclass(frozen=True)
class Axis:
    """A spend: its label on an axis, and its unit after a number."""

    label: str
    unit: str


AXES: Mapping[str, Axis] = {
    "tokens": Axis("generated tokens per problem", "tokens"),
    "flops": Axis("FLOPs per problem", "FLOPs"),
    "prompt_tokens": Axis("prompt tokens per problem", "prompt tokens"),
    "verifier_tokens": Axis("verifier tokens per problem", "verifier tokens"),
    "dollars": Axis("dollars per problem", "dollars"),
    "seconds": Axis("seconds per problem, along the critical path", "seconds"),
    "asks": Axis("model calls per problem", "calls"),
}

VERDICTS: Mapping[str, str] = {
    "rising": "still rising",
    "flat": "flattens",
    "falls": "falls",
    "cannot tell": "cannot tell",
}


def name(strategy: str, *, short: bool = False) -> str:
    """Return a strategy's name for people; an unknown strategy keeps its own."""
    head, bracket, rest = strategy.partition(" (")
    return STRATEGIES.get(head, (head, head))[short] + bracket + rest


def human(value: float) -> str:
    """Return a number for a tick: 30, 1k, 300G (k, M, G, T, P, E; three significant digits)."""
    for power, suffix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 0.9995 * 10**power:
            return f"{value / 10**power:.3g}{suffix}"
    return f"{value:.3g}"


def quantity(value: float | None, axis: str, digits: int = 2) -> str:
    """Return a spend with its unit, such as "1,200 tokens" or "320 GFLOPs"."""
    if value is None or np.isnan(value):
        return "unknown"
    if axis == "flops":
        number = human(float(f"{value:.{digits}g}"))
        digit, prefix = (number[:-1], number[-1]) if number[-1].isalpha() else (number, "")
        return f"{digit}{NARROW}{prefix}FLOPs"
    rounded = float(f"{value:.{digits}g}")
    number = f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
    return f"{number}{NARROW}{AXES[axis].unit if axis in AXES else axis}"


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share as "58 %"; a missing one is "unknown"."""
    if value is None or np.isnan(value):
        return "unknown"
    return f"{100 * value:.{digits}f}{NARROW}%"


def rate(value: float | None) -> str:
    """Return a small share: "0 %" only for none at all."""
    if value is None or np.isnan(value):
        return "unknown"
    if 0 < value < 0.001:
        return f"<{NARROW}0.1{NARROW}%"
    return percent(value, 0 if value == 0 else 1)


def points(value: float | None) -> str:
    """Return a difference of accuracies as "3.1 points"."""
    if value is None or np.isnan(value):
        return "unknown"
    number = f"{100 * value:.1f}".replace("-", "\u2212")
    return f"{number}{NARROW}point{'' if number == '1.0' else 's'}"


def unit(strategy: str) -> tuple[str, str]:
    """Return what a strategy's nominal budget counts, for one and for many."""
    if strategy.startswith("forced"):
        return "token of thought", "tokens of thought"
    if strategy.partition(" (")[0] in STRATEGIES or strategy.startswith("best-of-n"):
        return "draw", "draws"
    return "unit of budget", "units of budget"


def budget(strategy: str, value: float) -> str:
    """Return a nominal budget in words: "5 draws", "32 tokens of thought"."""
    one, many = unit(strategy)
    return f"{value:,.0f}{NARROW}{one if round(value) == 1 else many}"


def between(low: str | None, high: str | None) -> str:
    """Return an interval in words; a censored end is None."""
    if low is None:
        return "unbounded" if high is None else f"{high} or less"
    return f"{low} or more" if high is None else f"{low} to {high}"


@dataclass(frozen=True)
class Place:
    """A knee on its own curve, in nominal budgets; None where censored."""

    knee: float | None
    low: float | None
    high: float | None
    largest: float

    def interval(self) -> str:
        """Return the interval without a unit: "3 to 9", "3 or more"."""
        return between(*(None if v is None else f"{v:,.0f}" for v in (self.low, self.high)))

    def words(self, strategy: str) -> str:
        """Return knee, unit and interval: "5 draws (3 to 9)", "beyond 32 draws (12 or more)"."""
        knee = budget(strategy, self.largest if self.knee is None else self.knee)
        return f"{'beyond ' if self.knee is None else ''}{knee} ({self.interval()})"


def given(value: object) -> float | None:
    """Return a cell as a number, None where it is null."""
    number = pd.to_numeric(value, errors="coerce")  # type: ignore[call-overload]
    return None if pd.isna(number) else float(number)


def place(curve: pd.DataFrame, row: pd.Series, axis: str) -> Place:
    """Translate a knee from spend to nominal budget along its strategy's curve.

    `curve` holds the rows of one class, stratum, model and strategy; `row` is one of knees.
    """
    line = curve.sort_values(axis)
    spend, nominal = line[axis].to_numpy(float), line["budget"].to_numpy(float)

    def at(column: str) -> float | None:
        value = given(row[column])
        return None if value is None else float(np.round(np.interp(value, spend, nominal)))

    return Place(at("knee"), at("low"), at("high"), float(nominal.max()))
