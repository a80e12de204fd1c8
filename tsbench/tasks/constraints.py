"""Constraints on a text that a program can check, and a register of their checkers.

The names with a colon are the 25 instructions of IFEval (Zhou et al. 2023,
"Instruction-Following Evaluation for Large Language Models", arXiv 2311.07911), checked
strictly. Two things differ from the program published with it, which needs data from the
network: sentences are split by a rule instead of a trained model, and languages are told apart
by py3langid instead of langdetect.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from tsbench.types import Grade

Checker = Callable[..., bool]

CHECKERS: dict[str, Checker] = {}
RELATIONS = ("at least", "less than", "at most", "exactly")
LANGUAGES = (
    "ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn",
    "ko", "ml", "mr", "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi",
)  # fmt: skip
"""ISO 639-1 codes of the languages that IFEval asks for; detection chooses among these."""


class CheckerUnavailableError(RuntimeError):
    """A constraint cannot be checked here; the message says what is missing."""


@dataclass(frozen=True)
class Constraint:
    """One constraint: the name of a registered checker and its settings by keyword.

    Raises ValueError where no checker has this name, or the settings are not those it takes.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in CHECKERS:
            raise ValueError(
                f"constraint {self.kind!r} is unknown; allowed: {', '.join(sorted(CHECKERS))}"
            )
        wanted = list(inspect.signature(CHECKERS[self.kind]).parameters)[1:]
        if sorted(wanted) != sorted(self.settings):
            raise ValueError(
                f"constraint {self.kind!r} has the settings {sorted(self.settings)}; "
                f"it takes {sorted(wanted)}"
            )
        for name, value in self.settings.items():
            if name.endswith("relation") and value not in RELATIONS:
                raise ValueError(
                    f"constraint {self.kind!r}: {name} is {value!r}; allowed: {RELATIONS}"
                )
            if name == "language" and value not in LANGUAGES:
                raise ValueError(
                    f"constraint {self.kind!r}: {name} is {value!r}; allowed: {LANGUAGES}"
                )

    def met(self, text: str) -> bool:
        """Return whether `text` meets the constraint; a blank text meets none.

        Raises CheckerUnavailableError where the checker needs a library that is absent.
        """
        return bool(text.strip()) and CHECKERS[self.kind](text, **self.settings)


def grade_constraints(constraints: Sequence[Constraint], text: str) -> Grade:
    """Grade a text against constraints.

    Correct is 1.0 when all are met (strict prompt-level accuracy, Zhou et al. 2023), score the
    share met. A blank text is unparsed; a constraint that cannot be checked here is an error.
    Raises ValueError for no constraints.
    """
    if not constraints:
        raise ValueError("grade_constraints needs at least one constraint, found none")
    if not text.strip():
        return Grade(None, "unparsed", "the reply is blank")
    try:
        met = [constraint.met(text) for constraint in constraints]
    except CheckerUnavailableError as error:
        return Grade(None, "error", str(error))
    return Grade(float(all(met)), score=sum(met) / len(met))


def words(text: str) -> list[str]:
    """Split into words; an apostrophe or a hyphen inside a word does not end it."""
    return re.findall(r"\w+(?:['\u2019-]\w+)*", text)


def sentences(text: str) -> list[str]:
    """Split after . ! ? before white space; titles, initials and list numbers do not end one."""
    no_end = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e)\.|\b(?:[A-Za-z]\.){2,}|^\s*\d+\."
    guarded = re.sub(no_end, lambda found: found[0].replace(".", ""), text, flags=re.MULTILINE)
    parts = re.split(r"(?<=[.!?])[\"'\u201d\u2019)\]*]*(?:\s+|$)", guarded)
    return [part for part in parts if re.search(r"\w", part)]


def detect_language(text: str) -> str:
    """Return the likeliest of LANGUAGES, as its ISO 639-1 code."""
    return str(_identifier().classify(text.lower())[0])


@cache
def _identifier() -> Any:
    try:
        langid = import_module("py3langid.langid")
    except ModuleNotFoundError:
        raise CheckerUnavailableError(
            "this instruction names a language, and telling languages apart needs py3langid"
        ) from None
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    identifier.set_languages(LANGUAGES)
    return identifier


def _checker(kind: str) -> Callable[[Checker], Checker]:
    def register(check: Checker) -> Checker:
        CHECKERS[kind] = check
        return check

    return register


def _holds(count: int, relation: str, bound: int) -> bool:
    return {
        "at least": count >= bound,
        "less than": count < bound,
        "at most": count <= bound,
        "exactly": count == bound,
    }[relation]


