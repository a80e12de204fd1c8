"""Which asks the running processes of one folder have in flight, so that none is asked twice.

Each process has a file of its own, locked for as long as it runs: `+KEY` when it begins to ask
and `-KEY` when that has ended. Nothing in it is worth keeping, and a process that died claims
nothing.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tsbench.files import locked

PATTERN = "asking-*"
CHUNK = 1 << 16


class Claims:
    """The asks in flight of this process, and of the others as far as it looked."""

    def __init__(self, folder: Path) -> None:
        """Begin, under the folder's lock; what dead processes left is removed."""
        self._folder = folder
        self._others: dict[str, Claimed] = {}
        for path in folder.glob(PATTERN):
            other = Claimed(path)
            if not other.alive():
                path.unlink()
            other.close()
        self._path = folder / f"asking-{uuid.uuid4().hex}"
        self._own = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(self._own, fcntl.LOCK_EX)
        self._turn = os.open(folder / ".turn", os.O_RDWR | os.O_CREAT, 0o644)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let no other process claim anything meanwhile."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def begin(self, key: str) -> None:
        """Claim a key."""
        self._say(f"+{key}\n")

    def end(self, key: str) -> None:
        """Claim it no more."""
        self._say(f"-{key}\n")

    def _say(self, line: str) -> None:
        with suppress(OSError):  # on a full disk the reply is what fails, aloud
            os.write(self._own, line.encode())

    def open(self) -> None:
        """Find the processes that are new."""
        for path in self._folder.glob(PATTERN):
            if path != self._path and path.name not in self._others:
                with suppress(FileNotFoundError):
                    self._others[path.name] = Claimed(path)

    def look(self) -> None:
        """Read what the others began and ended since the last look."""
        for other in self._others.values():
            other.look()

    def elsewhere(self, key: str) -> bool:
        """Say whether another process that runs claims a key."""
        return any(key in other.keys and other.alive() for other in self._others.values())

    def close(self) -> None:
        """Claim nothing more, and let go of every file."""
        self._path.unlink(missing_ok=True)
        os.close(self._own)
        os.close(self._turn)
        for other in self._others.values():
            other.close()


class Claimed:
    """The keys that another process claims."""

    def __init__(self, path: Path) -> None:
        self.keys: set[str] = set()
        self._descriptor = os.open(path, os.O_RDONLY)
        self._end = 0
        self.look()

    def look(self) -> None:
        """Read on."""
        while chunk := os.pread(self._descriptor, CHUNK, self._end):
            whole = chunk[: chunk.rfind(b"\n") + 1]
            if not whole:
                return
            self._end += len(whole)
            for line in whole.decode().splitlines():
                (self.keys.add if line[0] == "+" else self.keys.discard)(line[1:])

    def alive(self) -> bool:
        """Say whether its process runs; one that does not claims nothing."""
        if locked(self._descriptor):
            return True
        self.keys.clear()
        return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
