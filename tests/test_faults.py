"""Whatever befalls an endpoint, no draw is lost, none is made twice, and each has its status.

`pytest -m table -s tests/test_faults.py` prints the table of 500 draws a fault, with the pauses
that users get; without it there are fewer draws, and the pauses are shorter.
"""

import asyncio
import json
import logging
import random
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from endpoint import FAULTS, Endpoint, running, serve, sometimes_right

from tsbench.asks import seeded
from tsbench.models import gate, retry
from tsbench.models.openai import OpenAI
from tsbench.runner import Runner
from tsbench.store import Store, read_samples
from tsbench.strategies import Majority
from tsbench.tasks.math import Arithmetic

TASK = Arithmetic(n_items=10, max_tokens=20)
SUMS = [
    item.problem
    for item in TASK.items(0, 400)
    if " + " in item.problem.messages[-1].content and item.problem.stratum == "level1"
]
LATE = 2.0
"""Seconds after which an answer is late: only one that hangs is."""
PASSING = {fault for fault in FAULTS if fault[:3] in ("429", "500", "503")}
PAID = {
    "reset": "error",
    "cut": "error",
    "hang": "timeout",
    "not JSON": "error",
    "torn JSON": "error",
    "other shape": "error",
    "no choices": "error",
    "two choices": "error",
    "error in 200": "error",
}
FINAL = {"400": "error", "401": "error", "404": "error"}
ANSWERED = {
    "empty text": "unparsed",
    "truncated": "truncated",
    "no usage": "ok",
    "other name": "ok",
}


class Swept(NamedTuple):
    """The rows of a store, with what the endpoint was asked for each."""

    samples: pd.DataFrame
    seconds: float


def sweep(endpoint: Endpoint, folder: Path, problems: int, k: int, **given: Any) -> Swept:
    async def go() -> None:
        model = OpenAI(endpoint.base_url, "m", **{"slots": 16, "timeout": LATE, **given})
        async with model.connect() as connected:
            with Store(folder) as store:
                runner = Runner(connected, store, {}, run="r", seed=0, slots=model.slots)
                await runner.sweep(TASK, SUMS[:problems], Majority(k), 1)

    before = endpoint.asked.copy()
    began = time.monotonic()
    asyncio.run(go())
    seconds = time.monotonic() - began
    samples = read_samples(folder)
    samples["draw"] = samples["key"].str.partition("!")[0]
    seeds = {json.loads(body)["seed"]: body for body in endpoint.asked}
    bodies = [seeds.get(seeded(key, 0)) for key in samples["draw"]]
    samples["asked"] = [endpoint.asked[body] - before[body] if body else 0 for body in bodies]
    samples["faulty"] = [endpoint.faulty[body] if body else 0 for body in bodies]
    return Swept(samples, seconds)


