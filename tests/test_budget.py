import pytest
from scripted import PROBLEM, Said, Say, play

from tsbench.strategies import Effort, Forced, Prompted, Truncated
from tsbench.strategies.budget import checkpoints
from tsbench.types import Ask, Draw, Message


def short(ask: Ask, index: int) -> Said:
    """Stop thinking after three tokens, every time."""
    return Said("thought", "2")


def chain(length: int) -> Say:
    """Think in words of a token each; the chain ends by itself after `length` of them."""

    def say(ask: Ask, index: int) -> Said:
        assert isinstance(ask, Draw)
        if not ask.partial:
            return Said(" 2", "2")
        had = len(ask.prefix.split())
        more = min(ask.max_tokens or 0, length - had)
        words = "".join(f"{i} " for i in range(had, had + more))
        return Said(words, finish="stop" if had + more == length else "length", tokens=more)

    return say


def test_larger_thinking_budgets_share_the_checkpoints_of_smaller_ones() -> None:
    assert checkpoints(0) == []
    assert checkpoints(8) == [8]
    assert checkpoints(40) == [8, 16, 32, 40]


def test_forced_thinking_spends_its_budget_and_then_forces_the_answer() -> None:
    run = play(Forced(8), short)
    assert [draw.max_tokens for draw in run.draws] == [8, 5, 2, None]  # each reply used 3 tokens
    assert all("Wait" in draw.prefix for draw in run.draws[1:3])
    assert run.draws[-1].prefix.endswith(PROBLEM.force)
    assert [draw.partial for draw in run.draws] == [True, True, True, False]
    assert run.picked is run.replies[-1]


def test_truncated_budgets_cut_one_chain() -> None:
    asked = {budget: play(Truncated(budget), chain(100)).draws for budget in (0, 8, 16, 64)}
    assert [len(draws) for draws in asked.values()] == [1, 2, 3, 5]
    for smaller, larger in ((8, 16), (16, 64)):
        assert asked[larger][: len(asked[smaller]) - 1] == asked[smaller][:-1], "one chain"
    for budget, draws in asked.items():
        thoughts = draws[-1].prefix.removesuffix(PROBLEM.force.strip()).split()
        assert thoughts == [str(i) for i in range(budget)]
        assert (draws[-1].thinking_kind, draws[-1].thinking_budget) == ("truncated", budget)


def test_a_chain_that_ended_by_itself_is_not_prolonged() -> None:
    longer = [play(Truncated(budget), chain(20)).draws for budget in (32, 64)]
    assert [len(draws) for draws in longer] == [4, 4], "8, 8, the last 4 and the answer"
    assert longer[0][-1].prefix == longer[1][-1].prefix


@pytest.mark.parametrize("budget", [4, 12, 24, 40])
def test_a_budget_off_the_shared_chain_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match=r"thinking_budget must be 0, 8, 16, 32"):
        Truncated(budget)


def test_a_budget_asked_for_in_words_is_a_turn_and_has_room() -> None:
    run = play(Prompted(50), short)
    (draw,) = run.draws
    said = "Think about this in about 50 tokens first, then give the answer."
    assert draw.turns == (Message("user", said),)
    assert draw.max_tokens == PROBLEM.max_tokens + 100
    assert (draw.thinking_kind, draw.thinking_budget) == ("prompted", 50)
    with pytest.raises(ValueError, match=r"request must have \{budget\} in it"):
        Prompted(50, "Think.")


def test_effort_is_ranked_and_carried_by_the_draw() -> None:
    for budget, effort in enumerate(("low", "medium", "high"), start=1):
        strategy = Effort(effort, max_tokens=99)  # type: ignore[arg-type]
        (draw,) = play(strategy, short).draws
        assert (draw.effort, draw.thinking_kind, draw.max_tokens) == (effort, "effort", 99)
        assert strategy.budget == budget
    with pytest.raises(ValueError, match="effort must be one of low, medium, high"):
        Effort("huge")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Forced, Truncated])
def test_a_negative_thinking_budget_is_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="thinking_budget must be 0 or more"):
        kind(-1)
