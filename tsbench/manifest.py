"""manifest.json: what a run folder was made with, and whether more may be added to it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsbench.files import alone, whole

PACKAGES = ("tsbench", "numpy", "scipy", "pandas", "pyarrow", "openai", "math-verify", "xllamacpp")
FREE = frozenset(
    {
        "limit",
        "slots",
        "batch",
        "top_logprobs",
        "timeout",
        "patience",
        "threads",
        "cache",
        "dollars_in",
        "dollars_out",
        "n_items",
        "repeats",
        "licence",
        "source",
    }
)
"""Settings that may differ between two calls on one folder: they change no reply."""

Manifest = dict[str, Any]


def versions() -> dict[str, str | None]:
    """Return the versions of what shapes a run; None for a package that is absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def read(folder: Path) -> Manifest:
    """Return the folder's manifest, empty where there is none."""
    path = folder / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, complete or not at all."""
    with whole(folder / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True, default=str) + "\n")


@contextmanager
def changing(folder: Path) -> Iterator[Manifest]:
    """Yield the folder's manifest to be changed, and write it; other processes wait meanwhile."""
    with alone(folder / ".manifest.lock"):
        known = read(folder)
        yield known
        write(folder, known)


def flat(config: object, prefix: str = "") -> dict[str, object]:
    """Return a nested config as dotted keys, without the settings that change no reply."""
    if isinstance(config, Mapping):
        pairs = [(str(key), value) for key, value in config.items() if key not in FREE]
    elif isinstance(config, list | tuple):
        pairs = [(str(i), value) for i, value in enumerate(config)]
    else:
        return {prefix: config}
    found: dict[str, object] = {}
    for key, value in pairs:
        found |= flat(value, f"{prefix}.{key}" if prefix else key)
    return found


def check_same(folder: Path, known: Mapping[str, Any], label: str, config: object) -> None:
    """Raise ValueError, naming the first key, where the folder holds `label` under another config.

    Parameters
    ----------
    known : the manifest's jobs by label.
    """
    if label not in known:
        return
    old, new = flat(known[label]), flat(json.loads(json.dumps(config, default=str)))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise ValueError(
                f"run: {folder} already holds {label} with {key}={old.get(key)!r}, and this call "
                f"says {new.get(key)!r}; give another run=, or the same value"
            )
