import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks import task
from hydra.errors import InstantiationException

from tsbench.tasks.constraints import (
    CHECKERS,
    CheckerUnavailableError,
    Constraint,
    _identifier,
    sentences,
    words,
)
from tsbench.types import Item

FILE = "benchmarks/ifeval/input_data.jsonl.gz"
QUIT = (
    "Write an email to my boss telling him that I am quitting. The email must contain a title "
    "wrapped in double angular brackets, i.e. <<title>>."
)
KANNADA = (
    "\u0c87\u0ca6\u0cc1 \u0c92\u0c82\u0ca6\u0cc1 \u0c9a\u0cbf\u0c95\u0ccd\u0c95 \u0c95\u0ca5\u0cc6"
)

# A real row's key, an instruction of that row, replies that follow it and replies that do not.
REPLIES: list[tuple[int, str, list[str], list[str]]] = [
    (1000, "punctuation:no_comma", ["He was a count."], ["Well, he was a count."]),
    (
        1000,
        "detectable_format:number_highlighted_sections",
        ["*Early life* and **Count** and *Late years*", "* *a*\n* *b*\n* *c*"],
        ["*Early life* and *Late years*", "* one\n* two\n* three\n* four", "****** and ** **"],
    ),
    (1000, "length_constraints:number_words", ["word " * 300], ["word " * 299]),
    (
        1005,
        "detectable_content:number_placeholders",
        [" ".join(f"[slot {i}]" for i in range(12))],
        [" ".join(f"[slot {i}]" for i in range(11)), "[] " * 12],
    ),
    (
        1012,
        "combination:repeat_prompt",
        [f"{QUIT}\n<<I quit>> Dear boss", QUIT.upper()],
        [f"Sure! {QUIT}", "<<I quit>> Dear boss"],
    ),
    (1012, "detectable_format:title", ["<<I quit>>\nDear boss"], ["<I quit>", "<< >>", "<<\n>>"]),
    (
        1019,
        "change_case:english_lowercase",
        ["dear friend, the weather here is lovely and we walk every day."],
        [
            "Dear friend, the weather here is lovely.",
            "das wetter ist heute sehr schlecht und kalt.",
        ],
    ),
    (
        102,
        "detectable_format:number_bullet_lists",
        ["* one\n* two\n* three", "Here:\n- one\n- two\n  - three\nDone."],
        ["* one\n* two", "* 1\n* 2\n* 3\n* 4", "one - two - three", "**a**\n**b**\n**c**"],
    ),
    (
        1021,
        "change_case:english_capital",
        ["IF THE LAW IS BAD, YOU SHOULD CHANGE IT."],
        ["IF THE LAW IS bad, YOU SHOULD CHANGE IT.", "DAS GESETZ IST NICHT IMMER GUT."],
    ),
    (
        1021,
        "detectable_format:multiple_sections",
        ["PARAGRAPH 1\nIT IS BAD.\nPARAGRAPH 2\nIT IS."],
        ["PARAGRAPH 1\nIT IS BAD.", "Paragraph 1 is here. Paragraph 2 too.", "PARAGRAPH PARAGRAPH"],
    ),
    (
        1040,
        "change_case:capital_word_frequency",
        ["Go NOW.", "A " * 9],
        ["A " * 10, "GO GO GO GO GO GO GO GO GO GO"],
    ),
    (1040, "startend:quotation", ['"All of it."', ' "a" and "b" '], ['"Only this', "'no'", '"']),
    (
        1069,
        "keywords:existence",
        ["They are Correlated with experiencing joy."],
        ["They are correlated.", "Nothing at all."],
    ),
    (
        1075,
        "detectable_format:json_format",
        ['{"a": [1, null]}', '```json\n{"a": 1}\n```', '```\n["a"]\n```'],
        ["{a: 1}", 'Here it is: {"a": 1}'],
    ),
    (
        1082,
        "length_constraints:number_paragraphs",
        ["He woke.\n***\nHe slept.", "***\nHe woke.\n***\nHe slept.\n***"],
        ["He woke.\n\nHe slept.", "He woke.\n***\n***\nHe slept.", "a\n***\nb\n***\nc", "***"],
    ),
    (
        1098,
        "combination:two_responses",
        ["Yahweh.\n******\nElohim."],
        ["Yahweh.\n******\nYahweh.", "Yahweh.", "a******b******c", "a\n******\n"],
    ),
    (1108, "language:response_language", [KANNADA], ["A short story about a small child."]),
    (1122, "keywords:letter_frequency", ["#a #b #c #d"], ["#a #b #c"]),
    (
        1127,
        "startend:end_checker",
        ["So sad. Can I get my money back for the classes I missed?"],
        ["Can I get my money back for the classes I missed? Please."],
    ),
    (1132, "keywords:forbidden_words", ["A stone and a rocket."], ["A Rock, they said."]),
    (1153, "keywords:frequency", ["A story in a Story."], ["One story.", "None."]),
    (
        1174,
        "length_constraints:number_sentences",
        ["One. Two! Three? Four. Five", "Dr. No lost 3.5 points to Mrs. Yes, i.e. all. Bye."],
        ["One. Two. Three. Four. Five. Six."],
    ),
    (
        1219,
        "detectable_content:postscript",
        ["NIKE.\nP.S. BUY THEM", "NIKE. p. s. buy"],
        ["NIKE.", "GPS. IS FINE", "P.S."],
    ),
    (
        1609,
        "length_constraints:nth_paragraph_first_word",
        ['"Weekend plans?\n\nAsk.\n\nThen go.\n\nDone."', "weekend\n\nb\n\n\nc\n \nd\n\n"],
        ["Weekend\n\nb\n\nc", "My weekend\n\nb\n\nc\n\nd", "weekends\n\nb\n\nc\n\nd", "weekend"],
    ),
    (
        227,
        "detectable_format:constrained_response",
        ["My answer is no.", "I think so: My answer is maybe."],
        ["No.", "My answer is never."],
    ),
]

