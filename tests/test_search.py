import random
from dataclasses import replace

import pytest
from scripted import PROBLEM, Said, Say, in_turn, play

from tsbench.strategies import Beam, DiverseBeam, TreeSearch
from tsbench.strategies.search import Node, wider_or_deeper
from tsbench.types import Ask, Judge, Reply

OPEN = replace(PROBLEM, stop=())


def lettered(letters: str, scores: dict[str, float]) -> Say:
    """Each extension adds the letter of its number; a judge knows the whole text's score."""

    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=scores.get(ask.reply.text, 0.0))
        if not ask.partial:
            return Said("!", ask.prefix + "!")
        return Said(letters[index % len(letters)], finish="length")

    return say


def test_a_beam_keeps_the_best_paths_of_all() -> None:
    scores = {"a": 0.9, "b": 0.1, "c": 0.5, "aa": 0.2, "ab": 0.8, "ca": 0.7}
    run = play(Beam(2, 2, 2, "v"), lettered("abc", scores))
    assert [draw.prefix for draw in run.draws] == [
        *[""] * 4,
        *["a", "a", "a", "a"],
        *["ab", "aa"],
    ], "of a, b, c and a again both a survive; then the two best of their extensions"
    assert run.picked is not None
    assert run.picked.text == "ab!"
    assert len(run.judges) == 8


def test_diverse_subtrees_do_not_compete() -> None:
    scores = {"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.2, "aa": 0.3, "ac": 0.1, "da": 0.5}
    run = play(DiverseBeam(2, 2, 2, "v"), lettered("abcd", scores))
    assert [draw.prefix for draw in run.draws] == [*[""] * 4, *["a", "a", "d", "d"], "da", "aa"]
    assert run.picked is not None
    assert run.picked.text == "da!", "the best subtree at the end"


def test_steps_end_at_the_separator_and_a_path_where_nothing_is_added() -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=0.5)
        if not ask.partial:
            return Said("", ask.prefix)
        return Said("" if ask.prefix.count("\n\n") == 2 else "line")

    run = play(Beam(1, 2, 9, "v"), say, OPEN)
    steps = [draw for draw in run.draws if draw.partial]
    assert {draw.stop for draw in steps} == {("\n\n",)}
    assert [draw.prefix for draw in steps[::2]] == ["", "line\n\n", "line\n\nline\n\n"]
    assert len(run.judges) == 4, "nothing was added, so nothing is judged"
    assert run.picked is not None
    assert run.picked.text == "line\n\nline\n\n"


@pytest.mark.parametrize("kind", [Beam, DiverseBeam])
def test_a_path_that_ended_keeps_its_place_and_asks_no_more(kind: type[Beam]) -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=0.9 if ask.reply.text.startswith("a") else 0.5)
        if not ask.partial:
            return Said("", ask.prefix)
        if not ask.prefix:
            return Said("ab"[index])
        return Said("" if ask.prefix.startswith("a") else "b", finish="length")

    run = play(kind(2, 1, 4, "v"), say, OPEN)
    assert [draw.prefix for draw in run.draws] == [
        *["", ""],
        *["a\n\n", "b\n\n"],
        "b\n\nb",
        "b\n\nbb",
        *["a\n\n", "b\n\nbbb"],
    ]
    assert run.picked is not None
    assert run.picked.text == "a\n\n"


def test_where_the_separator_ends_the_reply_a_stop_ends_the_path() -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=0.5)
        return Said("x", ask.prefix + "x", "stop" if len(ask.prefix) == 1 else "length")

    run = play(Beam(1, 1, 9, "v", tokens=4, separator="\n"), say)
    steps = [draw for draw in run.draws if draw.partial]
    assert [(draw.prefix, draw.max_tokens, draw.stop) for draw in steps] == [
        ("", 4, None),
        ("x", 4, None),
    ]
    assert run.draws[-1].prefix == "xx"


def test_a_lost_step_leaves_its_path_where_it_was() -> None:
    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=0.5)
        if ask.partial and index == 0:
            return Said(status="error")
        return Said("x", "x", "length")

    run = play(Beam(1, 2, 2, "v"), say)
    assert [draw.prefix for draw in run.draws] == ["", "", "x", "x", "xx"]


def test_a_beam_without_a_score_still_ends_in_a_reply() -> None:
    run = play(Beam(2, 2, 2, "v"), lambda ask, index: Said("x", "x", "length", None))
    assert run.picked is not None


@pytest.mark.parametrize("field", ["width", "branching", "steps", "tokens"])
def test_a_beam_has_a_size(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be a whole number of at least 1"):
        replace(Beam(1, 1, 1, "v"), **{field: 0})
    with pytest.raises(ValueError, match="separator must not be empty"):
        Beam(1, 1, 1, "v", separator="")


def judge_by(scores: dict[str, float], *answers: str) -> Say:
    say = in_turn(*answers)

    def judged(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=scores[str(ask.reply.answer)])
        return say(ask, index)

    return judged


def test_tree_search_returns_the_best_of_new_draws_and_revisions() -> None:
    run = play(TreeSearch(8, "v"), judge_by({"a": 0.2, "b": 0.9, "c": 0.6}, "a", "b", "c"))
    assert len(run.draws) == len(run.judges) == 8
    assert run.picked is not None
    assert run.picked.answer == "b"
    shown = [draw.turns[0].content for draw in run.draws if draw.turns]
    assert shown, "some draws are revisions"
    assert set(shown) <= {"a", "b", "c"}


def test_tree_search_is_seeded_by_the_problem() -> None:
    strategy, scores = TreeSearch(24, "v"), {"a": 0.5}
    first = play(strategy, judge_by(scores, "a"))
    other = play(strategy, judge_by(scores, "a"), replace(PROBLEM, id="another"))
    assert first == play(strategy, judge_by(scores, "a"))
    assert [bool(d.turns) for d in first.draws] != [bool(d.turns) for d in other.draws]


def test_tree_search_does_not_judge_what_gave_no_answer() -> None:
    run = play(TreeSearch(4, "v"), in_turn(None))
    assert not run.judges
    assert run.picked is None


def test_a_score_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="scores from 0 to 1, found -1"):
        play(TreeSearch(4, "v"), judge_by({"a": -1.0}, "a"))


def tree(new: float, deeper: float) -> Node:
    """A root whose children score `new`, and theirs `deeper`."""
    reply = Reply("k", "t", "t")
    below = [Node(reply, deeper) for _ in range(5)]
    return Node(children=[Node(reply, new, below), *(Node(reply, new) for _ in range(4))])


@pytest.mark.parametrize(("new", "deeper", "wide"), [(1.0, 0.0, True), (0.0, 1.0, False)])
def test_it_goes_where_scores_were_high(new: float, deeper: float, wide: bool) -> None:
    root, rng = tree(new, deeper), random.Random(0)
    widened = sum(wider_or_deeper(root, rng) is root for _ in range(200)) / 200
    assert widened > 0.95 if wide else widened < 0.05
