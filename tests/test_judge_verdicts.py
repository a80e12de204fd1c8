"""How a judge's words become a verdict, and verdicts a grade."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsbench.judges import Pairwise, Rubric
from tsbench.judges.base import graded
from tsbench.types import Grading, Judge, Message, Problem, Reply, Status

PROBLEM = Problem("p", "t", "open_ended", (Message("user", "Write."),))
PAIRS = Pairwise("Which?")
MARKS = Rubric("Mark it from {worst} to {best}.")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        *(("A", 1.0), ("B", 0.0), ("tie", 0.5), ("Tie.", 0.5), ("b", 0.0), ("  A\n", 1.0)),
        *(("[[A]]", 1.0), ("**B**", 0.0), ("Answer A", 1.0), ("Final verdict: [[B]].", 0.0)),
        *(("A\n\nIt is clearer.", 1.0), ("The first is wrong.\nIt guesses.\n\nWinner: B", 0.0)),
        *(("A\nB", None), ("A is better", None), ("Both", None), ("", None), ("C", None)),
        *(("A or B", None), ("Because A\nis so", None), ("AB", None), ("A tie", None)),
    ],
)
def test_a_comparison_is_read_strictly(text: str, verdict: float | None) -> None:
    assert PAIRS.read(text, swapped=False) == verdict
    assert PAIRS.read(text, swapped=True) == (None if verdict is None else 1.0 - verdict)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        *(("1", 0.0), ("10", 1.0), ("5.5", 0.5), ("10/10", 1.0), ("Rating: [[10]]", 1.0)),
        *(("Mark: 1.", 0.0), ("It is fine.\n10", 1.0), ("10\nIt is fine.", 1.0)),
        *(("0", None), ("11", None), ("-3", 2 / 9), ("about 7", None), ("7 or 8", None)),
        *(("", None), ("seven", None), ("3\n4", None)),
    ],
)
def test_a_mark_is_read_strictly(text: str, mark: float | None) -> None:
    found = MARKS.read(text, swapped=False)
    assert found == (None if mark is None else pytest.approx(mark))


def test_both_replies_stand_in_the_order_asked_for_and_the_reference_before_them() -> None:
    mine, theirs = Reply("1", "mine"), Reply("2", "theirs")
    shown = {
        swapped: PAIRS.request(PROBLEM, Grading(mine, "j", theirs, "so", swapped))[0].messages
        for swapped in (False, True)
    }
    straight = (
        "[Request]\nWrite.\n\n[Reference answer]\nso\n\n[Answer A]\nmine\n\n[Answer B]\ntheirs"
    )
    assert shown[False] == (Message("user", f"{straight}\n\nWhich?"),)
    assert "[Answer A]\ntheirs\n\n[Answer B]\nmine" in shown[True][0].content
    with pytest.raises(ValueError, match="needs a baseline's reply"):
        PAIRS.request(PROBLEM, Judge(mine, "j"))
    (call,) = MARKS.request(PROBLEM, Grading(mine, "j"))
    assert call.messages[0].content.endswith("[Answer]\nmine\n\nMark it from 1 to 10.")


def said(score: float | None, status: Status = "ok") -> Reply:
    return Reply("k", "words", status="unparsed" if score is None else status, score=score)


verdicts = st.lists(
    st.tuples(st.booleans(), st.one_of(st.none(), st.sampled_from((0.0, 0.5, 1.0)))), min_size=1
)


@given(verdicts)
def test_a_grade_is_the_mean_of_the_orders_means_and_needs_every_order(
    given: list[tuple[bool, float | None]],
) -> None:
    grade = graded([(swapped, said(score)) for swapped, score in given])
    orders = [[s for w, s in given if w == order] for order in {w for w, _ in given}]
    read = [[s for s in scores if s is not None] for scores in orders]
    if all(read):
        means = [sum(scores) / len(scores) for scores in read]
        assert grade.correct == pytest.approx(sum(means) / len(means))
        assert grade.status == "ok"
    else:
        assert (grade.correct, grade.status) == (None, "error")
        assert grade.reason == "judge: no verdict could be read, such as 'words'"


@given(verdicts, st.sampled_from(("error", "timeout", "refused")))
def test_a_judgement_that_failed_leaves_no_grade(
    given: list[tuple[bool, float | None]], status: Status
) -> None:
    replies = [(swapped, said(score)) for swapped, score in given]
    failed = Reply("k", "", status=status, reason="gone")
    grade = graded([*replies, (True, failed)])
    assert (grade.correct, grade.status, grade.reason) == (None, "error", f"judge: {status}: gone")


def test_what_shapes_no_verdict_is_no_part_of_a_judge_s_name_in_keys() -> None:
    assert repr(PAIRS) == repr(Pairwise("Which?", baseline="file.jsonl", repeats=7))
    assert repr(PAIRS) != repr(Pairwise("Which?", max_tokens=1))
    assert repr(PAIRS) != repr(Pairwise("Which one?"))
    assert repr(MARKS) != repr(Rubric(MARKS.instruction, best=9))
