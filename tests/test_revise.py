import pytest
from scripted import Said, in_turn, play

from tsbench.strategies import Grid, Revise
from tsbench.strategies.revise import INSTRUCTION
from tsbench.types import Ask, Judge, Message


def test_each_step_shows_the_reply_before_and_nothing_older() -> None:
    run = play(Revise(3), in_turn("one", "two", "three"))
    assert [draw.turns for draw in run.draws] == [
        (),
        (Message("assistant", "one"), Message("user", INSTRUCTION)),
        (Message("assistant", "two"), Message("user", INSTRUCTION)),
    ]
    assert run.picked is run.replies[-1]


@pytest.mark.parametrize(("select", "key"), [("last", "3"), ("vote", "1"), ("v", "2")])
def test_the_chain_is_selected_from(select: str, key: str) -> None:
    say = in_turn("a", "b", "c", "b")

    def judged(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=float(ask.reply.answer == "c"))
        return say(ask, index)

    run = play(Revise(4, select), judged)
    assert run.picked is not None
    assert run.picked.key == key
    assert len(run.judges) == (4 if select == "v" else 0)


def test_a_grid_revises_all_chains_side_by_side() -> None:
    run = play(Grid(3, 2), in_turn("a", "b", "c", "d", "d", "e"))
    assert [len(batch) for batch in run.batches] == [3, 3]
    assert [draw.turns[0].content for draw in run.draws[3:]] == ["a", "b", "c"]
    assert run.picked is run.replies[3]


def test_a_grid_by_a_verifier_judges_every_reply_that_answered() -> None:
    run = play(Grid(2, 2, "v"), in_turn("a", None, "b", "c"))
    assert [judge.reply.answer for judge in run.judges] == ["a", "b", "c"]


def test_names_tell_what_selects() -> None:
    assert [s.name for s in (Revise(2), Revise(2, "vote"), Grid(2, 2), Grid(2, 2, "v"))] == [
        "revise",
        "revise:vote",
        "revise-grid",
        "revise-grid:v",
    ]
    assert [s.verifier for s in (Revise(2), Revise(2, "v"), Grid(2, 2), Grid(2, 2, "v"))] == [
        None,
        "v",
        None,
        "v",
    ]
    assert Grid(3, 4).budget == 12


def test_a_grid_has_no_last_reply() -> None:
    with pytest.raises(ValueError, match="select must be vote or a verifier"):
        Grid(2, 2, "last")
    with pytest.raises(ValueError, match="chains must be a whole number"):
        Grid(0, 2)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        Revise(0)
