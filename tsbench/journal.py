"""One process's log: a JSON line for each event, written before the sweep moves on.

A line is handed to the operating system at once, so it survives kill -9; every second's lines are
also forced to the disk. Whatever a power cut leaves at the end (half a line, half a character, a
run of NUL bytes) is no whole line and is not read: its ask is simply asked again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tsbench.files import locked
from tsbench.schema import Row

FSYNC_SECONDS = 1.0
CHUNK = 1 << 20
LINE = 4096


class StoreError(OSError):
    """The run folder cannot be read or added to; the sentence says where, why and what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


def cannot(doing: str, path: Path, error: OSError) -> StoreError:
    """Return the error of a file that cannot be written."""
    return StoreError(
        f"run: cannot {doing} {path}: {error.strerror or error}; what was answered before is "
        "kept, and the same command goes on from there"
    )


class Journal:
    """The lines of one journal: read as they come and, by the process that made it, added to."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        self.end = 0
        """Bytes that were read or written so far, whole lines alone."""
        self.unreadable = 0
        """Whole lines that are no event."""
        self.failed = False
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL if new else os.O_RDONLY
        self._descriptor = os.open(path, flags, 0o644)
        self._synced = time.monotonic()
        if new:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Let go of the file, and of the lock."""
        os.close(self._descriptor)

    def alive(self) -> bool:
        """Say whether the process that writes the journal is running."""
        return locked(self._descriptor)

    def news(self) -> Iterator[tuple[int, Row]]:
        """Yield the events that came since the last look, each with the byte where it begins."""
        rest = b""
        while chunk := os.pread(self._descriptor, CHUNK, self.end + len(rest)):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                at, self.end = self.end, self.end + len(line) + 1
                event = parsed(line)
                if event is None:
                    self.unreadable += 1
                else:
                    yield at, event

    def grown(self) -> bool:
        """Say whether there is more than was read."""
        return os.fstat(self._descriptor).st_size > self.end

    def read(self, at: int) -> Row:
        """Return the event that begins at a byte."""
        line = b""
        while not line.endswith(b"\n"):
            more = os.pread(self._descriptor, LINE, at + len(line))
            if not more:
                raise StoreError(f"run: {self.path} was cut short while it was in use")
            line += more[: more.find(b"\n") + 1] or more
        event = parsed(line)
        assert event is not None
        return event

    def append(self, event: Mapping[str, Any]) -> int:
        """Write an event and return the byte where it begins.

        Raises StoreError where it cannot be written whole; the journal is then as it was.
        """
        line = json.dumps(event, ensure_ascii=False).encode(errors="replace") + b"\n"
        at = self.end
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self.failed = True
            with suppress(OSError):
                os.ftruncate(self._descriptor, at)
            raise cannot("write", self.path, error) from error
        self.end = at + len(line)
        if time.monotonic() - self._synced > FSYNC_SECONDS:
            self.sync()
        return at

    def sync(self) -> None:
        """Wait until every line is on disk; StoreError where the disk does not say so."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self.failed = True
            raise cannot("write", self.path, error) from error
        self._synced = time.monotonic()


def parsed(line: bytes) -> Row | None:
    """Return a line's event, None where it is none."""
    try:
        event = json.loads(line.strip(b"\0").decode())
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("key"), str) else None


def is_reply(event: Mapping[str, Any]) -> bool:
    """Say whether an event is a whole row, and not what became known of one later."""
    return "run" in event
