"""The worker process of the WASI engine: one instance, two host functions, no files, no network.

Run as a script, from an empty environment, with the compiled component and the folder in which
wasmtime is installed.
"""

from __future__ import annotations

import marshal
import os
import resource
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmtime import Engine

NOBODY = 65534
STACK_BYTES = 2 * 2**20


def machine() -> Engine:
    """Return the wasmtime engine, whose settings are compiled into a component."""
    from wasmtime import Config, Engine

    config = Config()
    config.wasm_component_model = True
    config.epoch_interruption = True
    config.max_wasm_stack = STACK_BYTES
    return Engine(config)


def receive(store: Any = None) -> bytes:
    """Read one message of the trusted process; end where there is none."""
    size = sys.stdin.buffer.read(8)
    if not size:
        os._exit(0)
    return sys.stdin.buffer.read(int(size, 16))


def send(store: Any, line: str) -> None:
    """Write one line of the guest's."""
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def limit(limits: dict[str, int]) -> None:
    """Give up root, and set hard limits on this process: all but that of memory, see `main`."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for name, most in limits.items():
        if name != "AS":
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def main(path: str) -> None:
    """Run the component at `path` in a store of its own, with bounded memory and time."""
    from wasmtime import Store, WasiConfig, WasmtimeError
    from wasmtime.component import Component, Linker

    first = receive()
    limits = marshal.loads(first)["limits"]
    waiting = [first]
    engine = machine()
    component = Component.deserialize_file(engine, path)
    limit(limits)
    linker = Linker(engine)
    linker.add_wasip2()
    with linker.root() as root:
        root.add_func("send", send)
        root.add_func("receive", lambda store: waiting.pop() if waiting else receive())
    store = Store(engine)
    store.set_wasi(WasiConfig())
    store.set_limits(memory_size=limits["AS"])
    store.set_epoch_deadline(1)
    clock = threading.Timer(limits["CPU"], engine.increment_epoch)
    clock.daemon = True
    clock.start()
    try:
        run = linker.instantiate(store, component).get_func(store, "run")
        assert run is not None
        run(store)
    except WasmtimeError:  # a trap is the guest's end, which the trusted process sees
        os._exit(1)


if __name__ == "__main__":
    sys.path.append(sys.argv[2])
    main(sys.argv[1])
