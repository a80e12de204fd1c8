"""All that is asked waits in one queue: in which order, how much of it is alive, how it ends."""

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tsbench.models.base import UNKNOWN, Request, Response, Served
from tsbench.models.batch import Batch
from tsbench.plan import Plan, queue
from tsbench.runner import Job, Runner
from tsbench.store import Store, read_samples
from tsbench.strategies import (
    AdaptiveVote,
    BestOf,
    Coverage,
    Forced,
    Majority,
    Revise,
    Single,
)
from tsbench.tasks.math import Arithmetic
from tsbench.types import Item, Judge, Outcome, Problem, Strategy, Usage, VerifierCall

TASK = Arithmetic(n_items=400, max_tokens=20)
ITEMS = TASK.items(0, None)
SLOTS = 8


@dataclass
class Model:
    """Answers after a turn of the loop, and notes what it was asked."""

    slots: int = SLOTS
    wasted: Usage = Usage()  # noqa: RUF009
    attempts: int = 1
    seconds: float = 0.0
    asked: list[Request] = field(default_factory=list)
    tasks: int = 0
    on_ask: Callable[[], None] = lambda: None
    served = Served("at", "m", None)
    top_logprobs = 0

    def sampling(self) -> dict[str, Any]:
        return {"api": "chat"}

    async def complete(self, request: Request) -> Response:
        self.asked.append(request)
        self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        self.on_ask()
        await asyncio.sleep(self.seconds)
        return Response(
            "The answer is 7.",
            "ok",
            finish="stop",
            usage=Usage(30, 0, 5, 0),
            counted_by="server",
            attempts=self.attempts,
            wasted=self.wasted,
        )


@dataclass(frozen=True)
class Twice:
    """A verifier that asks two calls for each verdict."""

    name: str = "twice"

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        return [VerifierCall(problem.messages, prefix=text) for text in ("a", "b")]

    def score(self, problem: Problem, ask: Judge, verdicts: Sequence[Any]) -> float | None:
        return float(len(verdicts))


def work(
    model: Any, folder: Path, jobs: Sequence[Job], act: Callable[[Runner], None] | None = None
) -> tuple[Runner, list[Job]]:
    done: list[Job] = []

    async def go() -> Runner:
        with Store(folder) as store:
            runner = Runner(model, store, {"twice": Twice()}, run="r", seed=0, slots=model.slots)
            if act is not None:
                act(runner)
            await runner.work(jobs, lambda job, outcomes: done.append(job))
            return runner

    return asyncio.run(go()), done


def jobs(strategy: Strategy, items: Sequence[Item]) -> list[Job]:
    return [Job(TASK, item.problem, strategy) for item in items]


def test_those_with_the_longest_way_to_go_begin_first() -> None:
    strategies: list[Strategy] = [
        Majority(4),
        Revise(3),
        AdaptiveVote(4),
        BestOf(4, "twice"),
        Forced(8),
        Single(),
    ]
    plan: Plan = [(TASK, ITEMS[:2], strategies), (TASK, ITEMS[2:4], strategies[:2])]
    order = [(job.label[0], strategies[job.label[1]].name) for job in queue(plan, 2)]
    long = [(t, name) for t, name in order if name in ("forced", "revise")]
    assert order[: len(long)] == long == [
        *[(0, "forced")] * 2, *[(0, "revise")] * 2, *[(1, "revise")] * 2
    ]  # fmt: skip
    assert [name for _, name in order[6:8]] == ["best-of-n:twice"] * 2
    assert [name for t, name in order[8:12]] == ["maj@k", "single"] * 2, "a problem's together"
    assert order[-2:] == [(0, "adaptive-vote")] * 2, "its draws are those of the vote"
    assert len({job.label for job in queue(plan, 2)}) == len(order) == 16


def test_an_early_stop_without_a_pool_is_long() -> None:
    plan: Plan = [(TASK, ITEMS[:1], [Majority(3), AdaptiveVote(4)])]
    assert [job.label[1] for job in queue(plan, 1)] == [1, 0]


def test_of_the_asks_that_wait_the_longest_chain_s_go_first(tmp_path: Path) -> None:
    model = Model(slots=1, seconds=0.005)
    chain = ITEMS[1].problem.messages
    work(model, tmp_path, [*jobs(Majority(12), ITEMS[:1]), *jobs(Revise(3), ITEMS[1:2])])
    mine = [i for i, each in enumerate(model.asked) if each.messages[: len(chain)] == chain]
    assert len(mine) == 3
    assert max(mine) < 8, "at most one of the votes between two of the chain"


def test_a_bounded_number_is_alive_however_many_are_planned(tmp_path: Path) -> None:
    found = {}
    for n in (50, 400):
        model = Model()
        work(model, tmp_path / str(n), jobs(Coverage(4), ITEMS[:n]))
        assert len(model.asked) == 4 * n
        found[n] = model.tasks
    assert found[400] <= found[50] + SLOTS
    model = Model()
    work(model, tmp_path / "one", jobs(Coverage(1500), ITEMS[:1]))
    assert model.tasks <= found[50] + 2 * SLOTS, "of one problem's draws too"


