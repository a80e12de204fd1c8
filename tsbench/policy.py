"""policy.json: what `tsbench route` learnt, and the arm that it chooses for a problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from tsbench.arm import Arm
from tsbench.calibration import Calibration
from tsbench.policies import Rule

SCHEMA = 1
"""Of the file. A file of another schema is refused."""


@dataclass(frozen=True)
class Choice:
    """The arm for one problem, and why.

    `chance` is the calibrated chance that one pass is right, None where it is not known; `bin`
    numbers the bins from the hardest, None where the arm is the fallback. `fallback` then says
    why, in words.
    """

    arm: Arm
    bin: int | None = None
    chance: float | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class Part:
    """The policy of one class and model.

    `family` and `estimate` are how it chooses and what it looks at: `pilot` draws are made first,
    and `verifier` scores the first of them; `calibration` turns the features into a chance, None
    where it looks at nothing. `arms` has an arm for each bin of `edges`, hardest first. `baseline`
    is the uniform budget that it replaces, and `seen` are digests of the problems that it was
    fitted to (see `digest`). `expected` are figures with 95 % intervals (value, low, high), held
    out; `bins` is what each bin comes to. `target` says what it was fitted for, `problems` on how
    many, and `remarks` what to know before it is used.
    """

    task_class: str
    model: str
    family: str
    estimate: str
    pilot: int
    verifier: str | None
    calibration: Calibration | None
    edges: tuple[float, ...]
    arms: tuple[Arm, ...]
    fallback: Arm
    target: str
    problems: int
    fingerprint: str
    baseline: Arm | None = None
    seen: tuple[str, ...] = ()
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bins: tuple[Mapping[str, float], ...] = ()
    remarks: tuple[str, ...] = ()

    def choose(self, features: Mapping[str, Any]) -> Choice:
        """Return the arm for a problem of this class, the fallback for features not as seen."""
        if self.calibration is None:
            return Choice(self.arms[0], 0)
        given = coded(features, self.calibration.features)
        wrong = self.calibration.outside(given)
        if wrong is not None:
            return Choice(self.fallback, fallback=wrong)
        chance = self.calibration.chance(np.array([[*given.values()]]))
        bin_ = int(Rule(self.edges, ()).bins(chance)[0])
        return Choice(self.arms[bin_], bin_, float(chance[0]))


@dataclass(frozen=True)
class Policy:
    """The policies of all classes; `axis` is the spend that they save, `fallback` for others."""

    axis: str
    parts: tuple[Part, ...]
    fallback: Arm
    version: str

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy.json; ValueError says what is wrong with a file that is none."""
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"policy is {path}, which is not there; `tsbench route` makes it.")
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"policy is {path}, which is not JSON: {error}.") from error
        found = read.get("schema_version") if isinstance(read, dict) else None
        if found != SCHEMA:
            raise ValueError(f"policy {path} has schema_version {found!r}; allowed is {SCHEMA}.")
        try:
            parts = tuple(_part(row) for row in read["classes"])
            return cls(read["axis"], parts, _arm(read["fallback"]), read["version"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"policy {path} lacks or has in excess: {error}.") from error

    def save(self, path: Path) -> None:
        """Write the file, complete or not at all."""
        table = {
            "schema_version": SCHEMA,
            "version": self.version,
            "axis": self.axis,
            "fallback": asdict(self.fallback),
            "classes": [asdict(part) for part in self.parts],
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def part(self, task_class: str | None, model: str | None = None) -> Part | None:
        """Return the part of a class and model, None where none fits or, unnamed, many do."""
        mine = [p for p in self.parts if model is None or p.model == model]
        mine = [p for p in mine if task_class is None or p.task_class == task_class]
        return mine[0] if len(mine) == 1 else None

    def choose(self, features: Mapping[str, Any]) -> Choice:
        """Return the arm for one problem.

        `features` holds those that the class's estimate looks at, and `task_class` and `model`
        where the file has several. A class that it has not, a feature that is missing, and one
        outside of what was seen fall back, and the choice says why.
        """
        task_class, model = features.get("task_class"), features.get("model")
        part = self.part(task_class, model)
        if part is None:
            known = "; ".join(f"{p.task_class} with {p.model}" for p in self.parts)
            asked = f"class {task_class!r}" + (f" with model {model!r}" if model else "")
            return Choice(self.fallback, fallback=f"{asked} is not one of: {known}")
        return part.choose(features)


def coded(features: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Return the named features as numbers: NAME=VALUE is 1 where NAME has that value, else 0.

    A value that no feature stands for leaves all of them out, so that it is seen to be missing.
    """
    found: dict[str, float] = {}
    for name in names:
        column, equals, _ = name.partition("=")
        if not equals:
            value = features.get(name)
            found[name] = float("nan") if value is None else float(value)
        elif name in features:
            found[name] = float(features[name])
        else:
            mine = f"{column}={features.get(column)}"
            found[name] = float(name == mine) if mine in names else float("nan")
    return found


def digest(task: str, problem_id: str) -> str:
    """Return eight hex digits that stand for a problem."""
    return hashlib.sha256(f"{task}/{problem_id}".encode()).hexdigest()[:8]


def _arm(row: Mapping[str, Any]) -> Arm:
    return Arm(**row)


def _part(row: Mapping[str, Any]) -> Part:
    made = row["calibration"]
    calibration = None
    if made is not None:
        fixed = {key: tuple(value) for key, value in made.items() if isinstance(value, list)}
        fixed["knots"] = tuple(tuple(knot) for knot in made["knots"])
        calibration = Calibration(**{**made, **fixed})
    arms, edges = tuple(_arm(arm) for arm in row["arms"]), tuple(row["edges"])
    if len(arms) != len(edges) + 1:
        raise ValueError(
            f"policy of {row['task_class']}: {len(edges)} edges need {len(edges) + 1} arms, found "
            f"{len(arms)}."
        )
    given = {
        "calibration": calibration,
        "arms": arms,
        "edges": edges,
        "fallback": _arm(row["fallback"]),
        "baseline": row["baseline"] and _arm(row["baseline"]),
        "seen": tuple(row["seen"]),
        "bins": tuple(row["bins"]),
        "remarks": tuple(row["remarks"]),
    }
    return Part(**{**row, **given})
