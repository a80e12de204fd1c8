"""Small functions to write: what each says, does, and is called with.

Five levels: an operator on numbers; a call or a slice; one comprehension; two steps; a small
algorithm.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass

Arguments = tuple[object, ...]
Inputs = Callable[[random.Random, int], list[Arguments]]

WORDS = ("sun", "river", "apple", "tea", "garden", "stone", "level", "cat", "window", "noon", "a")
LETTERS = "aeinorst"
CONSTANTS = range(2, 10)
SPELLINGS = {
    "a": ("a", "x", "p", "left"),
    "b": ("b", "y", "q", "right"),
    "n": ("n", "num", "number", "value"),
    "items": ("items", "values", "elements", "entries"),
    "text": ("text", "line", "phrase", "message"),
    "rows": ("rows", "grid", "table", "matrix"),
}
N_SPELLINGS = 4


@dataclass(frozen=True)
class Template:
    """A function to write; $k and $m stand for two numbers (k < m), and $c for a letter.

    `inputs(r, k)` gives its arguments, edge cases first. Parameters may be spelled otherwise.
    """

    name: str
    params: str
    doc: str
    body: str
    inputs: Inputs


@dataclass(frozen=True)
class Function:
    """One function to write, with its solution's source and its arguments."""

    name: str
    signature: str
    doc: str
    body: str
    inputs: tuple[Arguments, ...]

    @property
    def stub(self) -> str:
        """The signature and the docstring."""
        return f'{self.signature}\n    """{self.doc}"""'

    @property
    def solution(self) -> str:
        """The whole program."""
        return self.signature + "".join(f"\n    {line}" for line in self.body.split("\n")) + "\n"

    def outputs(self) -> list[object]:
        """Return what the solution gives for every input."""
        namespace: dict[str, Callable[..., object]] = {}
        exec(self.solution, namespace)
        return [namespace[self.name](*args) for args in self.inputs]


def fill(template: Template, lap: int, seed: str) -> Function:
    """Choose the template's constants, names and arguments.

    Laps 0 to 3 of one seed differ in the parameter's name, and 0 to 7 in $k.
    """
    r = random.Random(f"{seed}/{template.name}")
    k = r.sample(CONSTANTS, len(CONSTANTS))[lap % len(CONSTANTS)]
    turns = r.sample(range(N_SPELLINGS), N_SPELLINGS)
    r = random.Random(f"{seed}/{template.name}/{lap}")
    values = {"k": str(k), "m": str(k + r.randint(2, 9)), "c": r.choice(LETTERS)}

    def filled(text: str) -> str:
        text = string.Template(text).substitute(values)
        for param in template.params.split(", "):
            text = re.sub(rf"\b{param}\b", SPELLINGS[param][turns[lap % N_SPELLINGS]], text)
        return text

    name = string.Template(template.name).substitute(values)
    signature = filled(f"def {name}({template.params}):")
    inputs = tuple(template.inputs(r, k))
    return Function(name, signature, filled(template.doc), filled(template.body), inputs)


def number(r: random.Random, k: int) -> list[Arguments]:
    """One integer, some near $k and its multiples."""
    edges = [0, 1, -1, k, k - 1, k + 1, 3 * k, -2 * k, 15]
    return [(n,) for n in edges + [r.randint(-40, 120) for _ in range(5)]]


def natural(r: random.Random, k: int) -> list[Arguments]:
    """One integer from 0 to 60."""
    return [(n,) for n in (0, 1, 2, 3, 4, 5, 9, 10, 7 * k, *r.sample(range(11, 60), 5))]


def positive(r: random.Random, k: int) -> list[Arguments]:
    """One integer from 1 to 60."""
    return [(n,) for n in (1, 2, 3, 4, 5, 7, 8, 9, 16, 27, *r.sample(range(11, 60), 5))]


def pair(r: random.Random, k: int) -> list[Arguments]:
    """Two integers."""
    edges: list[Arguments] = [(0, 0), (1, 0), (0, 1), (-3, 2), (2, -3), (k, k), (12, 8)]
    return edges + [(r.randint(-30, 60), r.randint(-30, 60)) for _ in range(6)]


def naturals(r: random.Random, k: int) -> list[Arguments]:
    """Two positive integers."""
    edges: list[Arguments] = [(1, 1), (1, 5), (6, 4), (12, 18), (k, 3 * k), (7, 5)]
    return edges + [(r.randint(1, 60), r.randint(1, 60)) for _ in range(6)]


def some(r: random.Random, k: int) -> list[Arguments]:
    """A list of integers, never empty; some of it near $k and its multiples."""
    edges = [
        [k],
        [-1],
        [k - 1, 1],
        [3, 3],
        [2, 1],
        [k - 1, k, k + 1],
        [-5, -2, -9],
        [2 * k, k, 3 * k, 4],
    ]
    return [
        (items,) for items in edges + [r.choices(range(-9, 25), k=r.randint(4, 7)) for _ in "abcde"]
    ]


def many(r: random.Random, k: int) -> list[Arguments]:
    """A list of integers, once empty."""
    return [([],), *some(r, k)]


