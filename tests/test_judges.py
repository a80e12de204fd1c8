"""Verifiers that another model answers: a judge's chat, and a classifier's scores."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from endpoint import Endpoint, serve

from tsbench.cost import Price, Prices
from tsbench.ledger import tables
from tsbench.models.openai import OpenAI
from tsbench.models.reward import Classifier, read_scores
from tsbench.runner import Runner
from tsbench.store import SCHEMA, Store, read_samples
from tsbench.strategies import BestOf, Composed, Forced, Tournament
from tsbench.tasks.math import Arithmetic
from tsbench.types import Grade, Outcome, Problem, Strategy, Verifier
from tsbench.verifiers.noisy_oracle import NoisyOracle
from tsbench.verifiers.p_true import PTrue
from tsbench.verifiers.pairwise import Pairwise
from tsbench.verifiers.reward import RewardModel
from tsbench.verifiers.self_verify import SelfVerify

TASK = Arithmetic(n_items=10, max_tokens=20)
ITEMS = [
    item
    for item in TASK.items(0, 200)
    if " + " in item.problem.messages[-1].content and item.problem.stratum == "level1"
][:3]
PROBLEMS = [item.problem for item in ITEMS]


class Rewards(Endpoint):
    """A classifier as vLLM serves one: the last turn's last number, small is good."""

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        *_, last = body["messages"]
        assert last["role"] == "assistant"
        good = 1 / (1 + float(last["content"].split()[-1].rstrip(".")))
        usage = {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}
        data = (
            {"index": 0, "label": "good", "probs": [1 - good, good], "num_classes": 2}
            if path.endswith("/classify")
            else {"index": 0, "object": "pooling", "data": [[0.9, 0.1], [1 - good, good]]}
        )
        assert path.count("/v1") == 0
        return 200, {"id": "c", "object": "list", "model": "m", "data": [data], "usage": usage}


def verdicts(prompt: str, rng: random.Random) -> str:
    return "True"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint()) as served:
        yield served


def run(
    endpoint: Endpoint,
    folder: Path,
    verifier: Verifier,
    strategy: Strategy,
    *,
    repeats: int = 1,
    grades: Mapping[str, float] | None = None,
) -> tuple[list[Outcome], pd.DataFrame]:
    async def grade(problem: Problem, text: str) -> Grade:
        assert grades is not None
        return Grade(grades[text.split()[-1].rstrip(".")])

    async def go() -> list[Outcome]:
        async with AsyncExitStack() as stack:
            swept = OpenAI(endpoint.base_url, "m", api="completions", slots=8)
            model = await stack.enter_async_context(swept.connect())
            own = getattr(verifier, "model", None)
            judges = {}
            if own is not None:
                judges[verifier.name] = await stack.enter_async_context(own.connect())
            store = stack.enter_context(Store(folder))
            runner = Runner(
                *(model, store, {verifier.name: verifier}),
                run="r", seed=0, slots=8, judges=judges, grade=grade if grades else None,
            )  # fmt: skip
            return await runner.sweep(TASK, PROBLEMS, strategy, repeats)

    found = asyncio.run(go())
    return found, read_samples(folder)


def outcomes(
    samples: pd.DataFrame, strategy: Strategy, ran: list[Outcome], prices: Prices
) -> dict[str, pd.DataFrame]:
    known: Any = samples.astype(object).where(samples.notna(), None)
    graded = known.assign(correct=[0.0 if kind == "draw" else None for kind in known["kind"]])
    return tables(pd.DataFrame(graded, columns=SCHEMA.names), [(strategy, ran)], prices)


