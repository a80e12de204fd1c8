import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta
from scripted import Said, in_turn, play

from tsbench.strategies import AdaptiveVote, Majority, WeightedVote, WindowVote
from tsbench.strategies.vote import certainty, vote, weighted_vote
from tsbench.types import Ask, Judge, Reply


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


@pytest.mark.parametrize("k", [0, -1, True, 2.5, "3"])
def test_k_must_be_a_positive_whole_number(k: object) -> None:
    for made in (Majority, lambda k: WeightedVote(k, "v"), AdaptiveVote, WindowVote):
        with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
            made(k)  # type: ignore[operator]


def test_a_weighted_vote_sums_the_scores_of_equal_answers() -> None:
    replies = answered("a", "b", "a", "b", "c")
    assert weighted_vote(replies, [0.3, 0.5, 0.3, None, 0.1]) is replies[0]
    assert weighted_vote(replies, [0.3, 0.5, 0.1, 0.0, 0.1]) is replies[1]
    assert weighted_vote(replies, [None] * 5) is replies[0]
    assert weighted_vote([], []) is None


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12))
def test_with_equal_scores_a_weighted_vote_is_a_vote(answers: list[str | None]) -> None:
    replies = answered(*answers)
    assert weighted_vote(replies, [1.0] * len(replies)) == vote(replies)


def test_a_negative_score_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs scores of 0 and more, found -0\.5"):
        weighted_vote(answered("a"), [-0.5])


def test_the_weighted_vote_judges_only_what_answered() -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score={"a": 0.4, "b": 0.9}[ask.reply.text])
        return Said("ab"[index == 2], ["a", "a", "b", None][index])

    run = play(WeightedVote(4, "v"), say)
    assert len(run.judges) == 3
    assert run.picked is not None
    assert run.picked.answer == "b", "0.9 against 0.4 + 0.4"


@given(st.integers(0, 12), st.integers(0, 12))
def test_certainty_is_the_tail_of_the_beta_posterior(first: int, second: int) -> None:
    lead, behind = max(first, second), min(first, second)
    replies = answered(*["a"] * first, *["b"] * second, None)
    assert certainty(replies) == pytest.approx(beta.sf(0.5, lead + 1, behind + 1))


def test_the_adaptive_vote_stops_once_its_leader_is_safe() -> None:
    run = play(AdaptiveVote(32), in_turn("a"))
    assert len(run.batches) == 4, "Beta(5, 1) has 1/32 of its mass below 1/2, Beta(4, 1) has 1/16"
    assert run.picked is not None
    assert run.picked.answer == "a"
    assert len(play(AdaptiveVote(32, batch=3), in_turn("a")).draws) == 6
    assert len(play(AdaptiveVote(8), in_turn("a", "b")).draws) == 8
    assert len(play(AdaptiveVote(8), in_turn(None)).draws) == 8, "no votes, no certainty"


@pytest.mark.parametrize("confidence", [0.4, 1.0])
def test_a_confidence_that_no_posterior_can_cross_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must be in \[0.5, 1\)"):
        AdaptiveVote(4, confidence=confidence)


def test_the_window_vote_stops_when_a_window_agrees_and_counts_every_reply() -> None:
    run = play(WindowVote(30, window=3), in_turn("a", "b", "b", "c", "c", "c"))
    assert [len(batch) for batch in run.batches] == [3, 3]
    assert run.picked is not None
    assert run.picked.answer == "c"
    assert len(play(WindowVote(7, window=3), in_turn("a", "b")).draws) == 7
    assert len(play(WindowVote(7, window=3), in_turn(None)).draws) == 7, "blanks do not agree"
