"""One run of 200 problems by 10 draws against an endpoint, in a process of its own.

`python tests/speed.py HOW ADDRESS FOLDER [PROBLEMS]` prints, as JSON, how many draws were made in
how many seconds, from the first line of work to the last, imports left out. HOW is `bare` (a loop
over the openai SDK with its aiohttp transport), `bare-httpx` (with its default transport),
`tsbench` (a sweep: store, grading, progress, outcomes) or `inspect` (inspect-ai, with its log).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

IN_FLIGHT, EPOCHS = 64, 10
SAMPLING = {"temperature": 0.8, "top_p": 1.0, "max_tokens": 64}


def questions(problems: int) -> list[dict[str, str]]:
    return [
        {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
        for i in range(problems)
    ]


def bare(address: str, folder: Path, problems: int, aiohttp: bool) -> None:
    import openai

    client = openai.AsyncOpenAI(
        base_url=address,
        api_key="none",
        http_client=openai.DefaultAioHttpClient() if aiohttp else None,
    )
    work = iter([(q["prompt"], seed) for q in questions(problems) for seed in range(EPOCHS)])

    async def worker() -> None:
        for prompt, seed in work:
            await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": prompt}],
                seed=seed,
                logprobs=True,
                top_logprobs=5,
                **SAMPLING,  # type: ignore[arg-type]
            )

    async def all_of_it() -> None:
        async with client, asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(worker())

    began = clock()
    asyncio.run(all_of_it())
    told(began, problems)


def tsbench(address: str, folder: Path, problems: int) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from tsbench.cli import CONF

    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in questions(problems)))
    words = [
        *("task=jsonl", f"task.path={rows}", "task.task_class=math", f"limit={problems}"),
        *("model=openai", f"model.base_url={address}", "model.name=m", f"model.slots={IN_FLIGHT}"),
        *("strategy=majority", f"strategy.k={EPOCHS}"),
        *(f"run={folder / 'run'}", "analyse=false"),
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=words)
    sweep = instantiate(config, _convert_="all")
    began = clock()
    sweep()
    told(began, problems)


def inspect(address: str, folder: Path, problems: int) -> None:
    os.environ["INSPECT_LOG_DIR"] = str(folder / "logs")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    rows = [Sample(id=q["id"], input=q["prompt"], target=q["target"]) for q in questions(problems)]
    task = Task(dataset=rows, solver=generate(), scorer=match(numeric=True), epochs=EPOCHS)
    config = GenerateConfig(max_connections=IN_FLIGHT, logprobs=True, top_logprobs=5, **SAMPLING)
    model = get_model("openai-api/loopback/m", base_url=address, api_key="none", config=config)
    began = clock()
    (log,) = eval(task, model=model, display="plain", max_samples=IN_FLIGHT)
    assert log.status == "success", log.error
    told(began, problems)


STARTED = 0.0


def clock() -> float:
    global STARTED
    STARTED = time.process_time()
    return time.perf_counter()


def told(began: float, problems: int) -> None:
    seconds, processor = time.perf_counter() - began, time.process_time() - STARTED
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"draws": problems * EPOCHS, "seconds": seconds, "cpu": processor, "MiB": memory}
        )
    )


if __name__ == "__main__":
    how, where, into, *most = sys.argv[1:]
    many = int(most[0]) if most else 200
    {
        "bare": lambda *given: bare(*given, aiohttp=True),
        "bare-httpx": lambda *given: bare(*given, aiohttp=False),
        "tsbench": tsbench,
        "inspect": inspect,
    }[how](where, Path(into), many)