SharedData = Callable[[str], Path]


@pytest.fixture
def rows(shared_data: SharedData) -> dict[str, Item]:
    pytest.importorskip("datasets")
    items = task("ifeval", shared_data(FILE)).items(0, None)
    return {item.problem.id: item for item in items}


def constraint_of(item: Item, kind: str) -> Constraint:
    assert isinstance(item.target, tuple)
    return next(each for each in item.target if each.kind == kind)


def test_every_row_is_read_and_every_instruction_is_tried(rows: dict[str, Item]) -> None:
    assert len(rows) == 541
    kinds = {each.kind for item in rows.values() for each in item.target}  # type: ignore[attr-defined]
    assert len(kinds) == 25
    assert kinds == {kind for _, kind, _, _ in REPLIES}
    assert kinds < set(CHECKERS)


@pytest.mark.parametrize(("key", "kind", "good", "bad"), REPLIES, ids=[r[1] for r in REPLIES])
def test_instruction(
    rows: dict[str, Item], key: int, kind: str, good: list[str], bad: list[str]
) -> None:
    instruction = constraint_of(rows[str(key)], kind)
    assert [reply for reply in good if not instruction.met(reply)] == []
    assert [reply for reply in bad if instruction.met(reply)] == []
    assert not instruction.met(" \n")


def test_markers_with_two_letters_differ_from_one() -> None:
    long = Constraint("detectable_content:postscript", {"postscript_marker": "P.P.S"})
    short = Constraint("detectable_content:postscript", {"postscript_marker": "P.S."})
    assert long.met("Bye.\nP.P.S. one more thing")
    assert not long.met("Bye.\nP.S. one more thing")
    assert not short.met("Bye.\nP.P.S. one more thing")


def test_languages_are_told_apart() -> None:
    texts = {
        "de": "Das Wetter ist heute sehr sch\u00f6n.",
        "it": "Oggi il tempo \u00e8 molto bello e andiamo al mare.",
        "sw": "Ninapenda kusoma vitabu kila siku jioni.",
        "ru": "\u0421\u0435\u0433\u043e\u0434\u043d\u044f \u0445\u043e\u0440\u043e\u0448\u043e.",
        "ko": "\uc624\ub298\uc740 \ub0a0\uc528\uac00 \uc88b\uc2b5\ub2c8\ub2e4.",
        "th": "\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35",
        "en": "The weather is lovely today.",
    }
    for code in texts:
        wanted = Constraint("language:response_language", {"language": code})
        assert [other for other, text in texts.items() if wanted.met(text)] == [code]


def test_a_whole_row(rows: dict[str, Item], shared_data: SharedData) -> None:
    ifeval = task("ifeval", shared_data(FILE))
    item = rows["1000"]
    body = "*a* *b* *c* " + "word " * 300
    assert ifeval.grade(item, body).correct == ifeval.grade(item, body).score == 1.0
    graded = ifeval.grade(item, body + "but, no")
    assert (graded.correct, graded.status) == (0.0, "ok")
    assert graded.score == pytest.approx(2 / 3)
    blank = ifeval.grade(item, "  \n")
    assert (blank.correct, blank.score, blank.status) == (None, None, "unparsed")
    assert pickle.loads(pickle.dumps(ifeval.grade))(item, body).correct == 1.0


