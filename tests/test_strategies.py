"""The contract that every strategy keeps, and what each one does."""

import inspect
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsbench.strategies as package
from tsbench.runner import Tally, drive
from tsbench.strategies import BestOf, Coverage, Forced, Majority, MinimumBayesRisk, Single
from tsbench.strategies.budget import checkpoints
from tsbench.strategies.select import best
from tsbench.strategies.vote import vote
from tsbench.types import Ask, Draw, Judge, Message, Problem, Reply, Strategy, Usage

PROBLEM = Problem("p", "t", "math", (Message("user", "What is 1 + 1?"),), stop=("\n",))
EXAMPLES: list[Strategy] = [
    Single(),
    Majority(5),
    Coverage(5),
    BestOf(5, "logprob"),
    MinimumBayesRisk(5),
    Forced(0),
    Forced(40),
]


def test_every_strategy_of_the_package_is_under_contract() -> None:
    classes = {c for _, c in inspect.getmembers(package, inspect.isclass) if hasattr(c, "run")}
    assert classes == {type(example) for example in EXAMPLES}


def replies_to(
    strategy: Strategy, answer: Callable[[Ask, int], str | None]
) -> tuple[Reply | None, list[tuple[Ask, int]]]:
    steps = drive(strategy.run(PROBLEM), Tally(), Counter())
    asked: list[tuple[Ask, int]] = []
    replies: list[Reply] | None = None
    try:
        wanted = next(steps)
        while True:
            replies = []
            for ask, index in wanted:
                assert isinstance(ask, Draw | Judge)
                said = answer(ask, index)
                score = None if said is None else float(len(said))
                key = f"{len(asked)}"
                asked.append((ask, index))
                used = Usage(1, 0, 3, 0, 1.0)
                replies.append(Reply(key, said or "", said, score=score, usage=used, index=index))
            wanted = steps.send(replies)
    except StopIteration as stop:
        return stop.value, asked


@pytest.mark.parametrize("strategy", EXAMPLES, ids=repr)
class TestContract:
    def test_is_deterministic_given_the_replies(self, strategy: Strategy) -> None:
        def answer(ask: Ask, index: int) -> str:
            return "ab"[index % 2] * (index % 3 + 1)

        assert replies_to(strategy, answer) == replies_to(strategy, answer)

    def test_survives_replies_without_answers(self, strategy: Strategy) -> None:
        picked, asked = replies_to(strategy, lambda ask, index: None)
        assert asked
        assert picked is None or picked.answer is None

    def test_repr_round_trips(self, strategy: Strategy) -> None:
        assert eval(repr(strategy), vars(package)) == strategy

    def test_equal_asks_are_numbered_apart(self, strategy: Strategy) -> None:
        _, asked = replies_to(strategy, lambda ask, index: "x")
        assert len(set(asked)) == len(asked)

    def test_names_its_budget(self, strategy: Strategy) -> None:
        assert strategy.name
        assert strategy.budget >= 0


def answered(*answers: str | None) -> list[Reply]:
    return [Reply(str(i), answer or "", answer) for i, answer in enumerate(answers)]


def test_a_vote_takes_the_mode_and_ignores_blanks() -> None:
    picked = vote(answered(None, None, None, "b", "a", "a"))
    assert picked is not None
    assert (picked.answer, picked.key) == ("a", "4")
    assert vote(answered(None, None)) is None


@given(st.permutations(["a", "a", "b", "b", "c"]))
def test_a_tie_goes_to_the_first_seen(answers: list[str]) -> None:
    picked = vote(answered(*answers))
    assert picked is not None
    assert picked.answer == next(a for a in answers if a in "ab")


def test_best_ranks_a_missing_score_below_every_other() -> None:
    replies = answered("a", "b", "c")
    assert best(replies, [None, -9.0, -9.0]) is replies[1]
    assert best(replies, [None, None, None]) is replies[0]
    assert best([], []) is None


def test_best_of_judges_only_what_answered() -> None:
    _, asked = replies_to(BestOf(4, "logprob"), lambda ask, index: "x" if index else None)
    assert sum(isinstance(ask, Judge) for ask, _ in asked) == 3


def test_larger_thinking_budgets_share_the_checkpoints_of_smaller_ones() -> None:
    assert checkpoints(0) == []
    assert checkpoints(8) == [8]
    assert checkpoints(40) == [8, 16, 32, 40]


def test_forced_thinking_spends_its_budget_and_then_forces_the_answer() -> None:
    picked, asked = replies_to(Forced(8), lambda ask, index: "thought")
    draws = [ask for ask, _ in asked if isinstance(ask, Draw)]
    assert [draw.max_tokens for draw in draws] == [8, 5, 2, None]  # each reply used 3 tokens
    assert all("Wait" in draw.prefix for draw in draws[1:3])
    assert draws[-1].prefix.endswith(PROBLEM.force)
    assert [draw.partial for draw in draws] == [True, True, True, False]
    assert picked is not None
    assert picked.key == str(len(asked) - 1)


@pytest.mark.parametrize("k", [0, -1, True, 2.5, "3"])
def test_k_must_be_a_positive_whole_number(k: object) -> None:
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        Majority(k)  # type: ignore[arg-type]


def test_a_negative_thinking_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="thinking_budget must be 0 or more"):
        Forced(-1)