def expected(fault: str, faulty: int) -> str:
    """Return the status of a draw that so many faults befell."""
    if fault in PAID:
        return PAID[fault] if faulty >= retry.PAID else "ok"
    if faulty and fault in FINAL:
        return FINAL[fault]
    return ANSWERED.get(fault, "ok") if faulty else "ok"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses."""
    monkeypatch.setattr(retry, "FIRST", 0.02)
    monkeypatch.setattr(retry, "LONGEST", 0.2)
    monkeypatch.setattr(retry, "JITTER", 0.02)
    monkeypatch.setattr(gate, "LONGEST", 0.02)


def check(fault: str, swept: Swept, draws: int) -> dict[str, Any]:
    """Return a line of the table; every draw has one row, and it is the right one."""
    samples = swept.samples
    lost = draws - samples["draw"].nunique()
    doubled = int(samples["draw"].duplicated().sum())
    answered = samples["asked"] - samples["faulty"]
    right = samples["status"] == [expected(fault, faulty) for faulty in samples["faulty"]]
    assert (samples["attempts"] == samples["asked"]).all(), "attempts are requests"
    return {
        "fault": fault,
        "draws": draws,
        "befallen": int((samples["faulty"] > 0).sum()),
        "requests": int(samples["asked"].sum()),
        "lost": lost,
        "doubled": doubled + int((answered > 1).sum()),
        "statuses": dict(samples["status"].value_counts()),
        "right": bool(right.all()),
        "wasted unknown": int(samples["wasted_tokens"].isna().sum()),
        "seconds": round(swept.seconds, 1),
    }


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_or_doubles_a_draw(fault: str, tmp_path: Path) -> None:
    with serve(Endpoint(fault=fault)) as endpoint:
        found = sweep(endpoint, tmp_path, 5, 8)
        line = check(fault, found, 40)
        assert line["befallen"] > 0
        assert (line["lost"], line["doubled"], line["right"]) == (0, 0, True), line
        wasted = found.samples.loc[found.samples["faulty"] > 0, "wasted_tokens"]
        if fault in PASSING | FINAL.keys() | ANSWERED.keys():
            assert wasted.eq(0).all(), "nothing was generated for nothing"
        elif fault in ("reset", "cut", "hang", "not JSON", "torn JSON"):
            assert wasted.isna().all(), "what was generated is not known"
        else:
            assert (wasted > 0).all(), "what was generated is what the usage says"

        failed = (found.samples["status"].isin(["error", "timeout"])).sum()
        endpoint.fault = None
        again = sweep(endpoint, tmp_path, 5, 8).samples
        assert again.drop_duplicates("draw")["asked"].sum() == failed, (
            "only what failed is asked again"
        )
        good = again[~again["key"].str.contains("!")]
        assert len(good) == 40
        assert good["key"].is_unique

    untouched = good if fault not in ("empty text", "truncated") else good[good["faulty"] == 0]
    prompts = {problem.id: problem.messages[-1].content for problem in SUMS}
    for _, row in untouched.iterrows():
        chance = random.Random(seeded(row["key"], 0))
        assert row["text"] == sometimes_right(prompts[row["problem_id"]], chance)


def test_unknown_usage_and_other_names_are_in_their_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(Endpoint(fault="no usage")) as endpoint:
        samples = sweep(endpoint, tmp_path / "usage", 5, 8).samples
    befallen = samples["faulty"] > 0
    assert samples.loc[befallen, "completion_tokens"].isna().all()
    assert (samples.loc[befallen, "counted_by"] == "none").all()
    assert samples.loc[~befallen, "completion_tokens"].eq(4).all()
    with serve(Endpoint(fault="other name")) as endpoint, caplog.at_level(logging.WARNING):
        samples = sweep(endpoint, tmp_path / "name", 5, 8).samples
    befallen = samples["faulty"] > 0
    assert (samples["served_model"] == befallen.map({True: "m-2", False: "m"})).all()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1, "it is said once"
    assert "served_model" in said[0]


@pytest.mark.parametrize("fault", ["429 in one second", "503 in one second"])
def test_retry_after_is_honoured(fault: str, tmp_path: Path) -> None:
    """All four requests are refused at first, and come back no sooner than they were told to."""
    times: list[float] = []

    class Busy(Endpoint):
        def befalls(self, draw: str) -> bool:
            times.append(time.monotonic())
            return self.asked[draw] == 1

    with serve(Busy(fault=fault)) as endpoint:
        samples = sweep(endpoint, tmp_path, 1, 4).samples
    assert samples["attempts"].eq(2).all()
    assert min(times[4:]) - max(times[:4]) > 0.9
    assert samples["status"].eq("ok").all()


def test_an_endpoint_that_dies_and_returns_costs_no_draw(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "QUIET", 0.5)
    endpoint = Endpoint(latency=0.02)
    with running(endpoint) as server:

        def fell() -> None:
            while endpoint.requests < 40:
                time.sleep(0.005)
            server.down()
            time.sleep(1.5)
            server.up()

        falling = threading.Thread(target=fell)
        falling.start()
        samples = sweep(endpoint, tmp_path, 10, 10).samples
        falling.join()
    assert len(samples) == 100
    assert samples["status"].eq("ok").all()
    assert (samples["attempts"] > 1).any()
    said = [r.getMessage() for r in caplog.records if "given no answer" in r.getMessage()]
    assert len(said) == 1


@pytest.mark.usefixtures("quick")
def test_an_endpoint_that_stays_dead_fails_in_bounded_time_and_resumes(tmp_path: Path) -> None:
    endpoint = Endpoint()
    with running(endpoint) as server:

        def fell() -> None:
            while endpoint.requests < 20:
                time.sleep(0.005)
            server.down()

        falling = threading.Thread(target=fell)
        falling.start()
        swept = sweep(endpoint, tmp_path, 10, 10, patience=1.0)
        falling.join()
        assert swept.seconds < 10
        counts = swept.samples["status"].value_counts()
        assert counts["error"] == 100 - counts["ok"] > 0
        assert swept.samples["draw"].is_unique
        server.up()
        asked = endpoint.requests
        again = sweep(endpoint, tmp_path, 10, 10).samples
        assert again.loc[again["status"] == "ok", "draw"].nunique() == 100
        assert endpoint.requests - asked == counts["error"]


@pytest.mark.table
def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for fault in FAULTS:
        with serve(Endpoint(fault=fault)) as endpoint:
            swept = sweep(endpoint, tmp_path / fault.replace(" ", "-"), 25, 20, slots=64)
            lines.append(check(fault, swept, 500))
    with capsys.disabled():
        print("\n" + pd.DataFrame(lines).to_string(index=False))
    assert all(not line["lost"] and not line["doubled"] and line["right"] for line in lines)
