"""The embedded model: weights, a child process that serves them, and the common client."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib

from tsbench.keys import without_keys
from tsbench.models.base import Identity, Served
from tsbench.models.dialect import Dialect
from tsbench.models.openai import Connection, OpenAI
from tsbench.models.weights import Wheel, check_gguf, from_hub, in_hub_cache

LLAMACPP = Dialect(name="llamacpp", native=True)
START_SECONDS = 120.0
PATIENCE = 10.0
"""Seconds after which an engine that answers nothing is taken for dead; it does not come back."""


@dataclass(frozen=True)
class Local:
    """A GGUF served on this machine by llama.cpp (package xllamacpp, extra `local`).

    The weights are `path`, or `file` of the hub repository `repo` at `revision`, or the file in
    `wheel`: the first that is given. `context` is tokens a slot, `cache` MiB for prompts that
    left their slot; `top_logprobs` alternatives of each token are asked for; `threads` None takes
    every core that this process may use.
    """

    name: str
    path: str | None = None
    repo: str | None = None
    file: str | None = None
    revision: str | None = None
    wheel: Wheel | None = None
    slots: int = 32
    batch: int = 8
    top_logprobs: int = 1
    context: int = 1024
    cache: int = 2048
    threads: int | None = None
    temperature: float = 0.8
    top_p: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 600.0
    dollars_in: float | None = None
    dollars_out: float | None = None

    def __post_init__(self) -> None:
        if self.path is None and self.repo is None and self.wheel is None:
            raise ValueError("model: give path, or repo with file and revision, or wheel")
        if self.path is None and self.repo is not None and not (self.file and self.revision):
            raise ValueError("model.repo needs model.file and a pinned model.revision beside it")
        if self.slots < 1:
            raise ValueError(f"model.slots must be at least 1, found {self.slots}")
        if self.path is not None:
            check_gguf(Path(self.path).expanduser())

    @property
    def continues(self) -> bool:
        """Whether a prefix can be continued: the prompt is rendered here, so it can."""
        return True

    @property
    def takes(self) -> frozenset[str]:
        """What it takes as a parameter: neither an effort nor a thinking budget."""
        return frozenset()

    def weights(self) -> Path:
        """Return the GGUF file, fetched if need be; ValueError if it is none."""
        if self.path is not None:
            return check_gguf(Path(self.path).expanduser())
        if self.repo is not None:
            return check_gguf(from_hub(self.repo, str(self.file), str(self.revision)))
        assert self.wheel is not None
        return check_gguf(self.wheel.fetch())

    def identity(self) -> Identity | None:
        """Return its identity by the digest of its weights; None where they are not here yet."""
        if self.path is None and self.repo is None and self.wheel is not None:
            digest = self.wheel.sha256
        else:
            path = self.path or in_hub_cache(str(self.repo), str(self.file), str(self.revision))
            if path is None:
                return None
            digest = file_sha256(check_gguf(Path(path).expanduser()))
        return Identity(Served(embedded(digest), self.name, None), self.client("http:").sampling())

    def client(self, address: str) -> OpenAI:
        """Return the client's config for an engine at an address."""
        return OpenAI(
            base_url=f"{address}/v1",
            name=self.name,
            api="completions",
            template="server",
            dialect=LLAMACPP,
            temperature=self.temperature,
            top_p=self.top_p,
            extra=self.extra,
            slots=self.slots,
            batch=self.batch,
            top_logprobs=self.top_logprobs,
            timeout=self.timeout,
            patience=PATIENCE,
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Start the engine and connect to it; it ends with the context."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise ValueError(
                "model: the embedded engine is not installed; run pip install 'tsbench[local]', "
                "or use model=openai"
            )
        path = self.weights()
        digest = await asyncio.to_thread(file_sha256, path)
        order = {
            "path": str(path),
            "alias": self.name,
            "slots": self.slots,
            "context": self.context,
            "cache": self.cache,
            "threads": self.threads or joblib.cpu_count(),
        }
        engine = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tsbench.models.engine", json.dumps(order)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the sweep, which then ends the engine
            env={"OMP_WAIT_POLICY": "PASSIVE", **without_keys(os.environ)},
        )
        assert engine.stdin is not None
        try:
            async with self.client(await address(engine, path)).connect() as connection:
                connection.served = replace(connection.served, endpoint=embedded(digest))
                yield connection
        finally:
            engine.stdin.close()
            try:
                await asyncio.wait_for(engine.wait(), 5.0)
            except TimeoutError:
                engine.kill()
                await engine.wait()


def embedded(digest: str) -> str:
    """Return the endpoint that keys have for the weights of a digest."""
    return f"embedded:sha256:{digest[:16]}"


async def address(engine: asyncio.subprocess.Process, path: Path) -> str:
    """Wait until the engine says where it listens."""
    assert engine.stdout is not None
    while True:
        try:
            line = await asyncio.wait_for(engine.stdout.readline(), START_SECONDS)
        except TimeoutError:
            raise ValueError(
                f"model: the engine did not start within {START_SECONDS:.0f} s"
            ) from None
        if not line:
            raise ValueError(f"model: the engine could not load {path.name}; is it a whole GGUF?")
        if line.startswith(b"http://"):
            return line.decode().strip()


def file_sha256(path: Path) -> str:
    """Return the file's digest, which names the weights in every key."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
