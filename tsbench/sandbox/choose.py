"""Which engine holds on this machine: found by trying, never assumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

from tsbench.sandbox import bubblewrap, wasi
from tsbench.sandbox.engine import Engine, unsafe
from tsbench.sandbox.grading import label, run_cases
from tsbench.sandbox.session import MAX_READ, Session
from tsbench.types import Case

RIGHT = """
import os
def socket():
    import _socket
    return _socket.socket()
def walls(value):
    held = 0
    ways = (lambda: os.fork(), socket, lambda: open("/usr/x", "w"), lambda: os.listdir("/proc"))
    for way in ways:
        try:
            way()
        except (OSError, AttributeError, ImportError):
            held += 1
    return held, value
"""
WRONG = "def walls(value): return 5, value"
EVERY_TYPE: tuple[object, ...] = (
    None,
    True,
    -7,
    0.1,
    2j,
    "\\u20ac",
    b"\\0",
    [()],
    {1},
    frozenset({2}),
    {"a": []},
)
HELD = (Case((EVERY_TYPE,), (4, EVERY_TYPE)),)
SECONDS = 30.0


class SandboxUnavailable(RuntimeError):  # noqa: N818
    """No engine on this machine holds a candidate."""


def engines() -> Iterator[Engine]:
    """Yield every engine that may work here, best first; none that has no walls."""
    return chain(bubblewrap.engines(), wasi.engines())


@cache
def find() -> Engine:
    """Return the first engine in which a right program passes and a wrong one fails.

    The right one finds that it can neither make a process, nor open a socket, nor write, nor see
    other processes. Raises SandboxUnavailable where no engine does that.
    """
    tried = []
    for engine in engines():
        fault = holds(engine)
        if fault is None:
            return engine
        tried.append(f"{label(engine)} with {engine.interpreter}: {fault}")
    raise SandboxUnavailable(
        f"sandbox: no bubblewrap of 0.8 or newer works here ({'; '.join(tried) or 'none found'}), "
        "and code tasks run nowhere else; get it by apt install bubblewrap or by "
        "pip install 'tsbench[sandbox]', on a Linux that allows user namespaces; elsewhere "
        "pip install 'tsbench[wasi]' and run tsbench prepare once"
    )


def holds(engine: Engine) -> str | None:
    """Return what is wrong with an engine, or None where it holds."""
    right = run_cases(engine, RIGHT, "walls", HELD, SECONDS)
    wrong = run_cases(engine, WRONG, "walls", HELD, SECONDS)
    if right.status != "pass":
        return right.reason
    return None if wrong.status == "fail" else f"a wrong program ends in {wrong.status}"


def chosen(bare: bool) -> Engine:
    """Return the engine to use; see `find` and `engine.unsafe` for what is raised."""
    return unsafe() if bare else find()


@cache
def probe(unsafe: bool = False) -> dict[str, Any]:
    """Return the sandbox's name, version, interpreter and limits, for the manifest.

    Raises SandboxUnavailable where no engine holds a candidate, and ValueError where `unsafe`
    is asked for and the environment variable TSBENCH_UNSAFE_SANDBOX=1 does not agree.
    """
    found = chosen(unsafe)
    order = {"role": "serve", "source": "def f(): pass", "entry_point": "f"}
    with Session(found, time.monotonic() + SECONDS, order) as session:
        return {
            "name": found.name,
            "version": found.version,
            "interpreter": f"{found.interpreter} {session.interpreter}",
            "limits": {**found.limits, "READ": MAX_READ},
        }
