"""Generated tokens a second of a sweep with the embedded engine, beside the engine's own rate.

`pytest -m table -s tests/test_engine_rate.py` prints it. Both ask one engine for the same prompts,
`batch` replies a request and every slot in use, and take turns: a bare asyncio loop over the
engine's completions, and a sweep with its store, progress, grading and outcomes. The sweep's time
is from its first request to its last reply.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tsbench.cli import CONF
from tsbench.models.base import Connected, Identity
from tsbench.store import read_samples

pytest.importorskip("xllamacpp", reason="the embedded engine is not installed (extra local)")

PROBLEMS, K, ROUNDS = 12, 32, 3


class Opened:
    """A model that is open already, with the config of the one that opened it."""

    def __init__(self, model: Any, connection: Connected) -> None:
        self._model, self._connection = model, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def identity(self) -> Identity:
        return Identity(self._connection.served, self._connection.sampling())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connected]:
        yield self._connection


async def bare(connection: Any, prompts: list[str], problem: Any, seed: int) -> float:
    """Return the tokens a second of a loop that does nothing but ask."""
    model = connection.model
    work = iter([(prompt, n) for prompt in prompts for n in range(K // model.batch)])
    tokens = 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal tokens
        for prompt, n in work:
            body = {
                **{"model": model.name, "prompt": prompt, "n": model.batch, "seed": seed + n},
                **{"max_tokens": problem.max_tokens, "stop": list(problem.stop)},
                **{"temperature": model.temperature, "top_p": model.top_p, **model.extra},
                "logprobs": model.top_logprobs,
            }
            async with session.post(f"{model.base_url}/completions", json=body) as answer:
                choices = (await answer.json())["choices"]
            tokens += sum(len(choice["logprobs"]["content"]) for choice in choices)

    began = time.monotonic()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(model.slots // model.batch):
            group.create_task(worker(session))
    return tokens / (time.monotonic() - began)


async def swept(sweep: Any) -> float:
    """Return the tokens a second of a sweep."""
    plan, folder = sweep.plan(), Path(sweep.run)
    sweep.check(folder, plan)
    assert not await sweep.ask(folder, plan, None)
    samples = read_samples(folder)
    assert len(samples) == PROBLEMS * K
    span = (samples["started"] + samples["seconds"]).max() - samples["started"].min()
    return float(samples["completion_tokens"].sum() / span)


@pytest.mark.table
def test_a_sweep_keeps_the_engine_as_busy_as_a_bare_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["task=math", f"limit={PROBLEMS}", "strategy=majority", f"strategy.k={K}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=[*words, f"run={tmp_path}"])
    sweep = instantiate(config, _convert_="all")
    rates: dict[str, list[float]] = {"sweep": [], "bare loop": []}

    async def go() -> None:
        async with sweep.model.connect() as connection:
            problems = [item.problem for _, items, _ in sweep.plan() for item in items]
            prompts = [await connection.render(problem.messages) for problem in problems]
            await bare(connection, prompts[:4], problems[0], 0)  # the engine warms up
            for turn in range(1, ROUNDS + 1):
                rates["bare loop"].append(await bare(connection, prompts, problems[0], 1000 * turn))
                mine = replace(
                    sweep, model=Opened(sweep.model, connection), run=f"{tmp_path}/{turn}", seed=0
                )
                rates["sweep"].append(await swept(mine))

    asyncio.run(go())
    ratio = sum(rates["sweep"]) / sum(rates["bare loop"])
    with capsys.disabled():
        print(
            f"\n{PROBLEMS} problems, {K} draws each, generated tokens a second in {ROUNDS} turns:"
        )
        for name, each in rates.items():
            print(f"  {name}: {', '.join(f'{rate:.0f}' for rate in each)}")
        print(f"  sweep over bare loop: {ratio:.3f}")
    assert ratio > 0.95, json.dumps(rates)
