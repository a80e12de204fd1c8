from scripted import Said, Say, play

from tsbench.strategies import BestOf, Tournament
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


def prefers(*order: str) -> Say:
    """Give the answers in turn; a judge prefers what stands earlier in `order`."""
    seen = iter(range(100))

    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            assert ask.against is not None
            ranks = [order.index(str(reply.answer)) for reply in (ask.reply, ask.against)]
            return Said(score=float(ranks[0] < ranks[1]))
        answer = sorted(order)[next(seen) % len(order)]
        return Said(answer, answer)

    return say


def test_a_tournament_knocks_out_in_pairs_until_one_is_left() -> None:
    run = play(Tournament(5, "v"), prefers("d", "e", "c", "b", "a"))
    assert run.picked is not None
    assert run.picked.answer == "d"
    assert [len(batch) for batch in run.batches] == [5, 2, 1, 1]


def test_equal_answers_enter_a_tournament_once() -> None:
    run = play(Tournament(8, "v"), prefers("b", "a"))
    assert len(run.judges) == 1
    assert run.picked is not None
    assert run.picked == run.replies[1], "the first reply with the answer"


def test_a_pair_without_a_score_goes_to_its_first() -> None:
    seen = iter("abc")

    def say(ask: Ask, index: int) -> Said:
        return Said() if isinstance(ask, Judge) else Said("", next(seen))

    run = play(Tournament(3, "v"), say)
    assert run.picked is not None
    assert run.picked.answer == "a"
