import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from endpoint import Endpoint, serve

from tsbench.models.openai import OpenAI
from tsbench.runner import Runner
from tsbench.store import Store, read_samples
from tsbench.strategies import BestOf, Majority, Single
from tsbench.tasks.math import Arithmetic
from tsbench.types import Draw, Item, Outcome, Problem, Reply, Steps, Strategy
from tsbench.verifiers.logprob import MeanLogprob

TASK = Arithmetic(n_items=10, max_tokens=20)
SUMS: list[Item] = [
    item
    for item in TASK.items(0, 200)
    if " + " in item.problem.messages[-1].content and item.problem.stratum == "level1"
][:4]
PROBLEMS = [item.problem for item in SUMS]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint()) as served:
        yield served


def run(
    endpoint: Endpoint, folder: Path, *strategies: Strategy, replicates: int = 1
) -> tuple[list[list[Outcome]], int]:
    async def go() -> tuple[list[list[Outcome]], int]:
        model = OpenAI(endpoint.base_url, "m", slots=8)
        async with model.connect() as connected:
            with Store(folder) as store:
                runner = Runner(
                    connected, store, {"logprob": MeanLogprob()}, run="r", seed=0, slots=8
                )
                found = [
                    await runner.sweep(TASK, PROBLEMS, strategy, replicates)
                    for strategy in strategies
                ]
                return found, runner.calls

    return asyncio.run(go())


def test_draws_are_distinct_samples_and_shared_by_strategies(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    _, calls = run(endpoint, tmp_path, Majority(6), BestOf(6, "logprob"), Single())
    assert calls == endpoint.requests == 6 * len(PROBLEMS)
    assert max(endpoint.asked.values()) == 1, "no request was sent twice"
    samples = read_samples(tmp_path)
    assert samples["key"].is_unique
    draws = samples[samples["kind"] == "draw"]
    assert draws.groupby("problem_id")["index"].apply(sorted).tolist() == [list(range(6))] * 4


def test_a_second_run_asks_nothing_and_picks_the_same(endpoint: Endpoint, tmp_path: Path) -> None:
    first, _ = run(endpoint, tmp_path, Majority(6))
    again, calls = run(endpoint, tmp_path, Majority(6))
    assert calls == 0
    assert [o.reply and o.reply.key for o in first[0]] == [
        o.reply and o.reply.key for o in again[0]
    ]


def test_a_larger_k_asks_only_the_difference(endpoint: Endpoint, tmp_path: Path) -> None:
    run(endpoint, tmp_path, Majority(4))
    _, calls = run(endpoint, tmp_path, Majority(6))
    assert calls == 2 * len(PROBLEMS)


def test_replicates_of_one_strategy_never_share_a_draw(endpoint: Endpoint, tmp_path: Path) -> None:
    found, calls = run(endpoint, tmp_path, Single(), replicates=3)
    assert calls == 3 * len(PROBLEMS)
    keys = [outcome.reply.key for outcome in found[0] if outcome.reply]
    assert len(set(keys)) == len(keys) == 12


def test_a_failed_call_is_recorded_and_asked_again(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.fails = 3
    found, _ = run(endpoint, tmp_path, Single())
    statuses = sorted(outcome.status for outcome in found[0])
    assert statuses == ["error", "error", "error", "ok"]
    failed = read_samples(tmp_path).query("status == 'error'")
    assert failed["correct"].isna().all()
    assert failed["reason"].str.contains("refused for the test").all()
    found, calls = run(endpoint, tmp_path, Single())
    assert calls == 3
    assert {outcome.status for outcome in found[0]} == {"ok"}


class Broken:
    name, budget = "broken", 1

    def __init__(self, steps: Callable[[Problem], Steps]) -> None:
        self.run = steps


def asks_nothing(problem: Problem) -> Steps:
    yield []
    return None


def returns_a_stranger(problem: Problem) -> Steps:
    yield [Draw()]
    return Reply("stranger", "")


def raises(problem: Problem) -> Steps:
    yield [Draw()]
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (asks_nothing, "yielded no ask"),
        (returns_a_stranger, "a reply that it was not given"),
        (raises, "out of ideas"),
    ],
)
def test_a_broken_strategy_ends_its_problem_with_a_status(
    endpoint: Endpoint, tmp_path: Path, steps: Callable[[Problem], Steps], reason: str
) -> None:
    found, _ = run(endpoint, tmp_path, Broken(steps), Single())
    assert {outcome.status for outcome in found[0]} == {"error"}
    assert all(reason in (outcome.reason or "") for outcome in found[0])
    assert {outcome.status for outcome in found[1]} == {"ok"}, "the sweep goes on"


def test_spend_counts_every_draw(endpoint: Endpoint, tmp_path: Path) -> None:
    found, _ = run(endpoint, tmp_path, Majority(6))
    samples = read_samples(tmp_path)
    for outcome in found[0]:
        mine = samples[samples["problem_id"] == outcome.problem_id]
        assert outcome.draws.completion_tokens == mine["completion_tokens"].sum()
        assert outcome.draws.seconds == pytest.approx(mine["seconds"].max())
        assert outcome.asks == 6


def test_an_absent_endpoint_is_one_sentence_before_anything_is_asked(tmp_path: Path) -> None:
    silent = Endpoint()
    with serve(silent):
        pass
    with pytest.raises(ValueError, match=r"model.base_url: no endpoint answers at http://127"):
        run(silent, tmp_path, Single())


def test_a_model_that_is_not_served_is_named(endpoint: Endpoint) -> None:
    async def go() -> None:
        async with OpenAI(endpoint.base_url, "other").connect():
            pass

    with pytest.raises(ValueError, match=r"model.name 'other' is not served at .*; it serves m"):
        asyncio.run(go())
