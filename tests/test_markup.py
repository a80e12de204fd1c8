import pytest

from tsbench import markup


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/me/models/a.gguf", "\u2026/a.gguf"),
        ("path = /srv/x/y, k = 3", "path = \u2026/y, k = 3"),
        (r"C:\Users\me\a.gguf", "\u2026/a.gguf"),
        ("http://localhost:8080/v1/models", "http://localhost:8080/v1/models"),
        ("runs/default", "runs/default"),
        ("right/wrong and 1/2", "right/wrong and 1/2"),
    ],
)
def test_folders_of_a_machine_are_not_shown(value: str, shown: str) -> None:
    assert markup.without_folders(value) == shown


def test_text_is_escaped() -> None:
    assert markup.text("<b>\"&'") == "&lt;b&gt;&quot;&amp;&#x27;"
    hostile = "<script>"
    made = (
        markup.th(hostile, hostile)
        + markup.td(hostile, hostile)
        + markup.number(hostile)
        + markup.table(hostile, [hostile], [], 1)
        + markup.facts([(hostile, hostile)])
        + markup.items([hostile])
        + markup.figure("", hostile)
        + markup.heading(hostile, hostile)
    )
    assert hostile not in made
    assert made.count("&lt;script&gt;") == 12


def test_no_list_of_nothing() -> None:
    assert markup.items([]) == ""


def test_slugs_are_safe_names() -> None:
    assert markup.slug("../Open ended!") == "open-ended"
    assert markup.slug("***") == "unnamed"
