"""The log of every reply, which is also the cache, the resume file and the cassette.

A process appends each event to a journal of its own and folds it into parquet when it closes. A
journal whose process has died is folded by the next process that opens the folder. What the
journals of other running processes gain is seen at the next look-up.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from tsbench.claims import Claims
from tsbench.files import alone, sync
from tsbench.journal import Journal, StoreError, cannot, is_reply
from tsbench.parts import ROWS, Part, tables, write
from tsbench.samples import Samples
from tsbench.schema import ANALYSED, SCHEMA, SCHEMA_VERSION, Row
from tsbench.types import ANSWERED

__all__ = ["ANALYSED", "SCHEMA", "SCHEMA_VERSION", "Row", "Store", "StoreError", "read_samples"]

LOCK = ".lock"
ROOM = 1 << 20
"""Bytes that must be free for a sweep to begin."""


class Store(Samples):
    """The samples of one run folder. Use it as a context manager; closing folds the journal.

    Raises StoreError, a sentence for the user, where the folder cannot be written or a part of it
    cannot be read: on entering, before anything is asked, and whenever the disk is full.
    """

    def __enter__(self) -> Self:
        name = f"journal-{uuid.uuid4().hex}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone(self.folder / LOCK), ExitStack() as undo:
                has_room(self.folder)
                adopt(self.folder)
                self._claims = Claims(self.folder)
                undo.callback(self._claims.close)
                undo.callback(self.close)
                self.look()
                self._journal = Journal(self.folder / name, new=True)
                sync(self.folder)
                undo.pop_all()
        except StoreError:
            raise
        except OSError as error:
            raise cannot("write", self.folder, error) from error
        self._own = self._number(self._journal)
        self._tails[name] = (self._own, self._journal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._journal.failed:
                self._places, self._changes = {}, {}
                self._journal.sync()
                with alone(self.folder / LOCK):
                    mine = self._journal.path
                    fold(mine, wait=any(path != mine for path in journals(self.folder)))
        except StoreError:
            raise
        except OSError as failure:
            raise cannot("write", self.folder, failure) from failure
        finally:
            self._claims.close()
            self.close()

    def answered(self, key: str) -> Row | None:
        """Return the stored reply to `key`, whichever process put it there.

        One that failed has a key of its own and answers nothing.
        """
        if key not in self._places:
            self.look()
        return self.find(key)

    def put(self, row: Row) -> None:
        """Append a reply. One that failed is kept under a key of its own, so it is asked again."""
        if row["status"] not in ANSWERED:
            row = {**row, "key": f"{row['key']}!{uuid.uuid4().hex[:8]}"}
        if row["key"] in self._places:
            return  # another process had its answer first
        self._add(self._own, self._journal.append(row), row)

    def update(self, key: str, changes: Mapping[str, Any]) -> None:
        """Append what became known later of a stored reply, such as its grade."""
        event = {"key": key, **changes}
        self._add(self._own, self._journal.append(event), event)

    def claim(self, key: str) -> bool:
        """Say that this process asks `key` from now on, or would if it were not answered by now.

        False where another process is asking it. What is claimed is to be released.
        """
        with self._claims.turn():
            self.look()
            if self._claims.elsewhere(key):
                return False
            self._claims.begin(key)
            return True

    def release(self, key: str) -> None:
        """Say that `key` is asked no more: its reply is put, or it came to nothing."""
        self._claims.end(key)

    def _open(self) -> None:
        super()._open()
        self._claims.open()

    def look(self) -> None:
        """Take in what other processes ask and were answered since the last look.

        Claims come first: where one has ended, what it was answered is there to be read.
        """
        self._claims.look()
        super().look()


def has_room(folder: Path) -> None:
    """Raise OSError where a folder cannot be written, or has no room for a first few replies."""
    probe = folder / ".room"
    try:
        probe.write_bytes(bytes(ROOM))
    finally:
        probe.unlink(missing_ok=True)


def journals(folder: Path) -> list[Path]:
    """Return the journals of a folder."""
    return sorted(folder.glob("journal-*.jsonl"))


def adopt(folder: Path) -> None:
    """Fold the journals whose processes have died."""
    dead, live = list[Path](), list[Path]()
    for path in journals(folder):
        with closing(Journal(path)) as journal:
            (live if journal.alive() else dead).append(path)
    for path in dead:
        fold(path, wait=bool(live) or len(dead) > 1)
    for path in filter(Path.exists, dead):
        fold(path, wait=bool(live))


def fold(path: Path, *, wait: bool) -> None:
    """Fold a journal into the parts, each key once in the folder, and remove it.

    Each part is written anew and put in place in one step, and no row moves from one to another,
    so a reader sees every reply once at any moment, and a kill in between loses and doubles
    nothing. The caller holds the folder's lock. A journal with lines that are no events is kept
    under another name, aloud. With `wait` one with changes to replies that no part has is left as
    it is, since another journal may have them.
    """
    for torn in path.parent.glob(".part-*"):
        torn.unlink()
    with closing(Journal(path)) as journal:
        fresh, changes = places_of(journal)
        if fresh or changes:
            into_parts(path.parent, journal, fresh, changes)
        if changes and wait:
            return
        if journal.unreadable:
            kept = path.with_name(f"damaged-{path.name}")
            path.rename(kept)
            print(
                f"{kept} has {journal.unreadable} lines that cannot be read; whatever they "
                "answered is asked again",
                file=sys.stderr,
            )
        else:
            path.unlink()


def places_of(journal: Journal) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return where a journal's own replies and their changes are, and changes to other replies."""
    fresh, changes = dict[str, list[int]](), dict[str, list[int]]()
    for at, event in journal.news():
        key = event["key"]
        if key not in fresh:
            (fresh if is_reply(event) else changes).setdefault(key, []).append(at)
        elif not is_reply(event):
            fresh[key].append(at)
    return fresh, changes


def into_parts(
    folder: Path,
    journal: Journal,
    fresh: dict[str, list[int]],
    changes: dict[str, list[int]],
) -> None:
    """Put changes into the parts that they concern, and replies that no part has behind the last.

    A reply that a part has already came second, or was folded by a process that was killed before
    it could remove the journal: neither changes the part. What remains of `changes` concerns none.
    """

    def row(places: Sequence[int]) -> Row:
        return {name: value for at in places for name, value in journal.read(at).items()}

    parts = [Part(path) for path in sorted(folder.glob("part-*.parquet"))]
    touched = set[Path]()
    for part in parts:
        for key in part.all_keys():
            fresh.pop(key, None)
            if key in changes:
                touched.add(part.path)
    new, left = (row(places) for places in fresh.values()), len(fresh)
    for part in parts:
        room = min(left, part.room()) if part is parts[-1] else 0
        if room or part.path in touched or (fresh and not part.current):
            known = {key: row(changes.pop(key)) for key in part.all_keys() if key in changes}
            part.rewrite(known, tables(islice(new, room)))
            left -= room
    number = 1 + max((part.number() for part in parts), default=-1)
    for n in range(number, number + -(-left // ROWS)):
        write(folder / f"part-{n:05}.parquet", tables(islice(new, ROWS)))


def read_samples(folder: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a run's samples: a row per reply, parts and live journals alike.

    `columns` are those to read, None for all; ValueError for one that samples do not have.
    """
    for name in columns or ():
        if name not in SCHEMA.names:
            raise ValueError(
                f"columns: {name!r} is no column of samples; allowed: {', '.join(SCHEMA.names)}"
            )
    with closing(Samples(folder)) as samples:
        if samples.folder.is_dir():
            samples.look()
        return samples.frame(SCHEMA.names if columns is None else columns)
