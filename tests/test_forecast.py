"""A dry run asks nothing, and what it says is what a sweep then asks."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoint import Endpoint, serve
from hydra.utils import instantiate
from hypothesis import given, settings
from scripted import PROBLEM, configs, play
from test_cli import own, sums
from test_strategies import MOVES, counted, script

from tsbench.asks import Asks
from tsbench.cli import main
from tsbench.cost import Price
from tsbench.forecast import Line, Load, Pilot, forecast, walk
from tsbench.models.base import Identity, Served
from tsbench.runner import Job
from tsbench.store import read_samples
from tsbench.strategies import Majority
from tsbench.types import Draw, Problem, Verifier
from tsbench.verifiers.logprob import MeanLogprob

__all__ = ["sums"]

EXAMPLE = Path(__file__).parents[1] / "runs" / "example"
SERVED = Served("at", "m", None)
ANY: dict[str, Verifier] = dict.fromkeys(("logprob", "p_true", "pairwise"), MeanLogprob())
ASKS = Asks(Identity(SERVED, {"api": "chat"}), ANY, {}, seed=0)

Said = Callable[..., str]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint()) as served:
        yield served


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Said:
    """Run a command as a user would, and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["tsbench", *words])
        main()
        return capsys.readouterr().out

    return call


def cells(said: str) -> dict[str, tuple[int, ...]]:
    """Return asks, stored, shared and to ask of every line of a dry run's table."""
    found = {}
    for line in said[: said.index("Nothing was asked.")].splitlines()[1:]:
        words = line.replace("at most ", "").split()
        at = next((i for i, word in enumerate(words) if word.replace(",", "").isdigit()), 0)
        if at and len(words) > at + 4:
            numbers = (int(word.replace(",", "")) for word in words[at : at + 4])
            found[" ".join(words[:at])] = tuple(numbers)
    return found


def several(endpoint: Endpoint, path: Path) -> list[str]:
    words = [word for word in own(endpoint, path) if not word.startswith("strategy")]
    each = ("Coverage, k: 4", "Majority, k: 6", "Revise, steps: 3", "AdaptiveVote, k: 6")
    listed = ", ".join(f"{{_target_: tsbench.strategies.{one}}}" for one in each)
    return [*words, "strategy=suite", f"strategy.math=[{listed}]", "replicates=1"]


