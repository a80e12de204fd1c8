"""The log of every reply, which is also the cache, the resume file and the cassette.

A process appends each event to a journal of its own (one JSON line, flushed to the operating
system before the sweep moves on, so that it survives kill -9) and compacts it to parquet when
it closes. A journal whose process has died is compacted by the next process that opens the
folder. A line that was cut in the middle is dropped; its ask is simply asked again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tsbench.types import ANSWERED

SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("task_class", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("stratum", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("served_model", pa.string()),
        pa.field("endpoint", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("params", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string()),
        pa.field("partial", pa.bool_(), nullable=False),
        pa.field("verifier", pa.string()),
        pa.field("of", pa.string()),
        pa.field("thinking_kind", pa.string(), nullable=False),
        pa.field("thinking_budget", pa.int64()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("thoughts", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("correct", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("finish", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("cached_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("reasoning_tokens", pa.int64()),
        pa.field("counted_by", pa.string(), nullable=False),
        pa.field("logprob_sum", pa.float64()),
        pa.field("logprob_mean", pa.float64()),
        pa.field("confidence", pa.float64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("started", pa.float64(), nullable=False),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field("wasted_tokens", pa.int64()),
        pa.field("graded", pa.bool_(), nullable=False),
        pa.field("schema_version", pa.int64(), nullable=False),
    ]
)
FSYNC_SECONDS = 1.0

Row = dict[str, Any]


class Store:
    """The samples of one run folder. Use it as a context manager; closing compacts."""

    def __init__(self, folder: Path) -> None:
        self.samples = folder / "samples"
        self._rows: dict[str, Row] = {}
        self._dirty = False

    def __enter__(self) -> Self:
        self.samples.mkdir(parents=True, exist_ok=True)
        for part in sorted(self.samples.glob("part-*.parquet")):
            for row in pq.read_table(part).to_pylist():
                self._rows.setdefault(row["key"], row)
        for journal in sorted(self.samples.glob("journal-*.jsonl")):
            self._adopt(journal)
        self._path = self.samples / f"journal-{uuid.uuid4().hex}.jsonl"
        unlocked = self._path.with_suffix(".new")
        self._journal = unlocked.open("a", encoding="utf-8")
        fcntl.flock(self._journal, fcntl.LOCK_EX)
        unlocked.rename(self._path)
        self._synced = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.fsync(self._journal.fileno())
        compact(self._path)
        self._journal.close()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def answered(self, key: str) -> Row | None:
        """Return the stored reply to `key`; one that failed has a key of its own."""
        return self._rows.get(key)

    def put(self, row: Row) -> None:
        """Append a reply. One that failed is kept under a key of its own, so it is asked again."""
        if row["status"] not in ANSWERED:
            row = {**row, "key": f"{row['key']}!{uuid.uuid4().hex[:8]}"}
        self._rows[row["key"]] = row
        self._append(row)

    def update(self, key: str, changes: Mapping[str, Any]) -> None:
        """Append what became known later of a stored reply, such as its grade."""
        self._rows[key] = {**self._rows[key], **changes}
        self._append({"key": key, **changes})

    def _append(self, event: Mapping[str, Any]) -> None:
        self._journal.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._journal.flush()
        if time.monotonic() - self._synced > FSYNC_SECONDS:
            os.fsync(self._journal.fileno())
            self._synced = time.monotonic()

    def _adopt(self, journal: Path) -> None:
        with journal.open("a+", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                merge(self._rows, journal)
                return
            merge(self._rows, journal)
            compact(journal)


def events(journal: Path) -> Iterator[Row]:
    """Yield a journal's whole lines; a torn last line is left out."""
    with journal.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def merge(rows: dict[str, Row], journal: Path) -> None:
    """Apply a journal's events to `rows`: the first reply to a key stays, later facts join it."""
    for event in events(journal):
        if "run" not in event:
            if event["key"] in rows:
                rows[event["key"]].update(event)
        else:
            rows.setdefault(event["key"], event)


def compact(journal: Path) -> None:
    """Fold a journal into one parquet part, each key once in the folder, and remove it.

    The part is written anew under a lock and renamed into place, so a reader sees the folder
    before or after, and a kill in between loses and doubles nothing.
    """
    folder = journal.parent
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows: dict[str, Row] = {}
        parts = sorted(folder.glob("part-*.parquet"))
        for part in parts:
            for row in pq.read_table(part).to_pylist():
                rows.setdefault(row["key"], row)
        merge(rows, journal)
        if rows:
            whole = folder / "part-00000.parquet"
            write(list(rows.values()), whole)
            for part in set(parts) - {whole}:
                part.unlink()
        journal.unlink()


def write(rows: list[Row], path: Path) -> None:
    """Write rows as one parquet file, complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)


def read_samples(folder: Path) -> pd.DataFrame:
    """Read a run's samples: a row per reply, parts and live journals alike."""
    rows: dict[str, Row] = {}
    samples = folder / "samples"
    for part in sorted(samples.glob("part-*.parquet")):
        for row in pq.read_table(part).to_pylist():
            rows.setdefault(row["key"], row)
    for journal in sorted(samples.glob("journal-*.jsonl")):
        merge(rows, journal)
    frame: pd.DataFrame = pa.Table.from_pylist(list(rows.values()), schema=SCHEMA).to_pandas()
    return frame
