"""How figures, tables and sentences say a number, a strategy, a knee and a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsbench.thought import Thought, thought

NARROW, SPACE = "\u202f", "\u00a0"
"""Spaces at which a line does not break: before a per cent sign, and before a unit."""
ORACLE = "pass@k"
MAJORITY = "maj@k"
FRONTIER = "frontier"
STRATEGIES: Mapping[str, tuple[str, str]] = {
    "pass@k": ("oracle (pass@k)", "oracle"),
    "maj@k": ("majority vote", "vote"),
    "best-of-n": ("best-of-n", "best-of-n"),
    "mbr": ("minimum Bayes risk", "MBR"),
    "forced": ("forced thinking", "thinking"),
    "single": ("single pass", "single"),
    "adaptive-vote": ("vote that stops when sure", "adaptive"),
    "window-vote": ("vote that stops when a window agrees", "window"),
    "revise": ("self-revision", "revise"),
    "revise-grid": ("chains of revisions", "grid"),
    "usc": ("universal self-consistency", "USC"),
    "fuse": ("fusion of drafts", "fusion"),
    "truncated": ("truncated thinking", "truncated"),
    "prompted": ("thinking asked for in words", "prompted"),
    "native": ("thinking that the endpoint bounds", "native"),
    "effort": ("effort", "effort"),
    "frontier": ("frontier", "frontier"),
}
"""The long and the short name of each strategy."""
KINDS: Mapping[str, tuple[str, str]] = {
    "best-of-n": ("best-of-n", ""),
    "weighted-best-of-n": ("vote weighted", "weighted"),
    "revise": ("self-revision chosen", "revise"),
    "revise-grid": ("chains of revisions chosen", "grid"),
    "beam": ("beam search", "beam"),
    "tournament": ("tournament judged", "tournament"),
    "dvts": ("diverse tree search", "DVTS"),
    "ab-mcts": ("wider-or-deeper tree search", "AB-MCTS"),
}
"""The long and the short name of the strategies that are followed by ":VERIFIER"."""
THOUGHTS: Mapping[str, tuple[str, str]] = {
    "thinking": ("after {} of thought", "thinking"),
    "forced": ("after {} of forced thought", "forced"),
    "truncated": ("after {} of truncated thought", "truncated"),
    "prompted": ("when asked to think for {}", "prompted"),
    "native": ("after at most {} of thought", "native"),
}
"""How the long name says that draws think first, and what the short one calls it."""
EFFORTS = ("low", "medium", "high")
VERIFIERS: Mapping[str, tuple[str, str]] = {
    "logprob": ("log-probability", "log-prob."),
    "self_certainty": ("self-certainty", "certainty"),
    "p_true": ("P(True)", "P(True)"),
    "rubric": ("a rubric", "rubric"),
    "self_verify": ("self-verification", "self-verif."),
    "pairwise": ("pairs compared", "pairs"),
    "public_tests": ("public tests", "public tests"),
    "judge": ("a judge", "judge"),
    "reward": ("a reward model", "reward"),
    "noisy_oracle": ("a noisy oracle that sees the grade", "noisy oracle"),
    "vote": ("vote", "vote"),
}
"""The long and the short name of each verifier, and of a vote in its place."""
UNITS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("forced", "truncated", "prompted", "native"), ("token of thought", "tokens of thought")
    ),
    **dict.fromkeys(("revise", "revise-grid", "ab-mcts"), ("reply", "replies")),
    **dict.fromkeys(("beam", "dvts"), ("path", "paths")),
    "effort": ("level of effort", "levels of effort"),
}
"""What a budget counts, where it is not draws."""
VERDICTS: Mapping[str, str] = {
    "rising": "still rising",
    "flat": "flattens",
    "falls": "falls",
    "cannot tell": "cannot tell",
}


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


def name(strategy: str, *, short: bool = False) -> str:
    """Return a strategy's name for people; an unknown strategy keeps its own."""
    first = thought(strategy)
    if first:
        comma = ", " if short else " "
        return f"{name(first.selector, short=short)}{comma}{before(first, short=short)}"
    head, bracket, rest = strategy.partition(" (")
    if head not in STRATEGIES and ":" in head:
        kind, _, by = head.partition(":")
        long, brief = KINDS.get(kind, (kind, kind))
        who = verifier(by, short=short)
        head = f"{who} {brief}".strip() if short else f"{long} by {who}"
    return STRATEGIES.get(head, (head, head))[short] + bracket + rest


def verifier(by: str, *, short: bool = False) -> str:
    """Return a verifier's name for people; an unknown one keeps its own."""
    head, bracket, rest = by.partition(" (")
    return VERIFIERS.get(head, (head, head))[short] + bracket + rest


def label(strategy: str) -> str:
    """Return a strategy's name for a figure with room for the long one, its thinking in short."""
    first = thought(strategy)
    return f"{name(first.selector)}, {before(first, short=True)}" if first else name(strategy)


