"""The command `tsbench fit`: outcomes or samples in; curves, knees and other tables out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tsbench import manifest
from tsbench.cells import ALL, THIRDS, Cells, cells_of_draws, cells_of_outcomes
from tsbench.compliance import compliance
from tsbench.compositions import compositions
from tsbench.curves import curves, knees
from tsbench.estimates import ORACLE, SPENDS
from tsbench.flips import flips
from tsbench.headroom import headroom
from tsbench.judgements import READ as JUDGED
from tsbench.judgements import held_out, judgements, judges
from tsbench.matches import matches
from tsbench.predictions import predictions
from tsbench.rocs import READ as JUDGE
from tsbench.rocs import judged, points, rocs
from tsbench.tally import READ, accuracies, require, tally

HEADINGS = ("class", "strategy", "knee", "95 % interval", "budget", "correct", "verdict")
BATCH = 2**19
"""Rows of a samples file that are read at once."""
FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".json": "json"}
"""Tables that are read, by the ends of their names; JSON has an object a line."""
OURS = {*READ, *SPENDS, "score", "strategy", "budget", "replicate", "thinking_tokens"}
"""Our names of columns."""
UNLIKE = ("key", "text", "thoughts", "params")
"""Columns whose words do not come again and again, so are not read as codes."""
SOMETIMES = ("verifiers", "roc", "compositions", "flips", "compliance", "predictions")
"""Tables that only some runs have; those of an earlier fit do not outlive it."""


@dataclass(frozen=True)
class Fit:
    """Fit curves and knees to a run folder, an outcomes file or a samples file: just one of them.

    `columns` renames a file's columns, theirs to ours, and `constants` gives those that it has
    not, ours to a value. `delta` is the accuracy that a doubling must buy; `worth` says what one
    correct answer is worth, by the spend that it is measured in, and adds a price knee; `axes`
    are the spends to fit on. Of samples, `blank` says what draws without an answer do in a vote
    ("drop" or "vote"), `scored_by` names the verifier whose `score` each draw has, and `thirds`
    adds each class's thirds by difficulty. `out` is the folder for the results: by default the
    run's own, else runs/fit.
    """

    run: str | None = None
    samples: str | None = None
    outcomes: str | None = None
    columns: Mapping[str, str] | None = None
    constants: Mapping[str, Any] | None = None
    axes: Sequence[str] = ("tokens", "flops")
    delta: float = 0.01
    worth: Mapping[str, float] | None = None
    seed: int = 0
    blank: str = "drop"
    scored_by: str | None = None
    thirds: bool = True
    out: str | None = None

    def __post_init__(self) -> None:
        one_source("fit", run=self.run, samples=self.samples, outcomes=self.outcomes)
        if not 0.0 <= self.delta < 1.0:
            raise ValueError(f"delta is {self.delta}; allowed is 0 to below 1.")
        if self.blank not in ("drop", "vote"):
            raise ValueError(f"blank is {self.blank!r}; allowed are 'drop' and 'vote'.")
        for axis in (*self.axes, *(self.worth or ())):
            if axis not in SPENDS:
                raise ValueError(f"axis {axis!r} is unknown; allowed are {', '.join(SPENDS)}.")
        for axis, value in (self.worth or {}).items():
            if not value > 0.0:
                raise ValueError(f"worth.{axis} is {value}; allowed is above 0.")

    def __call__(self) -> pd.DataFrame:
        """Write every table as parquet (docs/files.md), print the knees and return them."""
        with threadpool_limits(1, user_api="blas"):  # the matrices are small: threads only wait
            return self._fit()

    def _fit(self) -> pd.DataFrame:
        judged, held = self._judges()
        cells, tables = self._cells(held)
        found = knees(cells, axes=self.axes, delta=self.delta, worth=self.worth, seed=self.seed)
        folder = Path(self.out or self.run or "runs/fit")
        folder.mkdir(parents=True, exist_ok=True)
        lines = curves(cells, seed=self.seed)
        matched = matches(cells, axes=list(dict.fromkeys(found["axis"])))
        tables |= {"curves": lines, "knees": found, "matches": matched} | self._verifiers()
        tables |= judged
        composed = compositions(cells, lines, found["axis"].iloc[0], seed=self.seed)
        tables |= present(compositions=composed)
        for name in (*tables, *(set(SOMETIMES) - set(tables))):
            file = folder / f"{name}.parquet"
            if name in tables:
                tables[name].to_parquet(file, index=False)
            else:
                file.unlink(missing_ok=True)
        console = Console(width=None if sys.stdout.isatty() else 120)
        for line in (*weights(cells), *ignored(cells)):
            console.print(line)
        console.print(knee_table(found))
        return found

    def _judges(self) -> tuple[dict[str, pd.DataFrame], pd.DataFrame | None]:
        """Return what a run's judge and the picks that it graded are worth, if one judged.

        The second is the table of `held_out`.
        """
        if not (self.run and any(Path(self.run, "samples").glob("*.parquet"))):
            return {}, None
        kinds = pd.concat(self._batches(f"{self.run}/samples", {"kind"}), ignore_index=True)
        if "kind" not in kinds or not (kinds["kind"] == "grade").any():
            return {}, None
        samples = pd.concat(self._batches(f"{self.run}/samples", {*JUDGED}), ignore_index=True)
        outcomes = pd.concat(self._batches(f"{self.run}/outcomes"), ignore_index=True)
        found = judgements(samples, outcomes, seed=self.seed)
        tables = present(judges=judges(samples, seed=self.seed), judgements=found)
        return tables, held_out(samples, outcomes)

    def _verifiers(self) -> dict[str, pd.DataFrame]:
        """Return what a run's verifiers are worth, nothing where none judged."""
        if not (self.run and any(Path(self.run, "samples").glob("*.parquet"))):
            return {}
        samples = pd.concat(self._batches(f"{self.run}/samples", {*JUDGE}), ignore_index=True)
        if not set(JUDGE) <= set(samples) or not (samples["kind"] == "judge").any():
            return {}
        draws = judged(samples)
        return {"verifiers": rocs(draws, seed=self.seed), "roc": points(draws)}

    def _cells(self, held: pd.DataFrame | None) -> tuple[Cells, dict[str, pd.DataFrame]]:
        """Return the cells, and by name the tables that only outcomes have."""
        if self.samples:
            cells = self._cells_of(self.samples, self.thirds)
            return cells, present(headroom=headroom(cells))
        table = pd.concat(self._batches(self.outcomes or f"{self.run}/outcomes"), ignore_index=True)
        outcomes = checked_outcomes(table)
        cells, pools = cells_of_outcomes(outcomes), Cells()
        if self.run and self.thirds and any(Path(self.run, "samples").glob("*.parquet")):
            drawn = self._cells_of(f"{self.run}/samples", thirds=True)
            cells |= {n: c for n, c in drawn.items() if n[1] in THIRDS and "(thinking" not in n[3]}
            pools = {n: c for n, c in drawn.items() if n[1] == ALL and n[3] == ORACLE}
        found = present(compliance=compliance(outcomes), headroom=headroom(pools | cells, held))
        if self.run:
            found |= present(predictions=predictions(outcomes, manifest.read(Path(self.run))))
        return cells, {"flips": flips(outcomes)} | found

    def _cells_of(self, samples: str, thirds: bool) -> Cells:
        wanted = {*READ, "score"} if self.scored_by else {*READ}
        drawn = tally(self._batches(samples, wanted), scores=self.scored_by is not None)
        return cells_of_draws(drawn, blank=self.blank, verifier=self.scored_by, thirds=thirds)

    def _batches(self, source: str, wanted: set[str] | None = None) -> Iterator[pd.DataFrame]:
        return batches(source, self.columns or {}, self.constants or {}, wanted)


