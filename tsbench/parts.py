"""Samples as parquet: parts that are read by row groups and written whole."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsbench.files import whole
from tsbench.journal import StoreError, cannot
from tsbench.schema import LONG, SCHEMA, Row

GROUP_ROWS, GROUP_BYTES = 1000, 8 << 20
"""When a row group, which is what is in memory at once, is full."""
ROWS = 20_000
"""Rows up to which the last part is added to; then the next begins."""
BYTES = 64 << 20
"""Size from which a part is added to no more, however few rows it has."""


class Part:
    """One parquet file of samples, opened: it stays as it was, whatever takes its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            self._file = pq.ParquetFile(path)
        meta = self._file.metadata
        groups = [meta.row_group(g).num_rows for g in range(meta.num_row_groups)]
        self.rows: int = meta.num_rows
        self.starts = [0, *accumulate(groups)][:-1]
        """The first row of each row group."""
        self.current = self._file.schema_arrow.equals(SCHEMA)
        """Whether it has the columns of this version, and no others."""

    def all_keys(self) -> list[str]:
        """Return the key of every row."""
        with reading(self.path):
            found = self._file.read(columns=["key"], use_threads=False)["key"]
        return list(found.to_pylist())

    def group_of(self, row: int) -> int:
        """Return the row group that a row is in."""
        return bisect_right(self.starts, row) - 1

    def table(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a row group; one that the part does not have yet is null."""
        there = [name for name in columns if name in self._file.schema_arrow.names]
        with reading(self.path):
            found = self._file.read_row_group(group, columns=there, use_threads=False)
        fields = [SCHEMA.field(name) for name in columns]
        arrays = [
            found[field.name].cast(field.type)
            if field.name in there
            else pa.nulls(len(found), field.type)
            for field in fields
        ]
        return pa.table(arrays, schema=pa.schema(fields))

    def room(self) -> int:
        """Return how many rows may be added."""
        return max(ROWS - self.rows, 0) if self.path.stat().st_size < BYTES else 0

    def number(self) -> int:
        """Return the number in the part's name, -1 where that has none."""
        found = re.fullmatch(r"part-(\d+)", self.path.stem)
        return int(found[1]) if found else -1

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def rewrite(self, changes: Mapping[str, Row], more: Iterable[pa.Table]) -> None:
        """Put `changes`, by key, into the part and `more` rows behind its own."""
        own = (self.table(group, SCHEMA.names) for group in range(len(self.starts)))
        write(self.path, grouped(chain_changed(own, changes, more)))


def chain_changed(
    tables: Iterable[pa.Table], changes: Mapping[str, Row], more: Iterable[pa.Table]
) -> Iterator[pa.Table]:
    """Yield tables with changes, by key, put into them, and then more tables."""
    for table in tables:
        keys = table["key"].to_pylist()
        yield changed(table, {i: changes[key] for i, key in enumerate(keys) if key in changes})
    yield from more


def changed(table: pa.Table, changes: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """Return a table with changes, by row number, put into it."""
    told = {name for change in changes.values() for name in change} - {"key"}
    for name in told & {*table.column_names}:
        values = table[name].to_pylist()
        for i, change in changes.items():
            values[i] = change.get(name, values[i])
        place = table.column_names.index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    return table


def tables(rows: Iterable[Row], schema: pa.Schema = SCHEMA) -> Iterator[pa.Table]:
    """Yield rows as tables of the size of a row group."""
    held, size = list[Row](), 0
    for row in rows:
        held.append({name: row.get(name) for name in schema.names})
        size += sum(len(row.get(name) or "") for name in LONG)
        if len(held) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_pylist(held, schema=schema)
            held, size = [], 0
    if held:
        yield pa.Table.from_pylist(held, schema=schema)


def grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of tables in row groups, as full as they may be."""
    held = SCHEMA.empty_table()
    for table in tables:
        if len(held) + len(table) > GROUP_ROWS or held.nbytes + table.nbytes > GROUP_BYTES:
            yield held
            held = SCHEMA.empty_table()
        held = pa.concat_tables([held, table])
    yield held


def write(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables as one parquet file, a row group each; complete or not at all.

    Raises StoreError where it cannot be written.
    """
    try:
        with (
            whole(path) as temporary,
            pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
        ):
            for table in tables:
                if len(table):
                    writer.write_table(table, row_group_size=GROUP_ROWS)
    except StoreError:
        raise
    except OSError as error:
        raise cannot("write", path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a file that it cannot read into one sentence."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"run: cannot read {path}: {error.strerror}") from error
        raise StoreError(
            f"run: {path} is damaged or cut short and cannot be read; put a whole copy in its "
            "place, or move it away, and the replies that it held are asked again"
        ) from error