def before(first: Thought, *, short: bool = False) -> str:
    """Return how the draws of a strategy think: "after 32 tokens of forced thought"."""
    amount = thought_amount(first.kind, first.budget)
    if first.kind == "effort":
        return amount if short else f"at {amount}"
    long, brief = THOUGHTS[first.kind]
    return f"{brief} {thinking(first.kind, first.budget)}" if short else long.format(amount)


def thought_amount(kind: str, value: float) -> str:
    """Return a thinking budget with its unit: "1,024 tokens", or "medium effort"."""
    number = thinking(kind, value)
    if kind == "effort":
        return f"{number} effort"
    return f"{number}{SPACE}{'token' if number == '1' else 'tokens'}"


def grid(selector: str, kind: str) -> str:
    """Return what a grid of thinking budgets is of: "majority vote after forced thought"."""
    long = "at each effort" if kind == "effort" else THOUGHTS[kind][0].replace("{} of ", "")
    return f"{name(selector)} {long.replace(' for {}', '')}"


def thinking(kind: str, value: float) -> str:
    """Return a thinking budget without a unit: "1,024", or "medium" for an effort of 2."""
    if kind == "effort" and value in (1, 2, 3):
        return EFFORTS[int(value) - 1]
    return f"{value:,.0f}"


def level(stratum: object) -> str:
    """Return a difficulty level for people: "level 3" for "level3"."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", str(stratum))


def verdict(value: object) -> str:
    """Return a verdict as a figure and a table say it."""
    return VERDICTS.get(str(value), str(value))


def given(value: object) -> float | None:
    """Return a cell as a number, None where it is null."""
    return None if pd.isna(value) else float(value)  # type: ignore[call-overload, arg-type]


def human(value: float) -> str:
    """Return a number for a tick: 30, 1k, 300G (k, M, G, T, P, E; three significant digits)."""
    for power, suffix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 0.9995 * 10**power:
            return f"{value / 10**power:.3g}{suffix}"
    return f"{value:.3g}"


def amount(value: float, axis: str, digits: int = 2) -> str:
    """Return a spend to `digits` significant digits, without its unit: "1,200", "320 G"."""
    rounded = float(f"{value:.{digits}g}")
    if axis == "flops":
        number = human(rounded)
        return f"{number[:-1]}{SPACE}{number[-1]}" if number[-1].isalpha() else number
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def quantity(value: float | None, axis: str, digits: int = 2) -> str:
    """Return a spend with its unit: "1,200 tokens", "320 GFLOPs"; a missing one is "unknown"."""
    if value is None or np.isnan(value):
        return "unknown"
    number = amount(value, axis, digits)
    joint = "" if axis == "flops" and number[-1].isalpha() else SPACE
    return f"{number}{joint}{AXES[axis].unit}"


def percent(value: float, digits: int = 0) -> str:
    """Return a share as "58 %"."""
    return f"{100 * value:.{digits}f}{NARROW}%"


def rate(value: float) -> str:
    """Return a small share; "0 %" is none at all."""
    if 0 < value < 0.001:
        return f"<{NARROW}0.1{NARROW}%"
    return percent(value, 1 if value else 0)


def points(value: float) -> str:
    """Return a difference of accuracies as "3.1 points", and 0.01 as "1 point"."""
    number = f"{100 * value:.1f}".removesuffix(".0").replace("-", "\u2212")
    return f"{number}{SPACE}point{'' if number == '1' else 's'}"


def change(value: float) -> str:
    """Return a difference of accuracies in points, with its sign: "+2.1"."""
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}".replace("-", "\u2212") if rounded else "0.0"


def area(row: pd.Series, name: str) -> tuple[str, str]:
    """Return an area under a ROC and its interval: "0.83" and "0.77 to 0.88"."""
    value, low, high = (given(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if value is None:
        return "unknown", ""
    return f"{value:.2f}", "" if low is None else f"{low:.2f} to {high:.2f}"


def chance(value: object) -> str:
    """Return a probability after its sign, "= 0.45", and never as certain: "< 0.01"."""
    number = given(value)
    if number is None:
        return "is unknown"
    if number < 0.005:
        return f"<{SPACE}0.01"
    return f">{SPACE}0.99" if number > 0.995 else f"={SPACE}{number:.2f}"


def budget(strategy: str, value: float) -> str:
    """Return a nominal budget in words: "5 draws", "32 tokens of thought"."""
    kind = strategy.partition(" (")[0].partition(":")[0]
    if kind not in STRATEGIES and kind not in KINDS:
        return f"budget{SPACE}{value:,.4g}"
    one, many = UNITS.get(kind, ("draw", "draws"))
    return f"{value:,.0f}{SPACE}{one if round(value) == 1 else many}"


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
