import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from endpoint import Endpoint, serve
from hydra.utils import instantiate
from scripted import configs

from tsbench.cost import Price, Prices
from tsbench.ledger import tables
from tsbench.models.base import Served
from tsbench.models.openai import OpenAI
from tsbench.runner import Runner, joined
from tsbench.store import Store, read_samples
from tsbench.strategies import (
    AdaptiveVote,
    Beam,
    BestOf,
    Effort,
    Majority,
    Prompted,
    Revise,
    Single,
    Truncated,
    UniversalSelfConsistency,
)
from tsbench.tasks.math import Arithmetic
from tsbench.types import (
    Draw,
    Item,
    Judge,
    Message,
    Outcome,
    Problem,
    Reply,
    Steps,
    Strategy,
    Verifier,
    VerifierCall,
    VerifierReply,
)
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


@dataclass(frozen=True)
class Failing:
    """A verifier with a fault of its own."""

    name: str = "failing"

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        return ()

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        raise ZeroDivisionError("a fault")


@dataclass(frozen=True)
class Wordy:
    """A verifier that likes long replies, and asks the model for a word on each."""

    name: str = "wordy"

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        return (VerifierCall((Message("user", f"What is 1 + 1? {ask.reply.text}"),)),)

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        return min(1.0, len(ask.reply.text) / 100)


@dataclass(frozen=True)
class Longer(Wordy):
    """A verifier that likes the longer of two replies, and asks in both orders."""

    name: str = "longer"
    pairs: ClassVar[bool] = True

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        assert ask.against is not None
        return [
            VerifierCall((Message("user", f"What is 1 + 1? {reply.text}"),))
            for reply in (ask.reply, ask.against)
        ]

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        assert ask.against is not None
        assert len(verdicts) == 2
        return float(len(ask.reply.text) > len(ask.against.text))


VERIFIERS: dict[str, Verifier] = {
    "logprob": MeanLogprob(),
    "p_true": Wordy(),
    "failing": Failing(),
    "pairwise": Longer(),
}


def run(
    endpoint: Endpoint,
    folder: Path,
    *strategies: Strategy,
    replicates: int = 1,
    api: Literal["chat", "completions"] = "chat",
) -> tuple[list[list[Outcome]], int]:
    async def go() -> tuple[list[list[Outcome]], int]:
        model = OpenAI(endpoint.base_url, "m", api, slots=8)
        async with model.connect() as connected:
            with Store(folder) as store:
                runner = Runner(connected, store, VERIFIERS, run="r", seed=0, slots=8)
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


def never_starts(problem: Problem) -> Steps:
    return None
    yield


def returns_a_stranger(problem: Problem) -> Steps:
    yield [Draw()]
    return Reply("stranger", "")


def returns_a_step(problem: Problem) -> Steps:
    (step,) = yield [Draw(max_tokens=3, partial=True)]
    return step


def returns_a_verdict(problem: Problem) -> Steps:
    (reply,) = yield [Draw()]
    (verdict,) = yield [Judge(reply, "logprob")]
    return verdict


def asks_an_unknown_verifier(problem: Problem) -> Steps:
    (reply,) = yield [Draw()]
    yield [Judge(reply, "nobody")]
    return reply


def raises(problem: Problem) -> Steps:
    yield [Draw()]
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (asks_nothing, "yielded no ask"),
        (never_starts, "asked nothing"),
        (returns_a_stranger, "a reply that it was not given"),
        (returns_a_step, "a reply that it was not given"),
        (returns_a_verdict, "a reply that it was not given"),
        (
            asks_an_unknown_verifier,
            "no verifier is named 'nobody'; there are: logprob, p_true, failing",
        ),
        (BestOf(2, "failing").run, "verifier: ZeroDivisionError: a fault"),
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


def key_of_old(problem: Problem, **changes: object) -> str:
    """Return the key of a draw as it was before draws had turns, efforts and other treatments."""
    params = {
        **{"api": "chat", "temperature": 0.8, "top_p": 1.0, "prefix": "", "max_tokens": 20},
        **{"stop": ["\n"], "seed": 0},
        **changes,
    }
    messages = [[m.role, m.content] for m in problem.messages]
    whole = ["at", "m", problem.task, problem.id, messages, params, 0]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


def test_a_plain_and_a_forced_draw_keep_their_keys() -> None:
    class Fixed:
        served = Served("at", "m", None)

        def sampling(self) -> dict[str, object]:
            return {"api": "chat", "temperature": 0.8, "top_p": 1.0}

    problem = PROBLEMS[0]
    runner = Runner(Fixed(), None, {}, run="r", seed=0, slots=1)  # type: ignore[arg-type]

    def key(draw: Draw) -> str:
        return runner._key(problem, runner._params(problem, draw), 0, runner.model.served)

    plain = key_of_old(problem)
    assert key(Draw()) == plain
    stops = (problem.force.strip(), *problem.stop)
    step = Draw("So", 8, stops, "forced", partial=True)
    assert key(step) == key_of_old(problem, prefix="So", max_tokens=8, stop=list(stops))
    answer = Draw("So", thinking_kind="forced", thinking_budget=8)
    assert key(answer) == key_of_old(problem, prefix="So")
    others = [
        Draw(turns=(Message("user", "Again."),)),
        Draw(turns=(Message("assistant", "2"), Message("user", "Again."))),
        Draw(effort="low"),
        Draw(effort="high"),
        Draw(thinking_kind="truncated"),
        Draw(partial=True),
    ]
    assert len({plain, *map(key, others)}) == len(others) + 1


