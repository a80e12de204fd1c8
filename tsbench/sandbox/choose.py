"""Which engine holds on this machine: found by trying, never assumed."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from tsbench.sandbox.engine import TMP_BYTES, Engine, bare, engines
from tsbench.sandbox.grading import run_cases
from tsbench.sandbox.session import MAX_READ, Session
from tsbench.types import Case

RIGHT = """
import os, socket
def walls():
    held = 0
    for way in (os.fork, socket.socket, lambda: open("/usr/x", "w"), lambda: os.listdir("/proc")):
        try:
            way()
        except OSError:
            held += 1
    return held
"""
WRONG = "def walls(): return 5"
HELD = (Case((), 4),)
SECONDS = 30.0


class SandboxUnavailable(RuntimeError):  # noqa: N818
    """No engine on this machine holds a candidate."""


@cache
def find() -> Engine:
    """Return the first engine in which a right program passes and a wrong one fails.

    The right one finds that it can neither make a process, nor open a socket, nor write, nor see
    other processes. Raises SandboxUnavailable where no engine does that.
    """
    tried = []
    for engine in engines():
        right = run_cases(engine, RIGHT, "walls", HELD, SECONDS)
        wrong = run_cases(engine, WRONG, "walls", HELD, SECONDS)
        if (right.status, wrong.status) == ("pass", "fail"):
            return engine
        tried.append(f"{engine.bwrap} {engine.version} with {engine.python}: {right.reason}")
    raise SandboxUnavailable(
        f"sandbox: no bubblewrap of 0.8 or newer works here ({'; '.join(tried) or 'none found'}), "
        "and code tasks run nowhere else; get it by apt install bubblewrap or by "
        "pip install 'tsbench[sandbox]', on a Linux that allows user namespaces"
    )


def chosen(unsafe: bool) -> Engine:
    """Return the engine to use; see `find` and `bare` for what is raised."""
    return bare() if unsafe else find()


@cache
def probe(unsafe: bool = False) -> dict[str, Any]:
    """Return the sandbox's name, version, interpreter and limits, for the manifest.

    Raises SandboxUnavailable where no engine holds a candidate, and ValueError where `unsafe`
    is asked for and the environment variable TSBENCH_UNSAFE_SANDBOX=1 does not agree.
    """
    found = chosen(unsafe)
    order = {"role": "serve", "source": "def f(): pass", "entry_point": "f"}
    with Session(found, time.monotonic() + SECONDS, order) as session:
        interpreter = f"{found.python} {session.interpreter}"
    return {
        "name": found.name,
        "version": found.version,
        "interpreter": interpreter,
        "limits": {**found.limits, "READ": MAX_READ} | ({"TMP": TMP_BYTES} if found.bwrap else {}),
    }
