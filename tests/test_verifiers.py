import asyncio
import math
import random
from pathlib import Path

import pytest
from endpoint import Endpoint, serve, sometimes_right

from tsbench.models.openai import OpenAI
from tsbench.runner import Runner
from tsbench.store import Store, read_samples
from tsbench.strategies import BestOf
from tsbench.tasks.math import Arithmetic
from tsbench.types import Message, Problem, Reply, Verifier, VerifierReply
from tsbench.verifiers.logprob import MeanLogprob
from tsbench.verifiers.p_true import PTrue
from tsbench.verifiers.rubric import Rubric

EXAMPLE = Message("user", "What is 2 + 2?")
PROBLEM = Problem("p", "t", "math", (EXAMPLE, Message("assistant", "4"), Message("user", "1 + 1?")))
REPLY = Reply("k", " It is 2. ", answer="2", logprob_mean=-0.25)


def says(text: str, **first: float) -> VerifierReply:
    """A verdict whose first token had these probabilities."""
    return VerifierReply(text, {token: math.log(p) for token, p in first.items()})


def test_the_mean_log_probability_needs_no_call() -> None:
    assert MeanLogprob().request(PROBLEM, REPLY) is None
    assert MeanLogprob().score(PROBLEM, REPLY, None) == -0.25
    assert MeanLogprob().score(PROBLEM, Reply("k", ""), None) is None


@pytest.mark.parametrize("verifier", [PTrue(), Rubric()])
def test_a_judge_sees_the_question_and_the_answer_and_no_example(verifier: Verifier) -> None:
    call = verifier.request(PROBLEM, REPLY)
    assert call is not None
    (message,) = call.messages
    assert message.content.startswith("1 + 1?\nProposed answer: It is 2.\n")
    assert "2 + 2" not in message.content
    assert call.top_logprobs > 1


@pytest.mark.parametrize("verifier", [PTrue(), Rubric()])
def test_a_judge_that_was_not_answered_gives_no_score(verifier: Verifier) -> None:
    assert verifier.score(PROBLEM, REPLY, None) is None
    assert verifier.score(PROBLEM, REPLY, says("I cannot", I=0.9)) is None


def test_p_true_is_a_share_of_both_words_however_they_are_written() -> None:
    verdict = says("x", **{"True": 0.3, " true": 0.1, "FALSE": 0.1, "maybe": 0.5})
    assert PTrue().score(PROBLEM, REPLY, verdict) == pytest.approx(0.8)


def test_a_rubric_is_the_expected_mark_over_nine() -> None:
    verdict = says("9", **{"9": 0.2, " 3": 0.1, "3": 0.1, "Mark": 0.5, "10": 0.1})
    assert Rubric().score(PROBLEM, REPLY, verdict) == pytest.approx((0.2 * 9 + 0.2 * 3) / 0.4 / 9)
    assert Rubric().score(PROBLEM, REPLY, says("0", **{"0": 0.7})) == 0.0
    assert Rubric().score(PROBLEM, REPLY, says("9", **{"9": 0.7})) == 1.0


@pytest.mark.parametrize(
    ("text", "mark"),
    [("Mark: 6", 6), (" 4.5 of 9", 4.5), ("0", 0), ("9/9", 9), ("12", None), ("-3", None)],
)
def test_without_a_digit_first_the_mark_is_read_from_the_text(
    text: str, mark: float | None
) -> None:
    expected = None if mark is None else pytest.approx(mark / 9)
    assert Rubric().score(PROBLEM, REPLY, says(text)) == expected
    assert Rubric().score(PROBLEM, REPLY, says(text, Mark=0.9)) == expected


def test_a_rubric_chooses_in_a_sweep_and_is_paid_for(tmp_path: Path) -> None:
    task = Arithmetic(n_items=10, max_tokens=20)
    problems = [item.problem for item in task.items(0, 200)]
    easy = [p for p in problems if p.stratum == "level1" and " + " in p.messages[-1].content][:2]

    def answer(prompt: str, rng: random.Random) -> str:
        asked, _, proposed = prompt.partition("\nProposed answer: ")
        if not proposed:
            return sometimes_right(asked, rng)
        return "8" if int(proposed.split(".")[0].split()[-1]) % 2 else "1"

    async def sweep(base_url: str) -> None:
        async with OpenAI(base_url, "m", slots=4).connect() as model:
            with Store(tmp_path) as store:
                runner = Runner(model, store, {"rubric": Rubric()}, run="r", seed=0, slots=4)
                await runner.sweep(task, easy, BestOf(6, "rubric"), 1)

    with serve(Endpoint(answer)) as served:
        asyncio.run(sweep(served.base_url))
    samples = read_samples(tmp_path)
    judges = samples[samples["kind"] == "judge"]
    answers = samples.set_index("key")["answer"].loc[judges["of"]].astype(int)
    assert judges["score"].tolist() == [8 / 9 if n % 2 else 1 / 9 for n in answers]
    assert judges["score"].nunique() == 2
    assert judges["completion_tokens"].eq(1).all()
    assert len(judges) == samples["kind"].eq("draw").sum() == 12