def test_turns_follow_the_problem_and_equal_roles_are_joined() -> None:
    asked = (Message("system", "Be brief."), Message("user", "1 + 1?"))
    more = Message("user", "Think first.")
    assert joined(asked, ()) == asked
    assert joined(asked, (more,)) == (asked[0], Message("user", "1 + 1?\n\nThink first."))
    revision = (Message("assistant", "2"), more)
    assert joined(asked, revision) == asked + revision


def test_a_revision_shows_the_endpoint_the_reply_before(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda prompt, rng: f"The answer is {rng.randint(0, 9)}."
    found, _ = run(endpoint, tmp_path, Revise(2))
    bodies = [json.loads(body) for body in endpoint.asked]
    revised = [
        body["messages"] for body in bodies if body["messages"][-1]["content"].startswith("Check")
    ]
    assert len(revised) == len(PROBLEMS)
    assert {messages[-2]["role"] for messages in revised} == {"assistant"}
    assert all(messages[-2]["content"].startswith("The answer is") for messages in revised)
    assert {outcome.asks for outcome in found[0]} == {2}


def test_early_stopping_over_a_drawn_pool_asks_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    run(endpoint, tmp_path, Majority(8))
    found, calls = run(endpoint, tmp_path, AdaptiveVote(8), UniversalSelfConsistency(8))
    assert calls == len(PROBLEMS), "the choices alone"
    assert all(outcome.asks <= 8 for outcome in found[0])


class Endless(Endpoint):
    """Thinks until it is cut, and answers when it is made to."""

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, payload = super().reply(path, body)
        if not body["prompt"].endswith("The answer is"):
            payload["choices"][0]["finish_reason"] = "length"
        return status, payload


def words(prompt: str, rng: random.Random) -> str:
    return " 7." if prompt.endswith("answer is") else f" {rng.randint(0, 99)}" * 8


def test_truncated_budgets_share_their_chain(tmp_path: Path) -> None:
    with serve(Endless(words)) as endpoint:
        _, calls = run(endpoint, tmp_path, Truncated(16), api="completions")
        assert calls == 3 * len(PROBLEMS)
        found, calls = run(endpoint, tmp_path, Truncated(32), api="completions")
        assert calls == 2 * len(PROBLEMS), "one piece more, and the answer"
    assert all(outcome.asks == 4 for outcome in found[0])
    samples = read_samples(tmp_path)
    assert set(samples["thinking_kind"]) == {"truncated"}
    budgets = samples[~samples["partial"]].groupby("problem_id")["thinking_budget"]
    assert budgets.apply(sorted).tolist() == [[16, 32]] * 4


def test_a_step_never_stands_in_for_an_answer(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda prompt, rng: "The answer is 7."
    same = Beam(1, 1, 1, "logprob", tokens=20, separator="\n")
    found, _ = run(endpoint, tmp_path, same, Single(), api="completions")
    assert {outcome.reply and outcome.reply.answer for outcome in found[1]} == {"7"}
    assert {outcome.reply and outcome.reply.answer for outcome in found[0]} == {"7"}
    samples = read_samples(tmp_path)
    assert samples[samples["partial"]]["answer"].isna().all()


def test_every_strategy_of_the_package_is_measured_at_what_it_spent(tmp_path: Path) -> None:
    small = {"k": 3, "steps": 2, "chains": 2, "width": 2, "branching": 2, "verifier": "p_true"}
    strategies: list[Strategy] = [
        instantiate(config, **{key: value for key, value in small.items() if key in config})
        for config in configs().values()
    ]
    with serve(Endpoint(lambda prompt, rng: f"The answer is {rng.randint(1, 2)}.")) as endpoint:
        found, calls = run(endpoint, tmp_path, *strategies, api="completions")
        _, again = run(endpoint, tmp_path, *strategies, api="completions")
    assert (calls > 0, again) == (True, 0), "what is stored is not asked again"
    samples = read_samples(tmp_path).assign(correct=0.0)
    ran = list(zip(strategies, found, strict=True))
    for name, table in tables(samples, ran, Prices(Price(1e6, 1.0, 1.0))).items():
        assert set(table["problem_id"]) == {problem.id for problem in PROBLEMS}, name
        assert set(table["status"]) == {"ok"}, name
        for column in ("tokens", "prompt_tokens", "flops", "dollars", "seconds"):
            assert (table[column] > 0).all(), (name, column)
    for outcome in (each for several in found for each in several):
        assert sum(outcome.judges.values(), outcome.draws).completion_tokens == 4 * outcome.asks, (
            "each says 4"
        )


def test_treatments_of_thinking_are_recorded(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda prompt, rng: "The answer is 7."
    run(endpoint, tmp_path, Single(), Prompted(8), Effort("low"), Effort("high"))
    samples = read_samples(tmp_path)
    assert samples["thinking_kind"].value_counts().to_dict() == {
        "none": 4,
        "prompted": 4,
        "effort": 8,
    }
    efforts = samples[samples["thinking_kind"] == "effort"]["params"].map(json.loads)
    assert sorted({params["effort"] for params in efforts}) == ["high", "low"]


def test_tokens_of_thought_are_those_of_the_steps_or_what_the_endpoint_counts(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    strategies = (Truncated(8), Prompted(8), Single())
    found, _ = run(endpoint, tmp_path, *strategies, api="completions")
    samples = read_samples(tmp_path)
    steps = samples[samples["partial"]].set_index("problem_id")["completion_tokens"]
    truncated, prompted, single = ({o.problem_id: o.thoughts for o in ran} for ran in found)
    assert truncated == steps.to_dict()
    worded = samples[samples["thinking_kind"] == "prompted"].set_index("problem_id")
    assert prompted == worded["completion_tokens"].to_dict()
    assert set(single.values()) == {0}
    found, _ = run(endpoint, tmp_path, Effort("low"))
    assert {outcome.thoughts for outcome in found[0]} == {None}, "this endpoint counts none"


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
