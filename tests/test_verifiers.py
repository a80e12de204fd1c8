import asyncio
import math
import random
from pathlib import Path

import pytest
from endpoint import Endpoint, serve, sometimes_right

from tsbench.models.openai import OpenAI
from tsbench.models.reward import Classifier
from tsbench.runner import Runner
from tsbench.store import Store, read_samples
from tsbench.strategies import BestOf
from tsbench.tasks.math import Arithmetic
from tsbench.types import Judge, Message, Problem, Reply, Verifier, VerifierReply
from tsbench.verifiers.logprob import MeanLogprob
from tsbench.verifiers.noisy_oracle import NoisyOracle
from tsbench.verifiers.p_true import PTrue
from tsbench.verifiers.pairwise import Pairwise
from tsbench.verifiers.reward import RewardModel
from tsbench.verifiers.rubric import Rubric
from tsbench.verifiers.self_certainty import SelfCertainty
from tsbench.verifiers.self_verify import SelfVerify

EXAMPLE = Message("user", "What is 2 + 2?")
PROBLEM = Problem("p", "t", "math", (EXAMPLE, Message("assistant", "4"), Message("user", "1 + 1?")))
REPLY = Reply("k", " It is 2. ", answer="2", logprob_mean=-0.25, confidence=7.5)
ASK = Judge(REPLY, "v")


def says(text: str, **first: float) -> VerifierReply:
    """A verdict whose first token had these probabilities."""
    return VerifierReply(text, {token: math.log(p) for token, p in first.items()})


def score(verifier: Verifier, *verdicts: VerifierReply, reply: Reply = REPLY) -> float | None:
    return verifier.score(PROBLEM, Judge(reply, verifier.name), verdicts)


@pytest.mark.parametrize(
    ("verifier", "value"), [(MeanLogprob(), -0.25), (SelfCertainty(), 7.5)], ids=["mean", "all"]
)
def test_the_model_s_own_confidence_needs_no_call(verifier: Verifier, value: float) -> None:
    assert not verifier.request(PROBLEM, ASK)
    assert score(verifier) == value
    assert score(verifier, reply=Reply("k", "")) is None


@pytest.mark.parametrize("verifier", [PTrue(), Rubric()])
def test_a_judge_sees_the_question_and_the_answer_and_no_example(verifier: Verifier) -> None:
    (call,) = verifier.request(PROBLEM, ASK)
    (message,) = call.messages
    assert message.content.startswith("1 + 1?\nProposed answer: It is 2.\n")
    assert "2 + 2" not in message.content
    assert call.top_logprobs > 1


@pytest.mark.parametrize("verifier", [PTrue(), Rubric()])
def test_a_judge_that_was_not_answered_gives_no_score(verifier: Verifier) -> None:
    assert score(verifier) is None
    assert score(verifier, says("I cannot", I=0.9)) is None


def test_p_true_is_a_share_of_both_words_however_they_are_written() -> None:
    verdict = says("x", **{"True": 0.3, " true": 0.1, "FALSE": 0.1, "maybe": 0.5})
    assert score(PTrue(), verdict) == pytest.approx(0.8)


def test_a_rubric_is_the_expected_mark_over_nine() -> None:
    verdict = says("9", **{"9": 0.2, " 3": 0.1, "3": 0.1, "Mark": 0.5, "10": 0.1})
    assert score(Rubric(), verdict) == pytest.approx((0.2 * 9 + 0.2 * 3) / 0.4 / 9)
    assert score(Rubric(), says("0", **{"0": 0.7})) == 0.0
    assert score(Rubric(), says("9", **{"9": 0.7})) == 1.0


@pytest.mark.parametrize(
    ("text", "mark"),
    [("Mark: 6", 6), (" 4.5 of 9", 4.5), ("0", 0), ("9/9", 9), ("12", None), ("-3", None)],
)
def test_without_a_digit_first_the_mark_is_read_from_the_text(
    text: str, mark: float | None
) -> None:
    expected = None if mark is None else pytest.approx(mark / 9)
    assert score(Rubric(), says(text)) == expected
    assert score(Rubric(), says(text, Mark=0.9)) == expected


def test_a_check_ends_in_its_last_word_and_the_unreadable_count_for_neither() -> None:
    verdicts = [says(text) for text in ("right? No: wrong", "All is Right.", "RIGHT", "bright")]
    assert score(SelfVerify(samples=4), *verdicts) == pytest.approx(2 / 3)
    assert score(SelfVerify(samples=1), says("who knows")) is None
    assert len(SelfVerify(samples=3).request(PROBLEM, ASK)) == 3
    with pytest.raises(ValueError, match="samples must be at least 1, found 0"):
        SelfVerify(samples=0)


def test_a_pair_is_shown_in_both_orders_so_that_a_liking_for_a_place_cancels() -> None:
    other = Reply("o", "It is 3.", answer="3")
    first, second = Pairwise().request(PROBLEM, Judge(REPLY, "pairwise", other))
    assert "Answer A: It is 2.\nAnswer B: It is 3." in first.messages[0].content
    assert "Answer A: It is 3.\nAnswer B: It is 2." in second.messages[0].content
    likes_a = says("A", A=0.8, B=0.2)
    assert score(Pairwise(), likes_a, likes_a) == pytest.approx(0.5)
    assert score(Pairwise(), says("A", A=0.8, B=0.2), says("B", A=0.4, B=0.6)) == pytest.approx(0.7)
    assert score(Pairwise(), likes_a, says("C", C=0.9)) is None
    with pytest.raises(ValueError, match="compares two replies, and was given one"):
        Pairwise().request(PROBLEM, ASK)


def test_a_noisy_oracle_accepts_at_its_rates_and_always_the_same() -> None:
    oracle = NoisyOracle(true_accept=0.9, false_accept=0.2)

    def accepts(correct: float) -> list[float | None]:
        shown = VerifierReply("", scores=(correct,))
        return [score(oracle, shown, reply=Reply(f"{i}", "")) for i in range(4000)]

    assert sum(map(bool, accepts(1.0))) / 4000 == pytest.approx(0.9, abs=0.02)
    assert sum(map(bool, accepts(0.0))) / 4000 == pytest.approx(0.2, abs=0.02)
    assert accepts(1.0) == accepts(1.0)
    assert score(oracle) is None
    with pytest.raises(ValueError, match="false_accept must be from 0 to 1, found 2"):
        NoisyOracle(false_accept=2)


@pytest.mark.parametrize(
    ("reduce", "value"), [("last", 0.5), ("min", 0.2), ("mean", 0.5), ("product", 0.08)]
)
def test_the_scores_of_steps_are_reduced_to_one(reduce: str, value: float) -> None:
    verifier = RewardModel(Classifier("http://127.0.0.1:1/v1", "m"), reduce)
    assert score(verifier, VerifierReply("", scores=(0.8, 0.2, 0.5))) == pytest.approx(value)
    assert score(verifier, VerifierReply("")) is None
    (call,) = verifier.request(PROBLEM, ASK)
    assert call.messages[-1] == Message("assistant", REPLY.text)


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
