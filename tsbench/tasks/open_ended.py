"""Short writing tasks under constraints that a program can check; the embedded default."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from tsbench.tasks.constraints import Constraint, grade_constraints
from tsbench.types import Grade, Item, Message, Problem

Made = tuple[str, tuple[Constraint, ...]]
"""A request and the constraints that it words."""

TOPICS: dict[str, tuple[str, ...]] = {
    "the sea": ("water", "waves", "boat", "deep"),
    "a dog": ("friend", "runs", "ball", "happy"),
    "the moon": ("night", "bright", "sky", "shines"),
    "a school": ("teacher", "children", "learn", "books"),
    "the rain": ("wet", "clouds", "umbrella", "falls"),
    "a garden": ("flowers", "green", "grow", "bees"),
    "the city": ("busy", "streets", "people", "tall"),
    "a kitchen": ("cook", "food", "hot", "table"),
    "winter": ("snow", "cold", "coat", "white"),
    "a train": ("station", "fast", "travel", "window"),
    "music": ("song", "sing", "loud", "dance"),
    "a farm": ("cows", "farmer", "milk", "field"),
    "the sun": ("warm", "light", "morning", "rises"),
    "a library": ("quiet", "read", "shelves", "stories"),
    "a birthday": ("cake", "gift", "party", "candles"),
    "a mountain": ("climb", "high", "rock", "view"),
}
"""Topics with words that belong to them."""
STRANGERS = ("purple", "button", "spoon", "seven", "whisper", "lemon", "ladder", "sleepy", "paper")
OPENERS = ("When", "My", "If", "Every", "Some", "Here", "In")
CATEGORIES = ("animals", "fruits", "cities", "tools", "games", "sports", "countries", "vegetables")
NUMERALS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


def use(*words: str) -> Constraint:
    """Every word occurs."""
    return Constraint("whole_words", {"keywords": words})


def avoid(*words: str) -> Constraint:
    """No word occurs."""
    return Constraint("keywords:forbidden_words", {"forbidden_words": words})


def length(relation: str, count: int) -> Constraint:
    """The number of words is bounded."""
    settings = {"relation": relation, "num_words": count}
    return Constraint("length_constraints:number_words", settings)


def sentences(count: int) -> Constraint:
    """The number of sentences is given."""
    settings = {"relation": "exactly", "num_sentences": count}
    return Constraint("length_constraints:number_sentences", settings)


def begin(word: str) -> Constraint:
    """The first word is given."""
    return Constraint("first_word", {"word": word})


QUESTION = Constraint("startend:end_checker", {"end_phrase": "?"})


def _topic(r: random.Random) -> tuple[str, list[str]]:
    topic = r.choice(list(TOPICS))
    return topic, r.sample(TOPICS[topic], k=2)


def _near(r: random.Random) -> Made:
    topic, (word, _) = _topic(r)
    return f'Write one sentence about {topic}, with the word "{word}".', (sentences(1), use(word))


def _far(r: random.Random) -> Made:
    topic, word = _topic(r)[0], r.choice(STRANGERS)
    return f'Write one sentence about {topic}, with the word "{word}".', (sentences(1), use(word))


def _short(r: random.Random) -> Made:
    topic, most = _topic(r)[0], r.randint(8, 10)
    asked = f"Write one short sentence about {topic}, with at most {most} words."
    return asked, (sentences(1), length("at most", most))


def _question(r: random.Random) -> Made:
    asked = f'Write one question about {_topic(r)[0]}, ending with "?".'
    return asked, (sentences(1), QUESTION)


def _list(r: random.Random, count: int) -> Made:
    asked = f"Name {NUMERALS[count]} {r.choice(CATEGORIES)}, separated by commas."
    return asked, (Constraint("comma_list", {"count": count}),)


def _three(r: random.Random) -> Made:
    return _list(r, 3)


def _five(r: random.Random) -> Made:
    return _list(r, 5)


def _opener(r: random.Random) -> Made:
    topic, word = _topic(r)[0], r.choice(OPENERS)
    asked = f'Write one sentence about {topic}, beginning with "{word}".'
    return asked, (sentences(1), begin(word))


def _long(r: random.Random) -> Made:
    topic, least = _topic(r)[0], r.randint(10, 14)
    asked = f"Write one long sentence about {topic}, with at least {least} words."
    return asked, (sentences(1), length("at least", least))


def _near_question(r: random.Random) -> Made:
    topic, (word, _) = _topic(r)
    asked = f'Write one question about {topic}, with the word "{word}", ending with "?".'
    return asked, (sentences(1), use(word), QUESTION)


def _near_short(r: random.Random) -> Made:
    (topic, (word, _)), most = _topic(r), r.randint(5, 8)
    asked = (
        f'Write one short sentence about {topic}, with the word "{word}" and at most {most} words.'
    )
    return asked, (sentences(1), use(word), length("at most", most))


def _near_far(r: random.Random) -> Made:
    (topic, (word, _)), stranger = _topic(r), r.choice(STRANGERS)
    asked = f'Write one sentence about {topic}, with the words "{word}" and "{stranger}".'
    return asked, (sentences(1), use(word), use(stranger))


def _near_opener(r: random.Random) -> Made:
    (topic, (word, _)), first = _topic(r), r.choice(OPENERS)
    asked = f'Write one sentence about {topic}, with the word "{word}", beginning with "{first}".'
    return asked, (sentences(1), use(word), begin(first))


def _near_long(r: random.Random) -> Made:
    (topic, (word, _)), least = _topic(r), r.randint(10, 14)
    asked = (
        f'Write one long sentence about {topic}, with the word "{word}" and at least {least} words.'
    )
    return asked, (sentences(1), use(word), length("at least", least))


def _near_without(r: random.Random) -> Made:
    topic, (word, _) = _topic(r)
    asked = f'Write one sentence about {topic}, with the word "{word}", without the word "the".'
    return asked, (sentences(1), use(word), avoid("the"))


def _two(r: random.Random) -> Made:
    topic, (word, _) = _topic(r)
    return f'Write two sentences about {topic}, with the word "{word}".', (sentences(2), use(word))


LEVELS: tuple[tuple[Callable[[random.Random], Made], ...], ...] = (
    (_question, _three, _short),
    (_near, _far),
    (_opener, _long, _near_question),
    (_near_short, _near_far, _five),
    (_near_opener, _near_long, _near_without, _two),
)
EXAMPLES = (
    ('Write one sentence about a cat, with the word "soft".', "My cat has soft fur."),
    ("Write two sentences about a bird.", "A bird sits in our tree. It sings a song."),
    ('Write one question about a river, ending with "?".', "How long is this river?"),
    (
        'Write one sentence about a king, beginning with "Once".',
        "Once there lived a king who loved gold.",
    ),
    ("Name three colors, separated by commas.", "red, green, blue"),
    (
        'Write one sentence about bread, with the words "fresh" and "morning".',
        "We bake fresh bread in the morning.",
    ),
)
HEADER = tuple(
    message
    for asked, written in EXAMPLES
    for message in (Message("user", asked), Message("assistant", written))
)
"""Worked examples, the same before every item, so that an engine can keep them cached."""


@dataclass(frozen=True)
class OpenEnded:
    """Seeded writing tasks at five levels of difficulty; no file, no network.

    Item i is drawn from the seed and i alone; its level is i mod 5. A reply is correct when it
    meets every constraint; `Grade.score` is the share that it meets.
    """

    n_items: int = 25
    max_tokens: int = 40
    name: str = "open_ended"
    task_class: str = "open_ended"

    def __post_init__(self) -> None:
        for key in ("n_items", "max_tokens"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} is {getattr(self, key)}; it must be at least 1")

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Return items 0, 1, ... up to `limit` or `n_items`."""
        return [self.item(seed, i) for i in range(self.n_items if limit is None else limit)]

    def item(self, seed: int, i: int) -> Item:
        """Return item i; its target is a tuple of constraints."""
        r = random.Random(f"{self.name}/{seed}/{i}")
        level = i % len(LEVELS)
        asked, constraints = r.choice(LEVELS[level])(r)
        problem = Problem(
            id=f"open-{seed}-{i}",
            task=self.name,
            task_class=self.task_class,
            messages=(*HEADER, Message("user", asked)),
            stop=("\n",),
            max_tokens=self.max_tokens,
            stratum=f"level{level + 1}",
        )
        return Item(problem, constraints)

    def answer(self, problem: Problem, text: str) -> str | None:
        """Return the text without the white space around it; None when nothing is left."""
        return text.strip() or None

    def grade(self, item: Item, text: str) -> Grade:
        """Check every constraint; a blank text is unparsed."""
        return grade_constraints(cast("tuple[Constraint, ...]", item.target), text)
