"""The embedded model, for real: fetched, served, swept, killed and resumed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tsbench.cli import CONF
from tsbench.models.base import Request, Response
from tsbench.models.local import Local
from tsbench.store import read_samples
from tsbench.types import Message

pytest.importorskip("xllamacpp", reason="the embedded engine is not installed (extra local)")

pytestmark = pytest.mark.engine


def command(folder: Path, *more: str) -> list[str]:
    words = ["task=math", "limit=4", "strategy=majority", "strategy.k=8", f"run={folder}"]
    return [sys.executable, "-m", "tsbench.cli", "sweep", *words, "model.slots=4", *more]


def smollm2(**given: int) -> Local:
    overrides = [f"model.{name}={value}" for name, value in given.items()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model: Local = instantiate(compose("sweep", overrides=overrides).model, _convert_="all")
    return model


def test_a_killed_sweep_resumes_and_asks_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(folder), start_new_session=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        journals = list(folder.glob("samples/journal-*.jsonl"))
        if journals and len(journals[0].read_bytes().splitlines()) >= 8:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the sweep ended before it could be killed"
    before = set(read_samples(folder)["key"])
    assert len(before) >= 8

    done = subprocess.run(command(folder), check=True, capture_output=True, text=True)
    samples = read_samples(folder)
    assert samples["key"].is_unique
    assert len(samples) == 32
    assert before <= set(samples["key"])
    assert f"Asked now: {32 - len(before)} replies" in done.stderr
    assert samples["completion_tokens"].between(1, 40).all()
    assert samples["correct"].isin([0.0, 1.0]).mean() > 0.8
    assert samples["text"].nunique() > 4, "draws differ"

    again = subprocess.run(command(folder), check=True, capture_output=True, text=True)
    assert "Asked now: 0 replies, 0 tokens" in again.stderr
    for name in ("curves.parquet", "knees.parquet", "report.html", "manifest.json"):
        assert (folder / name).exists()
    verdicts = pd.read_parquet(folder / "knees.parquet")["verdict"]
    assert verdicts.isin(["rising", "flat", "falls", "cannot tell"]).all()


def test_a_forced_budget_spends_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["strategy=forced", "strategy.thinking_budget=16", "replicates=1", "limit=2"]
    base = [word for word in command(folder) if not word.startswith(("strategy", "limit"))]
    subprocess.run([*base, *words], check=True, capture_output=True)
    outcomes = pd.concat(map(pd.read_parquet, folder.glob("outcomes/*.parquet")))
    samples = read_samples(folder)
    thoughts = samples[samples["partial"]].groupby("problem_id")["completion_tokens"].sum()
    assert (thoughts <= 16).all()
    assert outcomes["thinking_budget"].eq(16).all()
    spent = samples.groupby("problem_id")["completion_tokens"].sum()
    assert outcomes.set_index("problem_id")["tokens"].to_dict() == spent.to_dict()


def test_several_choices_count_their_own_tokens() -> None:
    """Tokens of a stop string are counted, for a batch of draws as for single ones."""
    prompt = (Message("user", "Name three colours."),)
    requests = [Request(prompt, "", 24, ("\n", ",", "."), seed, 1) for seed in range(40, 48)]

    async def go(batch: int) -> list[Response]:
        async with smollm2(slots=8, batch=batch).connect() as connection:
            return list(await asyncio.gather(*map(connection.complete, requests)))

    alone, together = asyncio.run(go(1)), asyncio.run(go(8))
    assert {response.counted_by for response in together} == {"server"}
    for responses in (alone, together):
        more = list(map(beyond_listed, responses))
        assert max(more) > 0
        assert min(more) >= 0
    read = together[0].usage.prompt_tokens
    assert [response.usage.cached_tokens for response in together[1:]] == [read] * 7


def beyond_listed(response: Response) -> int:
    """Return the tokens that were made and have no log-probability: those of a stop string."""
    listed = round((response.logprob_sum or 0) / (response.logprob_mean or 1))
    more = (response.usage.completion_tokens or 0) - listed
    assert response.finish == "stop" or more == 0
    return more


def test_the_engine_is_handed_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-for-the-engine")

    async def go() -> list[bytes]:
        async with smollm2(slots=2).connect():
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            return [Path(f"/proc/{child}/environ").read_bytes() for child in children]

    found = [environ for environ in asyncio.run(go()) if b"OMP_WAIT_POLICY" in environ]
    assert found, "the engine runs"
    assert not any(b"sk-planted" in environ for environ in found)
