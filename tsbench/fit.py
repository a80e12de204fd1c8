"""The command `tsbench fit`: outcomes or samples in, curves.parquet and knees.parquet out."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowInvalid
from rich import box
from rich.console import Console
from rich.table import Table

from tsbench.curves import ALL, curves, knees
from tsbench.outcomes import SPENDS, accuracies, outcomes_from_samples, require

HEADINGS = ("class", "strategy", "knee", "95 % interval", "budget", "correct", "verdict")


@dataclass(frozen=True)
class Fit:
    """Fit curves and knees to a run folder, an outcomes file or a samples file: just one of them.

    `columns` renames a file's columns, theirs to ours. `delta` is the accuracy that a doubling
    must buy, `blank` says what draws without an answer do in a vote ("drop" or "vote"), and
    `out` is the folder for the results: by default the run's own, else runs/fit.
    """

    run: str | None = None
    samples: str | None = None
    outcomes: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    delta: float = 0.01
    seed: int = 0
    blank: str = "drop"
    out: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("run", "samples", "outcomes") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"fit needs one of run, samples and outcomes; found {', '.join(given) or 'none'}."
            )
        if not 0.0 <= self.delta < 1.0:
            raise ValueError(f"delta is {self.delta}; allowed is 0 to below 1.")
        if self.blank not in ("drop", "vote"):
            raise ValueError(f"blank is {self.blank!r}; allowed are 'drop' and 'vote'.")

    def __call__(self) -> pd.DataFrame:
        """Write curves.parquet and knees.parquet, print the knees and return them."""
        outcomes = self._outcomes()
        found = knees(outcomes, delta=self.delta, seed=self.seed)
        folder = Path(self.out or self.run or "runs/fit")
        folder.mkdir(parents=True, exist_ok=True)
        curves(outcomes, seed=self.seed).to_parquet(folder / "curves.parquet", index=False)
        found.to_parquet(folder / "knees.parquet", index=False)
        Console(width=None if sys.stdout.isatty() else 120).print(knee_table(found))
        return found

    def _outcomes(self) -> pd.DataFrame:
        if self.samples:
            return outcomes_from_samples(self._renamed(read(self.samples)), blank=self.blank)
        source = self.outcomes or f"{self.run}/outcomes"
        return checked_outcomes(self._renamed(read(source)))

    def _renamed(self, table: pd.DataFrame) -> pd.DataFrame:
        for theirs in self.columns:
            if theirs not in table:
                raise ValueError(
                    f"columns renames {theirs!r}, which the file has not; "
                    f"found {', '.join(map(str, table.columns))}."
                )
        return table.rename(columns=dict(self.columns))


def read(source: str) -> pd.DataFrame:
    """Read a parquet file, or all parquet files of a folder; ValueError where that fails."""
    path = Path(source)
    if not path.exists():
        raise ValueError(f"{source} is not there; give a parquet file or a run folder.")
    parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not parts:
        raise ValueError(f"folder {source} has no parquet file.")
    try:
        return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    except ArrowInvalid as error:
        raise ValueError(f"{source} is not a parquet file that can be read.") from error


def checked_outcomes(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return `outcomes`, or raise ValueError that names the column or row that is wrong."""
    require(outcomes, ("task_class", "problem_id", "strategy", "budget", "correct"), "outcomes")
    if outcomes.empty:
        raise ValueError("outcomes have no row.")
    if not any(column in outcomes and outcomes[column].notna().any() for column in SPENDS):
        raise ValueError(f"outcomes have no known spend; one of {', '.join(SPENDS)} is needed.")
    correct = accuracies(outcomes, "outcomes", whole=False)
    keys = ["task_class", "task", "problem_id", "model", "strategy", "budget", "replicate"]
    keys = [key for key in keys if key in outcomes]
    twice = outcomes.duplicated(keys)
    if twice.any():
        row = int(twice.to_numpy().argmax())
        where = ", ".join(f"{key} = {outcomes[key].tolist()[row]!r}" for key in keys)
        raise ValueError(f"outcomes row {row} repeats {where}; number equal runs by replicate.")
    return outcomes.assign(correct=correct)


def knee_table(found: pd.DataFrame) -> Table:
    """Return a table for the terminal: a line per class, model and strategy, on the first axis."""
    axis = found["axis"].iloc[0]
    several = len(set(found["model"])) > 1
    table = Table(
        title=f"Knees, in {axis} a problem",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in (*(["model"] if several else []), *HEADINGS):
        table.add_column(heading, no_wrap=True)
    shown = found[(found["stratum"] == ALL) & (found["axis"] == axis)]
    for row in shown.to_dict("records"):
        table.add_row(
            *([str(row["model"])] if several else []),
            str(row["task_class"]),
            str(row["strategy"]),
            *knee_cells(row),
            f"{row['knee_budget']:g}",
            f"{row['accuracy_at_knee']:.1%}",
            str(row["verdict"]),
        )
    return table


def knee_cells(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    """Return the knee and its interval in words; a curve of one budget has neither."""
    if "no fit" in str(row["flags"]):
        return "no fit", ""
    ends = f"{_number(row['low'], 'first')} to {_number(row['high'], 'beyond')}"
    return _number(row["knee"], "beyond"), ends


def _number(value: float, missing: str) -> str:
    if pd.isna(value):
        return missing
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