def _has_word(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


@_checker("whole_words")
def _whole_words(text: str, keywords: Sequence[str]) -> bool:
    return all(_has_word(text, word) for word in keywords)


@_checker("first_word")
def _first_word(text: str, word: str) -> bool:
    return [first.lower() for first in words(text)[:1]] == [word.lower()]


@_checker("comma_list")
def _comma_list(text: str, count: int) -> bool:
    """Exactly `count` different entries of one to three words, the last perhaps after "and"."""
    listed = re.sub(r",?\s+and\s+", ", ", text.strip().removesuffix("."))
    entries = {entry.strip().lower() for entry in listed.split(",")}
    short = all(1 <= len(words(entry)) <= 3 for entry in entries)
    return short and len(entries) == listed.count(",") + 1 == count


@_checker("keywords:existence")
def _existence(text: str, keywords: Sequence[str]) -> bool:
    return all(word.lower() in text.lower() for word in keywords)


@_checker("keywords:forbidden_words")
def _forbidden_words(text: str, forbidden_words: Sequence[str]) -> bool:
    return not any(_has_word(text, word) for word in forbidden_words)


@_checker("keywords:frequency")
def _frequency(text: str, keyword: str, relation: str, frequency: int) -> bool:
    return _holds(text.lower().count(keyword.lower()), relation, frequency)


@_checker("keywords:letter_frequency")
def _letter_frequency(text: str, letter: str, let_relation: str, let_frequency: int) -> bool:
    return _holds(text.lower().count(letter.lower()), let_relation, let_frequency)


@_checker("language:response_language")
def _response_language(text: str, language: str) -> bool:
    return detect_language(text) == language


@_checker("length_constraints:number_words")
def _number_words(text: str, relation: str, num_words: int) -> bool:
    return _holds(len(words(text)), relation, num_words)


@_checker("length_constraints:number_sentences")
def _number_sentences(text: str, relation: str, num_sentences: int) -> bool:
    return _holds(len(sentences(text)), relation, num_sentences)


@_checker("length_constraints:number_paragraphs")
def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Paragraphs stand between dividers of three asterisks; only outer ones may be blank."""
    paragraphs = [part.strip() for part in text.split("***")]
    if not paragraphs[0]:
        del paragraphs[0]
    if paragraphs and not paragraphs[-1]:
        del paragraphs[-1]
    return all(paragraphs) and len(paragraphs) == num_paragraphs


@_checker("length_constraints:nth_paragraph_first_word")
def _nth_paragraph_first_word(
    text: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Paragraphs stand between blank lines, and are counted from 1."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    if len(paragraphs) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    return _first_word(paragraphs[nth_paragraph - 1], first_word)


@_checker("detectable_content:number_placeholders")
def _number_placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\]]+\]", text)) >= num_placeholders


@_checker("detectable_content:postscript")
def _postscript(text: str, postscript_marker: str) -> bool:
    """The marker's letters with stops between them, and text after it."""
    letters = [letter for letter in postscript_marker if letter.isalpha()]
    marker = r"\.\s?".join(letters)
    return bool(re.search(rf"(?<![\w.]){marker}\b\W*\w", text, re.IGNORECASE))


@_checker("detectable_format:number_bullet_lists")
def _number_bullet_lists(text: str, num_bullets: int) -> bool:
    """A bullet is a line that starts with * or -; the number is exact."""
    return len(re.findall(r"^\s*(?:\*(?!\*)|-(?!--))", text, re.MULTILINE)) == num_bullets


@_checker("detectable_format:constrained_response")
def _constrained_response(text: str) -> bool:
    return any(f"My answer is {choice}." in text for choice in ("yes", "no", "maybe"))


@_checker("detectable_format:number_highlighted_sections")
def _number_highlighted_sections(text: str, num_highlights: int) -> bool:
    """Text of one line between single or double asterisks, at least this often."""
    spans = re.findall(r"(\*{1,2})[^\s*](?:[^*\n]*[^\s*])?\1", text)
    return len(spans) >= num_highlights


@_checker("detectable_format:multiple_sections")
def _multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"\b{re.escape(section_spliter)}\s?\d+", text)) >= num_sections


@_checker("detectable_format:json_format")
def _json_format(text: str) -> bool:
    """The whole reply is JSON, bare or in one Markdown fence."""
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip(), flags=re.IGNORECASE)
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


@_checker("detectable_format:title")
def _title(text: str) -> bool:
    return bool(re.search(r"<<[^\n<>]*[^\s<>][^\n<>]*>>", text))


@_checker("combination:two_responses")
def _two_responses(text: str) -> bool:
    """Two different responses between six asterisks."""
    responses = [part.strip() for part in text.split("******")]
    return len(responses) == 2 and all(responses) and responses[0] != responses[1]


@_checker("combination:repeat_prompt")
def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


@_checker("startend:end_checker")
def _end_checker(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@_checker("startend:quotation")
def _quotation(text: str) -> bool:
    bare = text.strip()
    return len(bare) > 2 and bare[0] == bare[-1] == '"'


@_checker("change_case:capital_word_frequency")
def _capital_word_frequency(text: str, capital_relation: str, capital_frequency: int) -> bool:
    capitals = sum(word.isupper() for word in words(text))
    return _holds(capitals, capital_relation, capital_frequency)


@_checker("change_case:english_capital")
def _english_capital(text: str) -> bool:
    return text.isupper() and detect_language(text) == "en"


@_checker("change_case:english_lowercase")
def _english_lowercase(text: str) -> bool:
    return text.islower() and detect_language(text) == "en"


@_checker("punctuation:no_comma")
def _no_comma(text: str) -> bool:
    return "," not in text
