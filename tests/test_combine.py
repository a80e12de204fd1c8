import pytest
from scripted import Said, Say, in_turn, play

from tsbench.strategies import Fuse, UniversalSelfConsistency
from tsbench.strategies.combine import numbered
from tsbench.types import Ask, Draw

ANSWERS = ("red", None, "blue", "red")


def reader(verdict: str) -> Say:
    drafts = in_turn(*ANSWERS)

    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Draw) and ask.turns:
            return Said(verdict, verdict)
        return drafts(ask, index)

    return say


@pytest.mark.parametrize(
    ("text", "choice"),
    [("2", 2), ("Reply 3.", 3), ("The most is 1, not 2", 1), ("4", None), ("0", None), ("x", None)],
)
def test_the_first_number_is_the_choice(text: str, choice: int | None) -> None:
    assert numbered(text, 3) == choice


def test_the_model_reads_the_drafts_that_gave_an_answer_and_names_one() -> None:
    run = play(UniversalSelfConsistency(4), reader("Reply 2"))
    assert [len(batch) for batch in run.batches] == [4, 1]
    assert run.draws[-1].partial, "naming a reply is no answer"
    (turn,) = run.draws[-1].turns
    shown, question = turn.content.rsplit("\n\n", 1)
    assert shown == "Reply 1: red\n\nReply 2: blue\n\nReply 3: red"
    assert question == UniversalSelfConsistency(4).question
    assert run.picked is run.replies[2]


def test_a_model_that_names_no_reply_picks_none() -> None:
    assert play(UniversalSelfConsistency(4), reader("Reply 7")).picked is None
    assert play(UniversalSelfConsistency(4), reader("hm")).picked is None


def test_a_draft_alone_needs_no_choice() -> None:
    run = play(UniversalSelfConsistency(2), in_turn(None, "red"))
    assert len(run.asked) == 2
    assert run.picked is run.replies[1]


def test_the_fused_reply_is_the_answer() -> None:
    run = play(Fuse(4), reader("red and blue"))
    assert run.picked is run.replies[-1]
    assert run.picked.answer == "red and blue"
    assert not run.draws[-1].partial
    assert play(Fuse(4), in_turn(None)).picked is None
