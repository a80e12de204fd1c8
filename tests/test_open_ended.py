import pickle
from collections import Counter

import pytest

from tsbench.tasks.constraints import CHECKERS, Constraint, grade_constraints
from tsbench.tasks.open_ended import EXAMPLES, HEADER, LEVELS, OpenEnded
from tsbench.types import Item, Message, Problem

TASK = OpenEnded()


def item_of(*constraints: Constraint) -> Item:
    problem = Problem("x", "open_ended", "open_ended", (Message("user", "Write."),))
    return Item(problem, constraints)


def test_item_depends_on_seed_and_number_alone() -> None:
    items = TASK.items(7, 40)
    assert OpenEnded(n_items=5).items(7, None) == items[:5] == TASK.items(7, 5)
    assert items == [TASK.item(7, i) for i in range(40)]
    assert items[0].target == TASK.item(7, 0).target
    assert [i.problem.messages[-1] for i in items] != [
        i.problem.messages[-1] for i in TASK.items(8, 40)
    ]
    assert len(TASK.items(7, None)) == TASK.n_items
    assert TASK.items(7, 0) == []


def test_ids_are_stable_and_levels_are_balanced() -> None:
    items = TASK.items(3, 50)
    assert [item.problem.id for item in items] == [f"open-3-{i}" for i in range(50)]
    assert Counter(item.problem.stratum for item in items) == {
        f"level{level}": 10 for level in range(1, 6)
    }


def test_the_header_is_shared_and_the_last_turn_asks() -> None:
    for item in TASK.items(0, 25):
        *header, asked = item.problem.messages
        assert tuple(header) == HEADER
        assert asked.role == "user"
        assert item.problem.stop == ("\n",)
        assert item.problem.max_tokens == 40
        assert "Constraint" not in repr(item.problem)
    assert [message.role for message in HEADER] == ["user", "assistant"] * len(EXAMPLES)


@pytest.mark.parametrize("level", range(len(LEVELS)))
@pytest.mark.parametrize("seed", range(20))
def test_every_setting_of_a_constraint_stands_in_the_request(level: int, seed: int) -> None:
    item = TASK.items(seed, 5)[level]
    asked = item.problem.messages[-1].content
    assert isinstance(item.target, tuple)
    for constraint in item.target:
        match constraint.kind:
            case "whole_words":
                wanted = [f'"{word}"' for word in constraint.settings["keywords"]]
            case "keywords:forbidden_words":
                wanted = [f'without the word "{constraint.settings["forbidden_words"][0]}"']
            case "length_constraints:number_words":
                wanted = ["{relation} {num_words} words".format(**constraint.settings)]
            case "length_constraints:number_sentences":
                wanted = ["sentences" if constraint.settings["num_sentences"] == 2 else " one "]
            case "first_word":
                wanted = [f'beginning with "{constraint.settings["word"]}"']
            case "startend:end_checker":
                wanted = ["question about", 'ending with "?"']
            case "comma_list":
                wanted = [{3: "three", 5: "five"}[constraint.settings["count"]], "commas"]
            case other:
                pytest.fail(f"no wording is expected of {other}")
        assert [text for text in wanted if text not in asked] == []


def test_the_worked_examples_follow_their_requests() -> None:
    made = {
        "soft": [
            Constraint("whole_words", {"keywords": ("soft",)}),
            Constraint(
                "length_constraints:number_sentences",
                {"relation": "exactly", "num_sentences": 1},
            ),
        ],
        "two sentences": [
            Constraint(
                "length_constraints:number_sentences",
                {"relation": "exactly", "num_sentences": 2},
            )
        ],
        "question": [Constraint("startend:end_checker", {"end_phrase": "?"})],
        "Once": [Constraint("first_word", {"word": "Once"})],
        "three colors": [Constraint("comma_list", {"count": 3})],
        "fresh": [Constraint("whole_words", {"keywords": ("fresh", "morning")})],
    }
    assert len(made) == len(EXAMPLES)
    for (cue, constraints), (asked, written) in zip(made.items(), EXAMPLES, strict=True):
        assert cue in asked
        assert all(constraint.met(written) for constraint in constraints)