def test_a_judge_on_another_endpoint_is_asked_there_and_priced_as_that(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    with serve(Endpoint(verdicts)) as other:
        judge = PTrue(model=OpenAI(other.base_url, "m", temperature=0.0, slots=2))
        ran, samples = run(endpoint, tmp_path, judge, BestOf(4, "p_true"))
        again, _ = run(endpoint, tmp_path, judge, BestOf(4, "p_true"))
        assert other.requests == 4 * len(PROBLEMS), "each once, and none again"
    assert endpoint.requests == 4 * len(PROBLEMS)
    assert [r.reply for r in again] == [r.reply for r in ran]
    judged = samples[samples["kind"] == "judge"]
    assert set(judged["endpoint"]) == {other.base_url}
    assert set(judged["model"]) == {"m"}
    assert judged["score"].eq(1.0).all()
    assert other.base_url not in judged["params"].iloc[0], "where it runs is no part of a verdict"
    prices = Prices(Price(1.0, 1.0, 1.0), {"p_true": Price(1000.0, 500.0, 500.0)})
    (table,) = outcomes(samples, BestOf(4, "p_true"), ran, prices).values()
    one = table[table["budget"] == 1].iloc[0]
    mine = samples[samples["problem_id"] == one["problem_id"]]
    tokens = mine.groupby("kind")[["prompt_tokens", "completion_tokens"]].mean().sum(axis=1)
    assert one["flops"] == pytest.approx(2 * tokens["draw"] + 2000 * tokens["judge"])
    assert one["dollars"] == pytest.approx((tokens["draw"] + 500 * tokens["judge"]) / 1e6)


@pytest.mark.parametrize("route", ["classify", "pooling"])
def test_a_reward_model_chooses_by_its_own_scores(
    endpoint: Endpoint, tmp_path: Path, route: Any
) -> None:
    with serve(Rewards()) as rewards:
        verifier = RewardModel(Classifier(rewards.base_url, "m", route))
        ran, samples = run(endpoint, tmp_path, verifier, BestOf(6, "reward"))
    judged = samples[samples["kind"] == "judge"].set_index("of")
    numbers = samples.set_index("key")["answer"].loc[judged.index].astype(float)
    assert judged["score"].to_numpy() == pytest.approx(1 / (1 + numbers.to_numpy()))
    assert judged["prompt_tokens"].eq(7).all()
    assert judged["completion_tokens"].eq(0).all()
    for outcome in ran:
        assert outcome.judges["reward"].prompt_tokens == 7 * 6
        mine = samples[(samples["problem_id"] == outcome.problem_id) & (samples["kind"] == "draw")]
        assert outcome.reply is not None
        assert float(str(outcome.reply.answer)) == mine["answer"].astype(float).min()


def test_scores_of_every_shape_are_read() -> None:
    assert read_scores({"probs": [0.2, 0.8]}, -1) == (0.8,)
    assert read_scores({"probs": [0.2, 0.8]}, 0) == (0.2,)
    assert read_scores({"data": [0.3, 0.4]}, -1) == (0.3, 0.4)
    assert read_scores({"data": [[0.3, 0.7], [0.6, 0.4]]}, -1) == (0.7, 0.4)
    with pytest.raises(ValueError, match="no finite score"):
        read_scores({"data": []}, -1)
    with pytest.raises(ValueError, match="no finite score"):
        read_scores({"data": [float("nan")]}, -1)


def test_a_reward_endpoint_that_fails_leaves_a_status_and_is_asked_again(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    with serve(Endpoint()) as broken:  # a chat endpoint answers no scores
        verifier = RewardModel(Classifier(broken.base_url, "m"))
        ran, samples = run(endpoint, tmp_path, verifier, BestOf(2, "reward"))
    judged = samples[samples["kind"] == "judge"]
    assert set(judged["status"]) == {"error"}
    assert judged["score"].isna().all()
    assert {outcome.status for outcome in ran} == {"error"}


def test_every_sampled_check_is_a_call_of_its_own_and_all_are_paid_for(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda prompt, rng: (
        ["It is right", "so wrong"][rng.random() < 0.5] if "Check" in prompt else "It is 7."
    )
    ran, samples = run(endpoint, tmp_path, SelfVerify(samples=8), BestOf(2, "self_verify"))
    judged = samples[samples["kind"] == "judge"]
    assert judged["text"].str.count("\n").eq(7).all()
    assert 0 < judged["score"].mean() < 1
    assert max(endpoint.asked.values()) == 1, "no two checks had one seed"
    seven = judged["completion_tokens"] - 2 * 8
    assert (seven == judged["text"].str.count("It is")).all()
    assert all(outcome.judges["self_verify"].completion_tokens for outcome in ran)


def test_a_tournament_pays_for_both_orders(endpoint: Endpoint, tmp_path: Path) -> None:
    def answer(prompt: str, rng: random.Random) -> str:
        return "A" if "Which answer" in prompt else f"It is {rng.randint(0, 9999)}."

    endpoint.answer = answer
    ran, samples = run(endpoint, tmp_path, Pairwise(), Tournament(4, "pairwise"))
    judged = samples[samples["kind"] == "judge"]
    assert len(judged) == 3 * len(PROBLEMS)
    assert judged["score"].eq(0.5).all(), "a judge that always says A prefers none"
    assert judged["completion_tokens"].eq(2).all()
    assert judged["params"].str.contains('"against": ').all()
    assert all(outcome.judges["pairwise"].completion_tokens == 6 for outcome in ran)


def test_a_noisy_oracle_is_shown_the_grade_and_spends_nothing(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda prompt, rng: f"It is {rng.choice(['7', '8'])}."
    oracle = NoisyOracle(true_accept=1.0, false_accept=0.0)
    grades = {"7": 1.0, "8": 0.0}
    ran, samples = run(endpoint, tmp_path, oracle, BestOf(8, "noisy_oracle"), grades=grades)
    assert {outcome.reply and outcome.reply.answer for outcome in ran} == {"7"}
    judged = samples[samples["kind"] == "judge"]
    assert judged[["prompt_tokens", "completion_tokens"]].eq(0).all(axis=None)
    assert endpoint.requests == 8 * len(PROBLEMS)


def test_without_grades_an_oracle_gives_a_status(endpoint: Endpoint, tmp_path: Path) -> None:
    _, samples = run(endpoint, tmp_path, NoisyOracle(), BestOf(2, "noisy_oracle"))
    judged = samples[samples["kind"] == "judge"]
    assert set(judged["status"]) == {"error"}
    assert judged["reason"].str.contains("needs grades").all()


def test_a_pool_of_chains_is_priced_by_the_whole_of_each(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda prompt, rng: (
        " 7." if prompt.endswith("answer is") else f" {rng.random()}"
    )
    strategy = Composed(4, Forced(16, waits=0), "p_true")
    ran, samples = run(endpoint, tmp_path, PTrue(), strategy.unit, repeats=4)
    prices = Prices(Price(1e6, 1.0, 1.0))
    found = outcomes(samples, strategy, ran, prices)
    assert list(found) == ["best-of-n:p_true (forced 16)"]
    (table,) = found.values()
    assert sorted(set(table["budget"])) == [1, 2, 3, 4]
    whole = table[table["budget"] == 4].set_index("problem_id")
    spent = samples.groupby("problem_id")[["prompt_tokens", "completion_tokens"]].sum()
    assert whole["tokens"].to_dict() == spent["completion_tokens"].to_dict()
    assert whole["prompt_tokens"].to_dict() == spent["prompt_tokens"].to_dict()
    thoughts = samples[samples["partial"]].groupby("problem_id")["completion_tokens"].sum()
    assert whole["thinking_tokens"].to_dict() == thoughts.to_dict()
    assert whole["thinking_budget"].eq(16).all()

    votes = outcomes(samples, Composed(4, Forced(16, waits=0)), ran, prices)
    assert list(votes) == ["pass@k (forced 16)", "maj@k (forced 16)"]
