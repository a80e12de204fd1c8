"""Keys of endpoints: read from the environment alone, and kept out of everything else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

NO_KEY = "none"
SHORTEST = 8
"""Characters that a key has at least; what is shorter (EMPTY, none) guards nothing."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def check_name(name: str) -> None:
    """Raise ValueError where `name` is no variable that child processes are kept from.

    What was found is not said: it may be the key itself.
    """
    if not NAME.fullmatch(name) or not SECRET.search(name):
        raise ValueError(
            "model.api_key_env must be the name of an environment variable, not the key, with "
            "KEY, TOKEN, SECRET, PASSWORD or CREDENTIAL in it, so that no child process gets it"
        )


def key(name: str) -> str:
    """Return the key in the environment variable `name`, "none" where there is none."""
    return os.environ.get(name) or NO_KEY


def hidden(text: str, key: str) -> str:
    """Return `text` with "[key]" in the place of the key."""
    return text.replace(key, "[key]") if len(key) >= SHORTEST else text


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child process: no variable with the name of a secret."""
    return {name: value for name, value in environ.items() if not SECRET.search(name)}


@contextmanager
def no_keys() -> Iterator[None]:
    """Hide the secrets of this process's environment for a moment, from a child that it starts."""
    secrets = {name: value for name, value in os.environ.items() if SECRET.search(name)}
    for name in secrets:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(secrets)