def word(r: random.Random, k: int) -> list[Arguments]:
    """A string without spaces, mixed in case."""
    edges = ["Ab", "LEVEL", "noon", "Tea", "banana", "rivers", "rotators"]
    return [(text,) for text in edges + [r.choice(WORDS) + r.choice(WORDS) for _ in range(6)]]


def words(r: random.Random, k: int) -> list[Arguments]:
    """A string of words."""
    texts = [" ".join(r.choices(WORDS, k=r.randint(2, 5))) for _ in range(7)]
    return [
        (text,)
        for text in ["tea", "a noon sun", "rotator in nests", f"Over {'x' * (k + 1)}", *texts]
    ]


def starts(r: random.Random, k: int) -> list[Arguments]:
    """A word behind each letter that $c may be, upper case and lower case."""
    return [(letter + r.choice(WORDS),) for letter in [*LETTERS, *LETTERS.upper()]]


def lists(r: random.Random, k: int) -> list[Arguments]:
    """A list of lists of integers of one length."""
    edges: list[list[list[int]]] = [[[1]], [[1, 2]], [[1], [2]], [[1, 2], [3, 4]], [[0, 0], [5, 6]]]
    shapes = [(r.randint(1, 4), r.randint(1, 4)) for _ in range(6)]
    grids = [[r.choices(range(-9, 20), k=columns) for _ in range(rows)] for rows, columns in shapes]
    return [(grid,) for grid in edges + grids]


def brackets(r: random.Random, k: int) -> list[Arguments]:
    """A string of round brackets."""
    edges = ["", "()", ")(", "(", ")", "(())", "()()", "(()", "())(", "(()())"]
    return [(text,) for text in edges + ["".join(r.choices("()", k=6)) for _ in range(4)]]