def test_memory_does_not_grow_with_what_is_asked(tmp_path: Path) -> None:
    peaks = {}
    for draws in (2, 12):
        tracemalloc.start()
        work(Model(), tmp_path / str(draws), jobs(Coverage(draws), ITEMS))
        peaks[draws] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    more = 10 * len(ITEMS)
    assert (peaks[12] - peaks[2]) / more < 800, "bytes a draw: its key and where it is stored"


def test_stored_jobs_are_done_without_a_task_for_each(tmp_path: Path) -> None:
    work(Model(), tmp_path, jobs(Coverage(2), ITEMS))
    model = Model()
    _, done = work(model, tmp_path, jobs(Coverage(2), ITEMS))
    assert model.asked == []
    assert len(done) == len(ITEMS)


def test_equal_draws_reach_the_client_together(tmp_path: Path) -> None:
    sent: list[int] = []

    class Batched(Model):
        def __init__(self) -> None:
            super().__init__()
            self.batch = Batch(4, self.send)

        async def send(self, request: Request, n: int) -> list[Response]:
            sent.append(n)
            await asyncio.sleep(0.001 * (1 + len(sent) % 3))
            return [await Model.complete(self, request) for _ in range(n)]

        async def complete(self, request: Request) -> Response:
            return await self.batch(request)

    mixed = [
        job for item in ITEMS[:20] for s in (Coverage(8), Majority(12)) for job in jobs(s, [item])
    ]
    work(Batched(), tmp_path, mixed)
    assert sum(sent) == 20 * 12
    assert Counter(sent) == {4: 60}, "every request is full"


def test_attempts_and_what_they_wasted_are_recorded_and_spent(tmp_path: Path) -> None:
    spent: list[Usage] = []

    def note(runner: Runner) -> None:
        runner.on_spent = lambda served, request, response: spent.append(response.wasted)

    model = Model(attempts=3, wasted=Usage(30, 0, 2, 0))
    work(model, tmp_path / "known", jobs(BestOf(1, "twice"), ITEMS[:1]), note)
    rows = read_samples(tmp_path / "known").set_index("kind")
    assert rows.loc["draw", ["attempts", "wasted_tokens"]].tolist() == [3, 32]
    assert rows.loc["judge", ["attempts", "wasted_tokens"]].tolist() == [6, 64], "two calls"
    assert spent == [Usage(30, 0, 2, 0)] * 3, "each call by itself"
    work(Model(wasted=UNKNOWN), tmp_path / "unknown", jobs(Single(), ITEMS[:1]))
    assert read_samples(tmp_path / "unknown")["wasted_tokens"].isna().all()


def test_a_stop_awaits_and_stores_what_is_in_flight_and_asks_no_more(tmp_path: Path) -> None:
    model = Model()

    def stop_at(runner: Runner) -> None:
        model.on_ask = lambda: runner.stop() if len(model.asked) == 30 else None

    runner, done = work(model, tmp_path, jobs(Coverage(4), ITEMS), stop_at)
    assert runner.stopped
    assert 30 <= len(model.asked) <= 30 + SLOTS
    assert len(read_samples(tmp_path)) == len(model.asked) == runner.calls
    assert len(done) <= len(model.asked) / 4, "a job that was not asked whole is not done"


def test_a_verdict_that_has_begun_is_ended(tmp_path: Path) -> None:
    model = Model(slots=1)

    def stop_at(runner: Runner) -> None:
        model.on_ask = lambda: runner.stop() if len(model.asked) == 2 else None

    work(model, tmp_path, jobs(BestOf(1, "twice"), ITEMS[:1]), stop_at)
    assert len(model.asked) == 3, "the draw, and both calls of the verdict"
    judged = read_samples(tmp_path).query("kind == 'judge'")
    assert judged["score"].tolist() == [2.0]


def test_outcomes_come_in_the_order_of_the_problems(tmp_path: Path) -> None:
    async def go() -> list[Outcome]:
        with Store(tmp_path) as store:
            runner = Runner(Model(), store, {}, run="r", seed=0, slots=SLOTS)
            problems = [item.problem for item in ITEMS[:40]]
            return await runner.sweep(TASK, problems, Revise(2), 2)

    outcomes = asyncio.run(go())
    assert [(o.problem_id, o.replicate) for o in outcomes] == [
        (item.problem.id, i) for item in ITEMS[:40] for i in range(2)
    ]


@pytest.mark.parametrize("strategy", [Coverage(6), Revise(3), BestOf(2, "twice")])
def test_keys_do_not_depend_on_how_many_are_alive(tmp_path: Path, strategy: Strategy) -> None:
    found = []
    for slots in (1, 32):
        work(Model(slots=slots), tmp_path / str(slots), jobs(strategy, ITEMS[:5]))
        found.append(sorted(read_samples(tmp_path / str(slots))["key"]))
    assert found[0] == found[1]