@pytest.mark.parametrize(
    ("kind", "settings", "good", "bad"),
    [
        (
            "whole_words",
            {"keywords": ("sea", "Blue")},
            ["The Sea is blue.", "blue-green sea"],
            ["The season is blue.", "The sea."],
        ),
        ("keywords:forbidden_words", {"forbidden_words": ("the",)}, ["Then."], ["So is The sea."]),
        ("first_word", {"word": "If"}, ['"if I go"', "If, then"], ["Iffy", "I go if", "..."]),
        (
            "comma_list",
            {"count": 3},
            ["red, green, blue", "Red, green, and blue.", "New York, Rome and Paris"],
            [
                "red, green",
                "red, red, blue",
                "a, b, c, d",
                "red, a very long entry here, blue",
                ",",
            ],
        ),
        (
            "length_constraints:number_words",
            {"relation": "at most", "num_words": 3},
            ["It's a dog.", "No."],
            ["It is a dog."],
        ),
        (
            "length_constraints:number_words",
            {"relation": "at least", "num_words": 3},
            ["It is well-known."],
            ["It's well-known."],
        ),
        (
            "length_constraints:number_sentences",
            {"relation": "exactly", "num_sentences": 2},
            ["It rains. we wait."],
            ["It rains.", "A. B. C."],
        ),
        ("startend:end_checker", {"end_phrase": "?"}, ["Why? ", '"Why?"'], ["Why", "Why? So."]),
    ],
)
def test_checkers(kind: str, settings: dict[str, object], good: list[str], bad: list[str]) -> None:
    constraint = Constraint(kind, settings)
    assert [text for text in good if not constraint.met(text)] == []
    assert [text for text in bad if constraint.met(text)] == []


def test_correct_needs_all_and_score_is_the_share() -> None:
    item = item_of(
        Constraint("whole_words", {"keywords": ("sea",)}),
        Constraint("first_word", {"word": "The"}),
    )
    grades = [TASK.grade(item, text) for text in ("The sea.", "A sea.", "A dog.")]
    assert [grade.correct for grade in grades] == [1.0, 0.0, 0.0]
    assert [grade.score for grade in grades] == [1.0, 0.5, 0.0]
    assert {grade.status for grade in grades} == {"ok"}


def test_blank_is_unparsed_and_never_wrong() -> None:
    item = TASK.item(0, 0)
    grade = TASK.grade(item, " \n")
    assert (grade.correct, grade.score, grade.status) == (None, None, "unparsed")
    assert TASK.answer(item.problem, " \n ") is None
    assert TASK.answer(item.problem, " The sea.\n") == "The sea."


def test_a_forbidden_word_is_not_met_by_silence() -> None:
    assert not Constraint("keywords:forbidden_words", {"forbidden_words": ("the",)}).met(" ")


def test_no_constraint_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one constraint"):
        grade_constraints((), "text")


def test_grading_survives_a_process_boundary() -> None:
    item = TASK.item(0, 0)
    task, copy = pickle.loads(pickle.dumps((TASK, item)))
    assert copy == item
    assert task.grade(copy, "The sea.") == TASK.grade(item, "The sea.")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="n_items is 0; it must be at least 1"):
        OpenEnded(n_items=0)
    with pytest.raises(ValueError, match="max_tokens is -1"):
        OpenEnded(max_tokens=-1)
    with pytest.raises(ValueError, match=r"'nothing' is unknown; allowed: .*whole_words"):
        Constraint("nothing")
    with pytest.raises(ValueError, match=r"has the settings \[\]; it takes \['word'\]"):
        Constraint("first_word")


def test_every_checker_is_reached_by_a_name() -> None:
    assert {"whole_words", "first_word", "comma_list"} < set(CHECKERS)
    assert len(CHECKERS) == 28
