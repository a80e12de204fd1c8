from scripted import Said, play

from tsbench.strategies import BestOf
from tsbench.strategies.base import best
from tsbench.types import Ask, Judge, Reply

REPLIES = [Reply(str(i), answer, answer) for i, answer in enumerate("abc")]


def test_best_ranks_a_missing_score_below_every_other() -> None:
    assert best(REPLIES, [None, -9.0, -9.0]) is REPLIES[1]
    assert best(REPLIES, [None, None, None]) is REPLIES[0]
    assert best([], []) is None


def test_best_of_judges_only_what_answered_and_picks_the_highest() -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=-float(ask.reply.text))
        return Said(str(index), str(index) if index else None)

    run = play(BestOf(4, "v"), say)
    assert len(run.judges) == 3
    assert run.picked is not None
    assert run.picked.answer == "1"
