"""tsbench prepare: build, once and on request, what a sandbox needs before it can start."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tsbench.sandbox import wasi
from tsbench.sandbox.choose import holds
from tsbench.sandbox.engine import SOURCE
from tsbench.sandbox.wasi_worker import machine

APP = "sandboxed"
COMPONENTIZE = "from componentize_py import script; script()"


@dataclass(frozen=True)
class Prepare:
    """Build the WASI sandbox; bubblewrap needs no preparation."""

    sandbox: str = "wasi"

    def __post_init__(self) -> None:
        if self.sandbox != "wasi":
            raise ValueError(f"sandbox: {self.sandbox!r} cannot be prepared; allowed: wasi")

    def __call__(self) -> None:
        """Build it where it is not built yet, try it, and say where it is."""
        if not wasi.installed():
            raise ValueError(
                "sandbox=wasi needs packages that are not installed: pip install 'tsbench[wasi]'"
            )
        began = time.monotonic()
        path = wasi.prepared()
        if not path.exists():
            build(path)
        (engine,) = wasi.engines()
        fault = holds(engine)
        if fault is not None:
            raise ValueError(f"sandbox=wasi does not hold here: {fault}")
        print(
            f"{path}: {path.stat().st_size / 2**20:.0f} MiB, {engine.interpreter} under "
            f"{engine.version}, {time.monotonic() - began:.1f} s"
        )


def build(path: Path) -> None:
    """Write the compiled component to `path`; ValueError where the tool refuses to make it."""
    from wasmtime.component import Component

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        here = Path(folder)
        inside = here / "tsbench" / "sandbox"
        inside.mkdir(parents=True)
        (inside / "guest.py").write_text(SOURCE, encoding="utf-8")
        shutil.copy(wasi.GUEST, here / f"{APP}.py")
        (here / "sandbox.wit").write_text(wasi.WORLD)
        command = [sys.executable, "-c", COMPONENTIZE, "--quiet", "--wit-path", "sandbox.wit"]
        command += ["--world", "sandbox", "componentize", APP, "--output", "sandbox.wasm"]
        done = subprocess.run(
            command, cwd=folder, env={}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(f"sandbox=wasi could not be built ({last})")
        component = Component.from_file(machine(), here / "sandbox.wasm")
        (here / path.name).write_bytes(component.serialize())
        (here / path.name).replace(path)
