"""The embedded engine: llama.cpp's server in a child process on loopback.

Run as `python -m tsbench.models.engine JSON`. It prints its address once it serves, and ends
when its standard input closes, so it never outlives the sweep that started it.
"""

from __future__ import annotations

import json
import sys

import xllamacpp


def serve(path: str, alias: str, slots: int, context: int, threads: int, cache: int) -> None:
    """Serve the GGUF at `path` in `slots` slots of `context` tokens until stdin closes.

    Up to `cache` MiB hold prompts that have left their slot.
    """
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {alias}
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_threads_http = slots + 4
    params.cache_ram_mib = cache
    params.port = 0
    params.verbosity = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
