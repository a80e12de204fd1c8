"""Rows of a local benchmark file, checked before anything is spent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}

Row = dict[str, Any]


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read every row of a JSONL, CSV or parquet file (gzip allowed), in file order.

    Raises ValueError, in one sentence, for a file that is absent, of another kind, unreadable,
    empty, without one of `columns`, or with a repeated or empty first column (the id).
    """
    if not path.is_file():
        raise ValueError(f"task.path: there is no file {path}")
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix not in LOADERS:
        raise ValueError(f"task.path: {path.name} is no {', '.join(LOADERS)} file (or its .gz)")
    datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(LOADERS[suffix], data_files=str(path), split="train")
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"task.path: {path.name} cannot be read as {suffix}: {cause}") from None
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ValueError(
            f"task.path: {path.name} has no column {missing[0]!r}; it has "
            f"{', '.join(table.column_names)}"
        )
    rows: list[Row] = table.to_list()
    if not rows:
        raise ValueError(f"task.path: {path.name} has no rows")
    seen: dict[object, int] = {}
    for number, row in enumerate(rows, start=1):
        key = row[columns[0]]
        if key is None or key == "":
            raise ValueError(f"task.path: {path.name} row {number} has no {columns[0]!r}")
        if key in seen:
            raise ValueError(
                f"task.path: {path.name} rows {seen[key]} and {number} have the same "
                f"{columns[0]!r}: {key!r}"
            )
        seen[key] = number
    return rows


def seeded_prefix(rows: Sequence[Row], seed: int, limit: int | None) -> list[Row]:
    """Return the first `limit` rows of a seeded order, so that a larger limit adds rows only."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    return [rows[i] for i in order[:limit]]


def text_of(row: Row, column: str) -> str:
    """Return a cell as text; ValueError where it is empty."""
    value = row[column]
    if value is None or not str(value).strip():
        raise ValueError(f"task.path: the row {next(iter(row.values()))!r} has no {column!r}")
    return str(value)