def test_items_are_a_seeded_prefix_and_hide_the_constraints(shared_data: SharedData) -> None:
    ifeval = task("ifeval", shared_data(FILE), "task.max_tokens=64")
    ids = [item.problem.id for item in ifeval.items(3, None)]
    assert [item.problem.id for item in ifeval.items(3, 20)] == ids[:20]
    assert [item.problem.id for item in ifeval.items(4, 20)] != ids[:20]
    assert len(set(ids)) == 541
    item = ifeval.items(3, 1)[0]
    assert [message.role for message in item.problem.messages] == ["user"]
    assert item.problem.max_tokens == 64
    assert "Constraint" not in repr(item.problem)
    assert ifeval.answer(item.problem, " a \n") == "a"
    assert ifeval.answer(item.problem, " \n") is None


def test_an_absent_language_library_is_an_error_and_not_a_wrong_reply(
    rows: dict[str, Item], shared_data: SharedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    _identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    ifeval = task("ifeval", shared_data(FILE))
    grade = ifeval.grade(rows["1108"], KANNADA)
    assert (grade.correct, grade.score, grade.status) == (None, None, "error")
    assert "py3langid" in str(grade.reason)
    with pytest.raises(CheckerUnavailableError, match="py3langid"):
        Constraint("change_case:english_capital").met("HELLO")
    assert not Constraint("change_case:english_capital").met("Hello")


GOOD = {
    "key": 1,
    "prompt": "Write.",
    "instruction_id_list": ["keywords:existence"],
    "kwargs": [{"keywords": ["sun"]}],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"instruction_id_list": ["keywords:nothing"]},
            "'instruction_id_list': .*'keywords:nothing' is unknown",
        ),
        ({"kwargs": [{"keyword": "sun"}]}, r"has the settings \['keyword'\]; it takes"),
        ({"kwargs": []}, "row 1, column 'kwargs': 0, for 1 in instruction_id_list"),
        ({"instruction_id_list": [], "kwargs": []}, "row 1, column 'kwargs': 0, for 0 in"),
        ({"prompt": " "}, "row 1, column 'prompt': empty"),
        (
            {
                "instruction_id_list": ["keywords:letter_frequency"],
                "kwargs": [{"letter": "a", "let_relation": "about", "let_frequency": 1}],
            },
            "let_relation is 'about'; allowed",
        ),
        (
            {
                "instruction_id_list": ["language:response_language"],
                "kwargs": [{"language": "tlh"}],
            },
            "language is 'tlh'; allowed",
        ),
    ],
)
def test_a_bad_row_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD | change) + "\n")
    with pytest.raises(ValueError, match=message):
        task("ifeval", file).items(0, None)


@pytest.mark.parametrize("column", list(GOOD)[1:])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({key: GOOD[key] for key in GOOD if key != column}) + "\n")
    with pytest.raises(ValueError, match=f"has no column '{column}'"):
        task("ifeval", file).items(0, None)


def test_max_tokens_is_checked() -> None:
    with pytest.raises(
        InstantiationException, match="max_tokens must be a whole number of at least 1, not 0"
    ):
        task("ifeval", "rows.jsonl", "task.max_tokens=0")


def test_settings_that_the_loader_fills_with_null_are_dropped(tmp_path: Path) -> None:
    second = GOOD | {
        "key": 2,
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    }
    file = tmp_path / "rows.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n{json.dumps(second)}\n")
    targets = {item.problem.id: item.target for item in task("ifeval", file).items(0, None)}
    assert targets["2"] == (Constraint("punctuation:no_comma"),)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The sea is blue", 1),
        ("The sea is blue. It is deep!", 2),
        ('He said "Stop." Then he left.', 2),
        ("It cost 3.5 dollars, i.e. little, said Dr. Who.", 1),
        ("1. Buy milk\n2. Go home", 1),
        ("What?! No...", 2),
        ("...", 0),
        ("", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_words() -> None:
    assert words("It's a well-known dog, isn\u2019t it?") == [
        "It's",
        "a",
        "well-known",
        "dog",
        "isn\u2019t",
        "it",
    ]