LEVELS: tuple[tuple[Template, ...], ...] = (
    (
        Template("add", "a, b", "Return a plus b.", "return a + b", pair),
        Template("add_$k", "n", "Return n plus $k.", "return n + $k", number),
        Template("subtract", "a, b", "Return a minus b.", "return a - b", pair),
        Template("minus_$k", "n", "Return n minus $k.", "return n - $k", number),
        Template("multiply", "a, b", "Return a times b.", "return a * b", pair),
        Template("times_$k", "n", "Return n times $k.", "return n * $k", number),
        Template("double", "n", "Return n times 2.", "return n * 2", number),
        Template("half", "n", "Return half of n.", "return n / 2", number),
        Template("square", "n", "Return the square of n.", "return n ** 2", number),
        Template("power_$k", "n", "Return n to the power of $k.", "return n ** $k", number),
        Template("is_even", "n", "Return True if n is even.", "return n % 2 == 0", number),
    ),
    (
        Template("size", "items", "Return the number of items.", "return len(items)", many),
        Template("total", "items", "Return the sum of items.", "return sum(items)", many),
        Template("largest", "items", "Return the largest of items.", "return max(items)", some),
        Template("smallest", "items", "Return the smallest of items.", "return min(items)", some),
        Template(
            "mean", "items", "Return the mean of items.", "return sum(items) / len(items)", some
        ),
        Template("first", "items", "Return the first item.", "return items[0]", some),
        Template("last", "items", "Return the last item.", "return items[-1]", some),
        Template("length", "text", "Return the length of text.", "return len(text)", word),
        Template("upper", "text", "Return text in upper case.", "return text.upper()", word),
        Template("lower", "text", "Return text in lower case.", "return text.lower()", word),
        Template("backwards", "text", "Return text reversed.", "return text[::-1]", word),
        Template("start", "text", "Return the first $k letters of text.", "return text[:$k]", word),
        Template("over_$k", "n", "Return True if n is more than $k.", "return n > $k", number),
        Template(
            "divisible_by_$k",
            "n",
            "Return True if n is divisible by $k.",
            "return n % $k == 0",
            number,
        ),
    ),
    (
        Template(
            "even_items",
            "items",
            "Return a list of the even items.",
            "return [x for x in items if x % 2 == 0]",
            many,
        ),
        Template(
            "positive_items",
            "items",
            "Return a list of the positive items.",
            "return [x for x in items if x > 0]",
            many,
        ),
        Template(
            "over",
            "items",
            "Return a list of the items greater than $k.",
            "return [x for x in items if x > $k]",
            many,
        ),
        Template(
            "multiples_of_$k",
            "items",
            "Return a list of the items divisible by $k.",
            "return [x for x in items if x % $k == 0]",
            many,
        ),
        Template(
            "scaled",
            "items",
            "Return a list of every item times $k.",
            "return [x * $k for x in items]",
            many,
        ),
        Template(
            "squares",
            "n",
            "Return a list of the squares of 1 to n.",
            "return [x**2 for x in range(1, n + 1)]",
            natural,
        ),
        Template(
            "divisors",
            "n",
            "Return a list of the divisors of n.",
            "return [d for d in range(1, n + 1) if n % d == 0]",
            positive,
        ),
        Template(
            "sum_even",
            "items",
            "Return the sum of the even items.",
            "return sum(x for x in items if x % 2 == 0)",
            many,
        ),
        Template(
            "sum_of_squares",
            "items",
            "Return the sum of the squares of items.",
            "return sum(x**2 for x in items)",
            many,
        ),
        Template(
            "palindrome",
            "text",
            "Return True if text reads the same backwards.",
            "return text == text[::-1]",
            word,
        ),
        Template(
            "without_$c",
            "text",
            "Return text without the letter '$c'.",
            "return text.replace('$c', '')",
            words,
        ),
    ),
    (
        Template("scale", "a, b", "Return a times $k plus b.", "return a * $k + b", pair),
        Template("gap", "a, b", "Return how far a is from b.", "return abs(a - b)", pair),
        Template(
            "is_between",
            "n",
            "Return True if n is at least $k and at most $m.",
            "return $k <= n <= $m",
            number,
        ),
        Template(
            "sum_to",
            "n",
            "Return the sum of the numbers from 1 to n.",
            "return sum(range(1, n + 1))",
            natural,
        ),
        Template(
            "evens",
            "n",
            "Return a list of the even numbers from 0 to n.",
            "return list(range(0, n + 1, 2))",
            natural,
        ),
        Template(
            "spread",
            "items",
            "Return the largest item minus the smallest.",
            "return max(items) - min(items)",
            some,
        ),
        Template(
            "sum_first_$k",
            "items",
            "Return the sum of the first $k items.",
            "return sum(items[:$k])",
            many,
        ),
        Template(
            "sum_over_$k",
            "items",
            "Return the sum of the items greater than $k.",
            "return sum(x for x in items if x > $k)",
            many,
        ),
        Template(
            "count_under_$k",
            "items",
            "Count the items less than $k.",
            "return sum(x < $k for x in items)",
            many,
        ),
        Template(
            "descending",
            "items",
            "Sort items from largest to smallest.",
            "return sorted(items, reverse=True)",
            many,
        ),
        Template(
            "count_$c", "text", "Count the letter '$c' in text.", "return text.count('$c')", words
        ),
        Template(
            "starts_with_$c",
            "text",
            "Return True if text starts with '$c'.",
            "return text.startswith('$c')",
            starts,
        ),
        Template(
            "first_word", "text", "Return the first word of text.", "return text.split()[0]", words
        ),
        Template(
            "dashed",
            "text",
            "Return the words of text joined by '-'.",
            "return '-'.join(text.split())",
            words,
        ),
    ),
    (
        Template(
            "digit_sum",
            "n",
            "Return the sum of the digits of n.",
            "return sum(int(d) for d in str(n))",
            natural,
        ),
        Template(
            "sum_multiples",
            "n",
            "Return the sum of the multiples of $k below n.",
            "return sum(x for x in range(n) if x % $k == 0)",
            natural,
        ),
        Template(
            "factorial",
            "n",
            "Return the factorial of n.",
            "result = 1\nfor x in range(2, n + 1):\n    result *= x\nreturn result",
            natural,
        ),
        Template(
            "is_prime",
            "n",
            "Return True if n is a prime number.",
            "return n > 1 and all(n % d for d in range(2, n))",
            natural,
        ),
        Template(
            "fibonacci",
            "n",
            "Return the n-th Fibonacci number; the 0th is 0, the first 1.",
            "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
            natural,
        ),
        Template(
            "lcm",
            "a, b",
            "Return the least common multiple of a and b.",
            "n = a\nwhile n % b:\n    n += a\nreturn n",
            naturals,
        ),
        Template(
            "unique",
            "items",
            "Return items without repeats, in their first order.",
            "return list(dict.fromkeys(items))",
            many,
        ),
        Template(
            "running_sums",
            "items",
            "Return a list of the running sums of items.",
            "return [sum(items[: i + 1]) for i in range(len(items))]",
            many,
        ),
        Template(
            "most_common",
            "items",
            "Return the most frequent item, the smallest of equals.",
            "return min(items, key=lambda x: (-items.count(x), x))",
            some,
        ),
        Template(
            "rotate_$k",
            "items",
            "Move the first item to the end, $k times; return the list.",
            "n = $k % max(len(items), 1)\nreturn items[n:] + items[:n]",
            many,
        ),
        Template(
            "chunks_of_$k",
            "items",
            "Split items into lists of $k, the last may be shorter.",
            "return [items[i : i + $k] for i in range(0, len(items), $k)]",
            many,
        ),
        Template(
            "transpose",
            "rows",
            "Return the columns of rows as lists.",
            "return [list(column) for column in zip(*rows)]",
            lists,
        ),
        Template(
            "long_words",
            "text",
            "Return a list of the words longer than $k letters.",
            "return [w for w in text.split() if len(w) > $k]",
            words,
        ),
        Template(
            "balanced",
            "text",
            "Return True if the brackets in text are balanced.",
            "depth = 0\nfor c in text:\n    depth += 1 if c == '(' else -1\n"
            "    if depth < 0:\n        return False\nreturn depth == 0",
            brackets,
        ),
    ),
)
