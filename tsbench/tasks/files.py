"""Rows of a benchmark: a local file, a folder of parquet files, or a data set of the hub."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
T = TypeVar("T")

HUB = re.compile(r"[\w.-]+/[\w.-]+")
NOT_TEXT = "not UTF-8"


@dataclass(frozen=True)
class Table:
    """Rows in their order, and the name that messages call them by."""

    name: str
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[str]:
        """Every column that a row has, in the order of their first use."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    def bad(self, number: int, column: str | None, found: str) -> ValueError:
        """Return the error that names a row, counted from 1, and a column."""
        place = "" if column is None else f", column {column!r}"
        return ValueError(f"task.path: {self.name}, row {number}{place}: {found}")


def read_table(
    path: str, revision: str | None = None, config: str | None = None, split: str | None = None
) -> Table:
    """Read every row of a JSONL, JSON, CSV or parquet file (gzip too), or of a data set.

    A data set is a folder of parquet files, or the name of one on the hub (OWNER/NAME) with the
    commit that `revision` pins; `config` and `split` say which part of it. No code of a data set
    is run. Raises ValueError, in one sentence, for what is absent, of another kind, unreadable or
    empty, and names the row of a line that is none.
    """
    place = Path(path)
    if place.is_file():
        table = read_file(place)
    elif place.is_dir() or revision is not None:
        from tsbench.tasks.hub import read_data_set  # which takes a second to import

        name, rows = read_data_set(path, revision, config, split)
        table = Table(name, tuple(rows))
    else:
        hint = "; a data set of the hub needs task.revision, its commit" * bool(HUB.fullmatch(path))
        raise ValueError(f"task.path: there is no file {path}{hint}")
    if not table.rows:
        raise ValueError(f"task.path: {table.name} has no rows")
    return table


def read_file(path: Path) -> Table:
    """Read one file by its suffix; one that ends in .gz is unpacked first."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix not in READERS:
        raise ValueError(f"task.path: {path.name} is no {', '.join(READERS)} file (or its .gz)")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return Table(path.name, tuple(READERS[suffix](path.name, data)))
    except (OSError, EOFError, csv.Error, pa.ArrowException) as error:
        cause = str(error).splitlines()[0]
        raise ValueError(f"task.path: {path.name} cannot be read as {suffix}: {cause}") from None


def as_text(data: bytes) -> str:
    """Decode UTF-8; a byte that is none becomes a lone surrogate, which is refused by its cell."""
    return data.decode("utf-8-sig", errors="surrogateescape")


def from_json_lines(name: str, data: bytes) -> Iterator[Row]:
    """Yield the objects of a file with one on each line; blank lines are left out."""
    lines = (line for line in as_text(data).split("\n") if line.strip())
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Table(name, ()).bad(number, None, f"no JSON ({error})") from None
        if not isinstance(row, dict):
            raise Table(name, ()).bad(number, None, f"a {type(row).__name__}, not a JSON object")
        yield row


def from_json(name: str, data: bytes) -> Iterator[Row]:
    """Yield the objects of a JSON array, alone or as the `examples` of an object, or of lines."""
    try:
        whole = json.loads(as_text(data))
    except ValueError:
        yield from from_json_lines(name, data)
        return
    rows = whole.get("examples", [whole]) if isinstance(whole, dict) else whole
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise Table(name, ()).bad(number, None, f"a {type(row).__name__}, not a JSON object")
        yield row


def from_csv(name: str, data: bytes) -> Iterator[Row]:
    """Yield rows whose cells are all text, as they stand; the first line names the columns."""
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(io.StringIO(as_text(data), newline=""), strict=True)
    names = next(lines, [])
    for number, cells in enumerate((cells for cells in lines if cells), start=1):
        if len(cells) != len(names):
            found = f"{len(cells)} cells; the first line names {len(names)} columns"
            raise Table(name, ()).bad(number, None, found)
        yield dict(zip(names, cells, strict=True))


def from_parquet(name: str, data: bytes) -> Iterator[Row]:
    """Yield the rows of a parquet file."""
    table = pq.read_table(io.BytesIO(data))
    try:
        yield from table.to_pylist()
    except UnicodeDecodeError:
        raise undecodable(name, table) from None


def undecodable(name: str, table: pa.Table) -> ValueError:
    """Return the error that names the first cell of a table that holds no UTF-8."""
    for column in table.column_names:
        for number, cell in enumerate(table[column], start=1):
            try:
                cell.as_py()
            except UnicodeDecodeError:
                return Table(name, ()).bad(number, column, NOT_TEXT)
    raise AssertionError("every cell could be decoded")


READERS: dict[str, Callable[[str, bytes], Iterable[Row]]] = {
    ".jsonl": from_json_lines,
    ".json": from_json,
    ".csv": from_csv,
    ".parquet": from_parquet,
}


def seeded_prefix(items: Sequence[T], seed: int, limit: int | None) -> list[T]:
    """Return the first `limit` of a seeded order, so that a larger limit adds items only."""
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    return [items[i] for i in order[:limit]]
