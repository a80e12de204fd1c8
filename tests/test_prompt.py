"""How a row becomes messages."""

import hashlib
from dataclasses import replace

import pytest

from tsbench.models.base import Request, prompt_hash
from tsbench.tasks.prompt import Prompt
from tsbench.types import Message

ROW = {"question": "1 + 1?", "turns": ["first", "second"], "level": 3}


def test_a_chat_has_its_examples_as_earlier_turns() -> None:
    prompt = Prompt(
        "Q: {question}",
        format="Say N.",
        system="Be brief.",
        examples=[{"question": "2 + 2?", "answer": "4"}],
    )
    assert prompt.messages(ROW) == (
        Message("system", "Be brief."),
        Message("user", "Q: 2 + 2?\nSay N."),
        Message("assistant", "4"),
        Message("user", "Q: 1 + 1?\nSay N."),
    )


def test_raw_is_one_text_that_the_reply_continues() -> None:
    prompt = Prompt(
        "Question: {question}",
        style="raw",
        lead="Answer:",
        examples=[{"question": "2 + 2?", "answer": "4"}],
    )
    asked = "Question: 2 + 2?\nAnswer: 4\n\nQuestion: 1 + 1?\nAnswer:"
    assert prompt.messages(ROW) == (Message("user", asked),)


def test_a_template_takes_indexes_and_braces() -> None:
    assert Prompt("{turns[1]} {{x}}").messages(ROW)[0].content == "second {x}"
    assert Prompt("{turns[1]} {level}").columns == ("turns", "level")
    hostile = {"question": "{level} {0} {turns.__class__}"}
    assert Prompt("{question}").messages(hostile)[0].content == hostile["question"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Prompt("{question").columns, r"expected '}'.*; write {{ for a brace"),
        (lambda: Prompt(r"in \boxed{}").columns, r"has {}; allowed are {column}"),
        (lambda: Prompt("{question.__class__}"), r"has {question.__class__}; allowed are"),
        (lambda: Prompt("{turns[x]}"), r"has {turns\[x\]}; allowed are"),
        (lambda: Prompt("{q}", style="poem"), "prompt.style is 'poem'; allowed are chat and raw"),
        (lambda: Prompt("{q}", lead="A:"), "prompt.lead is for prompt.style=raw"),
        (lambda: Prompt("{q}", examples=[{"q": "x"}]), "example 1 has no 'answer'; it needs"),
    ],
)
def test_a_bad_prompt_is_named(made, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=said):
        made()


def test_the_hash_tells_rendered_prompts_apart() -> None:
    user = Message("user", "1 + 1?")
    one = Request((user,), "", 8, (), 0, 0)
    hashes = {
        prompt_hash([one]),
        prompt_hash([replace(one, messages=(Message("user", "1 + 2?"),))]),
        prompt_hash([replace(one, messages=(Message("system", "1 + 1?"),))]),
        prompt_hash([replace(one, prefix="2")]),
        prompt_hash([one, one]),
    }
    assert len(hashes) == 5
    whole = hashlib.sha256(b'[["user", "1 + 1?"]]').hexdigest()
    assert prompt_hash([one]) == prompt_hash([replace(one, seed=1)]) == whole[:16]
    assert prompt_hash([]) is None
