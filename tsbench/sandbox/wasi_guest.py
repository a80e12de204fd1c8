"""The guest's end in WebAssembly: two functions of the host in place of pipes.

It is built once, with the standard library loaded, into an image that every candidate starts
from: there are no files from which to import anything later.
"""

from __future__ import annotations

import importlib
import marshal
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import wit_world

from tsbench.sandbox import guest

LIBRARY = "/python"
LEFT_OUT = {"antigravity", "ensurepip", "idlelib", "test", "this", "tkinter", "turtle"}


def library() -> Iterator[str]:
    """Yield the names of the standard library's modules and of those inside its packages."""
    folders = [folder for folder in sys.path if folder.startswith(LIBRARY)]
    walked = pkgutil.walk_packages(folders, onerror=lambda name: None)
    for name in sorted({*sys.stdlib_module_names, *(module.name for module in walked)}):
        top, *_ = name.split(".")
        if top in sys.stdlib_module_names and top not in LEFT_OUT and "__main__" not in name:
            yield name


for name in library():
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError):  # needs what WASI has not: processes, threads, devices
        continue


class WitWorld(wit_world.WitWorld):  # type: ignore[misc]  # its base is made when built
    """What the component exports."""

    def run(self) -> None:
        """Work until the host ends."""

        def send(kind: str, value: object) -> None:
            wit_world.send(f'{{"{kind}":{guest.encode(value)}}}')

        def receive() -> Any:
            return marshal.loads(wit_world.receive())

        guest.run(receive(), send, receive)
