"""WASI: CPython in WebAssembly under wasmtime, where bubblewrap cannot work."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from tsbench.sandbox.engine import LIMITS, SOURCE

HERE = Path(__file__).parent
GUEST, WORKER = HERE / "wasi_guest.py", HERE / "wasi_worker.py"
PACKAGES = ("wasmtime", "componentize-py")
WORLD = """package tsbench:sandbox;
world sandbox {
  import send: func(line: string);
  import receive: func() -> list<u8>;
  export run: func();
}
"""


@dataclass(frozen=True)
class Wasi:
    """A compiled component, and the folder in which wasmtime is installed.

    Memory is bounded inside; the other limits hold for the worker process around it.
    """

    component: Path
    packages: str
    version: str
    interpreter: str
    name: str = "wasi"

    @property
    def limits(self) -> dict[str, int]:
        return {"AS": LIMITS["AS"], "FSIZE": 0, "NOFILE": LIMITS["NOFILE"], "CORE": 0}

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker with an empty environment."""
        script = [str(WORKER), str(self.component), self.packages]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", *script],
            env={},
            cwd="/",
            start_new_session=True,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )


def engines() -> Iterator[Wasi]:
    """Yield the engine, where the packages are installed and the component is prepared."""
    if installed() and prepared().exists():
        wasmtime, componentize = map(importlib.metadata.version, PACKAGES)
        spec = importlib.util.find_spec("wasmtime")
        assert spec is not None
        assert spec.origin is not None
        yield Wasi(
            prepared(),
            str(Path(spec.origin).parents[1]),
            f"wasmtime {wasmtime}",
            f"CPython of componentize-py {componentize}",
        )


def installed() -> bool:
    """Say whether the extra `wasi` is."""
    return all(importlib.util.find_spec(name.replace("-", "_")) is not None for name in PACKAGES)


def prepared() -> Path:
    """Return where the component for this machine, these versions and this guest belongs."""
    from tsbench.models.weights import cache

    versions = map(importlib.metadata.version, PACKAGES)
    parts = (SOURCE, GUEST.read_text(), WORKER.read_text(), WORLD, platform.machine(), *versions)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return cache() / f"sandbox-{digest[:16]}.cwasm"
