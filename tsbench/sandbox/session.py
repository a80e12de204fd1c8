"""One conversation with a guest: a deadline, and a limit on what is read."""

from __future__ import annotations

import contextlib
import json
import marshal
import math
import os
import select
import signal
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from tsbench.sandbox.engine import LIMITS, Engine
from tsbench.sandbox.values import decode

MAX_READ = 4 * 2**20
MARSHAL = 4
"""A version of marshal that every Python 3 reads."""

Trouble = Literal["error", "timeout", "sandbox_error"]

BLAMED: dict[str, tuple[str, Trouble]] = {
    "serve": ("the candidate", "error"),
    "check": ("the tests", "sandbox_error"),
}
"""Who speaks in each role of a guest, and whose failure it is when they stop making sense."""


class Broken(Exception):  # noqa: N818
    """The conversation cannot go on; `status` and `reason` say whose doing it is."""

    def __init__(self, status: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.status: Trouble = status
        self.reason = reason


class Session:
    """A guest in its own sandbox, ended with the context whatever it does.

    `deadline` is a time of the monotonic clock, in seconds. Every method raises Broken.
    """

    def __init__(self, engine: Engine, deadline: float, order: Mapping[str, Any]) -> None:
        self.deadline, self.order = deadline, order
        self.limits = {name: most for name, most in engine.limits.items() if name in LIMITS}
        self.who, self.blame = BLAMED[order["role"]]
        self.read = 0
        self.pending = bytearray()
        try:
            self.process = engine.start()
        except (OSError, ValueError) as error:
            raise Broken("sandbox_error", f"the sandbox did not start: {error}") from None
        self.pipes = [
            pipe for pipe in (self.process.stdin, self.process.stdout, self.process.stderr) if pipe
        ]
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in self.pipes)
        for pipe in self.pipes:
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> Session:
        try:
            self.begin()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.end()

    def begin(self) -> None:
        """Hand over the order; whatever goes wrong before the guest is ready is the sandbox's."""
        seconds = max(1, math.ceil(self.deadline - time.monotonic()) + 1)
        try:
            self.send({**self.order, "limits": {**self.limits, "CPU": seconds}})
            _, self.interpreter = self.receive()
        except Broken as error:
            raise Broken("sandbox_error", self.complaint(error.reason)) from None
        kind, said = self.receive()
        if kind != "loaded":
            raise self.broken(f"did not load: {said}")

    def broken(self, did: str) -> Broken:
        """Return the end of the conversation through the guest's own doing."""
        return Broken(self.blame, f"{self.who} {did}")

    def complaint(self, otherwise: str) -> str:
        """Return the last line that the engine wrote on its stderr."""
        said = ""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self.stderr, 4096).decode(errors="replace").strip()
        return f"the sandbox did not start: {(said or otherwise).splitlines()[-1][:200]}"

    def send(self, message: Any) -> None:
        """Write plain values, after their size."""
        body = marshal.dumps(message, MARSHAL)
        data = memoryview(b"%08x" % len(body) + body)
        try:
            while data:
                self.wait(self.stdin, select.POLLOUT)
                data = data[os.write(self.stdin, data) :]
        except BrokenPipeError:
            raise self.broken("ended the process") from None

    def receive(self) -> tuple[str, object]:
        """Read one line: of which kind it is, and its value.

        At most MAX_READ bytes are read in the whole conversation.
        """
        line = self.line()
        try:
            ((kind, data),) = json.loads(line).items()
        except (ValueError, RecursionError, AttributeError):
            raise self.broken("wrote something else than an answer") from None
        try:
            return kind, decode(data)
        except (ValueError, RecursionError) as error:
            raise self.broken(f"answered {error}") from None

    def line(self) -> bytes:
        """Read up to a line's end."""
        end = self.pending.find(b"\n")
        while end < 0:
            self.wait(self.stdout, select.POLLIN)
            chunk = os.read(self.stdout, 65536)
            if not chunk:
                raise self.broken("ended the process")
            self.read += len(chunk)
            if self.read > MAX_READ:
                raise self.broken(f"wrote more than {MAX_READ} bytes")
            seen = len(self.pending)
            self.pending += chunk
            end = self.pending.find(b"\n", seen)
        line = bytes(self.pending[:end])
        del self.pending[: end + 1]
        return line

    def wait(self, fd: int, event: int) -> None:
        """Wait until a pipe is ready, or the deadline passes."""
        poll = select.poll()
        poll.register(fd, event)
        left = self.deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Broken("timeout", "the time allowed is over")

    def end(self) -> None:
        """Kill the sandbox and close the pipes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in self.pipes:
            pipe.close()
