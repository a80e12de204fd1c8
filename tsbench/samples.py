"""Where each reply of a folder lies: in a part or in a journal, and at which place of it.

The replies themselves stay on disk. Files are kept open, so what was found stays readable when
another process folds it into a part and takes the journal away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tsbench.journal import Journal, is_reply
from tsbench.parts import Part, changed, tables
from tsbench.schema import SCHEMA, Row

SHIFT = 44
"""A place is the number of its file, shifted by so many bits, and a byte or a row within it."""
INSIDE = (1 << SHIFT) - 1
HELD = 4
"""Row groups that are kept decoded for look-ups."""
SETTLED = 100_000_000
"""Nanoseconds after which a folder's time of change tells a later change apart from that one."""


class Samples:
    """The replies of one folder, each key once: the first reply to a key stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "samples"
        self._files: list[Part | Journal] = []
        self._places: dict[str, int] = {}
        self._changes: dict[str, tuple[int, ...]] = {}
        self._tails: dict[str, tuple[int, Journal]] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._shadowed: set[tuple[int, str]] = set()
        self._when = 0
        self._columns = lru_cache(HELD)(self._decoded)

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Let go of every file."""
        for file in self._files:
            file.close()

    def look(self) -> None:
        """Take in what came to the folder since the last look."""
        when = self.folder.stat().st_mtime_ns
        if when != self._when:
            self._when = when if time.time_ns() - when > SETTLED else 0
            self._open()
        for number, journal in self._tails.values():
            if journal.grown():
                for at, event in journal.news():
                    self._add(number, at, event)

    def find(self, key: str) -> Row | None:
        """Return the row under a key with all that became known of it; None where there is none."""
        return self._row(key) if key in self._places else None

    def tables(self, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
        """Yield some columns of every row, in tables of bounded size."""
        schema = pa.schema([SCHEMA.field(name) for name in columns])
        every = sorted(self._places, key=self._places.__getitem__)
        for number, keys in groupby(every, lambda key: self._places[key] >> SHIFT):
            file = self._files[number]
            if isinstance(file, Part):
                yield from self._of_part(file, keys, columns)
            else:
                yield from tables(map(self._row, keys), schema)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield some columns of every row."""
        for table in self.tables(columns):
            yield from table.to_pylist()

    def frame(self, columns: Sequence[str] = SCHEMA.names, **equal: str) -> pd.DataFrame:
        """Return some columns of the rows that have these values, such as task="math"."""
        found = [SCHEMA.empty_table().select(columns)]
        for table in self.tables([*columns, *(equal.keys() - {*columns})]):
            for name, value in equal.items():
                table = table.filter(pc.equal(table[name], value))
            found.append(table.select(columns))
        whole: pd.DataFrame = pa.concat_tables(found).to_pandas()
        return whole

    def _open(self) -> None:
        """Open the files that are new; journals first, since what leaves them is in a part."""
        journals = []
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            if path.name not in self._tails:
                try:
                    journals.append(Journal(path))
                except FileNotFoundError:
                    continue
        for path in sorted(self.folder.glob("part-*.parquet")):
            stat = path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns)
            if self._seen.get(path.name) != mark:
                self._seen[path.name] = mark
                part = Part(path)
                number = self._number(part)
                for row, key in enumerate(part.all_keys()):
                    self._places.setdefault(key, number | row)
        for journal in journals:
            self._tails[journal.path.name] = (self._number(journal), journal)

    def _number(self, file: Part | Journal) -> int:
        """Keep a file and return what its places begin with."""
        self._files.append(file)
        return (len(self._files) - 1) << SHIFT

    def _add(self, number: int, at: int, event: Row) -> None:
        """Note where an event is; a journal's changes to a reply that came second do not count."""
        key = event["key"]
        if is_reply(event):
            if self._places.setdefault(key, number | at) != number | at:
                self._shadowed.add((number, key))
        elif key in self._places and (number, key) not in self._shadowed:
            self._changes[key] = (*self._changes.get(key, ()), number | at)

    def _row(self, key: str) -> Row:
        return self._read(self._places[key]) | self._changed(key)

    def _changed(self, key: str) -> Row:
        changes = self._changes.get(key, ())
        return {name: value for at in changes for name, value in self._read(at).items()}

    def _read(self, place: int) -> Row:
        number, at = place >> SHIFT, place & INSIDE
        file = self._files[number]
        if isinstance(file, Journal):
            return file.read(at)
        group = file.group_of(at)
        row = at - file.starts[group]
        return {name: column[row].as_py() for name, column in self._columns(number, group).items()}

    def _decoded(self, number: int, group: int) -> Mapping[str, pa.ChunkedArray]:
        file = self._files[number]
        assert isinstance(file, Part)
        table = file.table(group, SCHEMA.names)
        return dict(zip(table.column_names, table.columns, strict=True))

    def _of_part(
        self, part: Part, every: Iterator[str], columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        for group, keys in groupby(every, lambda key: part.group_of(self._places[key] & INSIDE)):
            kept = list(keys)
            table = part.table(group, columns)
            if len(kept) < len(table):
                rows = [(self._places[key] & INSIDE) - part.starts[group] for key in kept]
                table = table.take(pa.array(rows))
            changes = {i: self._changed(key) for i, key in enumerate(kept) if key in self._changes}
            yield changed(table, changes)