def test_a_dry_run_needs_no_endpoint_and_leaves_nothing(
    said: Said, sums: Path, tmp_path: Path
) -> None:
    with serve(Endpoint()) as silent:
        pass
    table = said(*own(silent, sums), "dry_run=true")
    assert cells(table)["all"] == (48, 0, 0, 48)
    assert "Nothing was asked." in table
    assert "tokens are bounds" in table
    assert "Unknown dollars: no known price of m." in table
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_what_a_sweep_then_asks(
    said: Said, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    endpoint.answer = lambda prompt, rng: f"The answer is {7 + (rng.random() < 0.1)}."
    words = several(endpoint, sums)
    table = said(*words, "dry_run=true")
    assert cells(table) == {
        "jsonl · revise@3": (36, 0, 0, 36),
        "jsonl · pass@k": (48, 0, 12, 36),
        "jsonl · maj@k": (72, 0, 48, 24),
        "jsonl · adaptive-vote": (72, 0, 72, 0),
        "all": (228, 0, 132, 96),
    }
    assert endpoint.requests == 0
    said(*words)
    assert endpoint.requests == len(read_samples(tmp_path / "run")) == 96
    asks, stored, shared, to_ask = cells(said(*words, "dry_run=true"))["all"]
    assert asks == stored < 228, "an early stop is known now"
    assert (shared, to_ask) == (0, 0)


def test_a_pilot_gives_an_interval_that_holds(
    said: Said, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    endpoint.answer = lambda prompt, rng: "so " * rng.randint(0, 9) + "the answer is 7."
    priced = ["model.dollars_in=1", "model.dollars_out=2", "model.params=1e6"]
    words = [*own(endpoint, sums), *priced]
    assert "at most" in said(*words, "dry_run=true")
    said(*words, "limit=5")
    table = said(*words, "dry_run=true")
    assert cells(table)["all"] == (48, 20, 0, 28)
    assert "at most" not in table
    before = read_samples(tmp_path / "run")
    said(*words)
    after = read_samples(tmp_path / "run")
    new = after[~after["key"].isin(before["key"])]
    tokens = (new["prompt_tokens"] + new["completion_tokens"]).sum()
    line = next(line for line in table.splitlines() if line.strip().startswith("all"))
    found = re.search(r"([\d,]+) \(([\d,]+) to ([\d,]+)\)", line)
    assert found is not None
    mean, low, high = (float(group.replace(",", "")) for group in found.groups())
    assert low <= tokens <= high
    assert low < mean < high


def test_a_recorded_store_is_recognized_key_by_key(said: Said, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "samples", tmp_path / "again" / "samples")
    found = cells(said("sweep", "run=again", "dry_run=true"))
    assert found["all"] == (10_787, 10_787, 0, 0)
    assert len(found) == 15


@pytest.mark.parametrize("config", configs().values(), ids=list(configs()))
class TestBound:
    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_no_strategy_asks_more_than_is_said(self, config: Any, moves: list[Any]) -> None:
        strategy = instantiate(config)
        job = Job(None, PROBLEM, strategy, label=(0, 0, 0))  # type: ignore[arg-type]
        prices, slots = {SERVED: Price(None, None, None)}, {SERVED: 1}
        (line,) = forecast([job], lambda job: "one", ASKS, {}, prices, slots).lines
        made = len(play(strategy, counted(script(moves))).asked)
        assert made == line.asks if line.exact else made <= line.asks


def test_a_walk_numbers_asks_as_the_runner_does() -> None:
    (job,) = [Job(None, PROBLEM, Majority(2))]  # type: ignore[list-item]
    found = walk(job, ASKS, {}, "cut")
    assert [each.ask for each in found.planned] == [Draw(), Draw()]
    assert len({each.key for each in found.planned}) == 2
    assert (found.known, found.rounds, found.widest) == (False, 1, 2)


def load(problems: int, draws: int) -> Load:
    made = Load()
    for i in range(problems):
        problem = Problem(f"new{i}", "t", "math", ())
        for _ in range(draws):
            made.add(problem, Draw(), SERVED, {"tokens": 500.0})
    return made


def test_intervals_of_a_pilot_hold_for_new_problems() -> None:
    rng, held, draws, problems = np.random.default_rng(0), 0, 4, 30
    for _ in range(400):
        ease = rng.lognormal(4, 0.5, problems + 10)
        pilot = [row(f"p{i}", rng.poisson(ease[i])) for i in range(10) for _ in range(draws)]
        truth = sum(rng.poisson(ease[10 + i]) for i in range(problems) for _ in range(draws))
        found = Pilot.of(pilot, "m", {"at": Price(None, None, None)})
        estimate = found.estimate(load(problems, draws), "tokens")
        held += estimate.low <= truth <= estimate.high
    assert 0.88 < held / 400 < 0.99


def row(problem: str, tokens: int) -> dict[str, Any]:
    return {
        **{"task": "t", "problem_id": problem, "model": "m", "endpoint": "at", "kind": "draw"},
        **{"status": "ok", "partial": False, "thinking_kind": "none", "seconds": 1.0},
        **{"params": '{"max_tokens": 256, "prefix": ""}', "verifier": None},
        **{"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": int(tokens)},
    }


def test_without_a_pilot_there_is_a_bound_and_no_more() -> None:
    estimate = Pilot({}).estimate(load(3, 2), "tokens")
    assert estimate.bounded
    assert estimate.high == 3000
    assert np.isnan(Pilot({}).estimate(load(3, 2), "dollars").high)
    assert Pilot({}).estimate(Line("none").load, "tokens") == (0.0, 0.0, 0.0)
