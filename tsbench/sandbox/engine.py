"""What starts a guest, the limits inside, and the engine that has no walls."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Protocol

from tsbench.keys import without_keys
from tsbench.sandbox import guest

MIB = 2**20
LIMITS = {"AS": 1024 * MIB, "FSIZE": 16 * MIB, "NOFILE": 64, "NPROC": 64, "CORE": 0}
"""Hard resource limits inside; RLIMIT_CPU, in seconds, follows the time allowed."""

OPEN_VARIABLE = "TSBENCH_UNSAFE_SANDBOX"
SOURCE = Path(guest.__file__).read_text(encoding="utf-8")


class Engine(Protocol):
    """Starts guests, each in a sandbox of its own.

    `name` and `version` are recorded, `interpreter` is the program that runs the candidate, and
    `limits` are what it may use: those that LIMITS names are set by the guest itself.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def interpreter(self) -> str: ...

    @property
    def limits(self) -> Mapping[str, int]: ...

    def start(self) -> subprocess.Popen[bytes]:
        """Start a guest with pipes; OSError or ValueError where the machine does not allow it."""


@dataclass(frozen=True)
class Bare:
    """A bare subprocess; its limits are those that cannot hurt other processes."""

    name: str = "unsafe subprocess"
    version: str = platform.python_version()
    interpreter: str = sys.executable

    @property
    def limits(self) -> dict[str, int]:
        return {name: LIMITS[name] for name in ("FSIZE", "NOFILE", "CORE")}

    def start(self) -> subprocess.Popen[bytes]:
        """Start a guest that can do what this process can, but is handed no key."""
        return subprocess.Popen(
            guest_command(self.interpreter),
            start_new_session=True,
            env=without_keys(os.environ),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )


def guest_command(python: str) -> list[str]:
    """Return the command that runs the guest, isolated from what is installed."""
    return [python, "-I", "-S", "-B", "-c", SOURCE]


def unsafe() -> Bare:
    """Return the engine without walls; ValueError unless the environment agrees.

    The variable TSBENCH_UNSAFE_SANDBOX=1 must, so that no config file alone can take them away.
    """
    if os.environ.get(OPEN_VARIABLE) != "1":
        raise ValueError(
            f"sandbox: unsafe=true runs candidates in no sandbox, and needs {OPEN_VARIABLE}=1 "
            "in the environment too"
        )
    return Bare()