def batches(
    source: str,
    columns: Mapping[str, str],
    constants: Mapping[str, Any],
    wanted: set[str] | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield a source's rows under our names, those of the `wanted` columns or all.

    `columns` and `constants` as in `Fit`; see `parts` and `named` for what is refused.
    """
    for part in parts(source):
        file = opened(part)
        theirs = named(file.schema.names, columns, constants)
        read = [column for column, ours in theirs.items() if not wanted or ours in wanted]
        for batch in file.to_batches(columns=read, batch_size=BATCH, batch_readahead=1):
            yield batch.to_pandas().rename(columns=theirs).assign(**constants)


def present(**tables: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that have a row, by name."""
    return {name: table for name, table in tables.items() if len(table)}


def one_source(command: str, **sources: str | None) -> None:
    """Raise ValueError unless exactly one of a command's sources is given."""
    given = [name for name, source in sources.items() if source]
    if len(given) != 1:
        raise ValueError(
            f"{command} needs one of run, samples and outcomes; found {', '.join(given) or 'none'}."
        )


def parts(source: str) -> list[Path]:
    """Return a table's file, or all parquet files of a folder; ValueError where there is none."""
    path = Path(source)
    if not path.exists():
        raise ValueError(f"{source} is not there; give a table's file or a run folder.")
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not found:
        raise ValueError(f"folder {source} has no parquet file.")
    return found


def opened(part: Path) -> ds.Dataset:
    """Open a table to be read in batches; ValueError where its format is none that we read."""
    kind = FORMATS.get(part.suffix)
    if kind is None:
        raise ValueError(f"{part} is no table that can be read; allowed are {', '.join(FORMATS)}.")
    try:
        plain = ds.dataset(part, format=kind)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{part} is not a {kind} file that can be read.") from error
    words = [field.name for field in plain.schema if pa.types.is_string(field.type)]
    if kind != "parquet":
        return plain
    coded = [name for name in words if name not in UNLIKE]
    return ds.dataset(part, format=ds.ParquetFileFormat(dictionary_columns=coded))


def named(
    found: Sequence[str], columns: Mapping[str, str], constants: Mapping[str, Any]
) -> dict[str, str]:
    """Return our name of each column that a file has; ValueError for a name that is taken.

    `columns` goes from the file's names to ours; a pair the other way about is understood.
    """
    names = {column: column for column in found}
    for pair in columns.items():
        theirs, ours = pair if pair[0] in found or pair[0] not in OURS else pair[::-1]
        if theirs not in found:
            raise ValueError(
                f"columns renames {pair[0]!r}, which the file has not; found {', '.join(found)}."
            )
        names[theirs] = ours
    for ours, count in Counter([*names.values(), *constants]).items():
        if count > 1:
            raise ValueError(f"column {ours!r} is there {count} times, with columns and constants.")
    return names


def weights(cells: Cells) -> Iterator[str]:
    """Yield a line for each class whose problems have unequal numbers of draws."""
    for names, cell in cells.items():
        if (
            cell.draws
            and cell.draws[0] < cell.draws[1]
            and names[1] == ALL
            and names[3] == "pass@k"
        ):
            yield (
                f"{names[0]}, {names[2]}: {cell.draws[0]} to {cell.draws[1]} draws a problem; each "
                f"problem counts once, and k goes to {cell.budgets[-1]}."
            )


def ignored(cells: Cells) -> Iterator[str]:
    """Yield a line for each strategy whose thinking budgets made no difference."""
    for names, cell in cells.items():
        if names[1] == ALL and cell.thought.ignored:
            yield f"{names[0]}, {names[2]}, {names[3]}: {cell.thought.remark}."


def checked_outcomes(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return `outcomes`, or raise ValueError that names the column or row that is wrong."""
    require(outcomes, ("task_class", "problem_id", "strategy", "budget", "correct"), "outcomes")
    if outcomes.empty:
        raise ValueError("outcomes have no row.")
    if not any(column in outcomes and outcomes[column].notna().any() for column in SPENDS):
        raise ValueError(f"outcomes have no known spend; one of {', '.join(SPENDS)} is needed.")
    correct = accuracies(outcomes, "outcomes")
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
