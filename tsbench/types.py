"""The nouns of a sweep. Every one is frozen; none does I/O."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

Status = Literal["ok", "truncated", "unparsed", "error", "timeout", "refused", "sandbox_error"]
ThinkingKind = Literal["none", "effort", "forced", "native", "prompted", "truncated"]
EffortLevel = Literal["low", "medium", "high"]
CountedBy = Literal["server", "tokenizer", "none"]

ANSWERED: frozenset[str] = frozenset({"ok", "truncated", "unparsed", "refused"})
"""Statuses that a model reached by answering."""


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Case:
    """One call of a function and the value that it must return."""

    args: tuple[object, ...]
    expected: object


@dataclass(frozen=True)
class PublicTests:
    """The tests of a code problem that strategies and verifiers may run."""

    entry_point: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Problem:
    """What a strategy and a verifier may see of a question: never its reference.

    `messages` ends with a user turn; worked examples are earlier turns. `stop` and
    `max_tokens` bound one reply. `force` is the text that makes the model answer at once
    after its thoughts (the forced thinking budget appends it). A reply to a code problem defines
    the function `entry_point`, or continues `stub` to its end.
    """

    id: str
    task: str
    task_class: str
    messages: tuple[Message, ...]
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    force: str = "\nThe answer is"
    stratum: str | None = None
    public: PublicTests | None = None
    entry_point: str | None = None
    stub: str = ""


@dataclass(frozen=True)
class Item:
    """A problem and what grades it. `target` stays with the sweep; no strategy receives it."""

    problem: Problem
    target: object = field(repr=False)


@dataclass(frozen=True)
class Draw:
    """Ask the model for one reply that continues `prefix`; None takes the problem's own bound.

    `turns` follow the problem's messages (an earlier reply and what to do about it); a first turn
    of the user is a paragraph more of the problem's last. `effort`, and a `thinking_budget` of
    the kind "native", are asked of models that take such a parameter. A `partial` draw is a step
    (thoughts, a beam's extension): it is logged and paid for, but it is no answer and is never
    graded.
    """

    prefix: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    thinking_kind: ThinkingKind = "none"
    thinking_budget: int | None = None
    partial: bool = False
    turns: tuple[Message, ...] = ()
    effort: EffortLevel | None = None
    kind: ClassVar[str] = "draw"


@dataclass(frozen=True)
class Baseline(Draw):
    """Ask for the reply that others are compared with: a cost of evaluation, and in no pool."""

    kind: ClassVar[str] = "baseline"


@dataclass(frozen=True)
class Judge:
    """Ask `verifier` to score a reply, or how likely it is better than the reply `against`.

    It is priced like any other ask.
    """

    reply: Reply
    verifier: str
    against: Reply | None = None
    kind: ClassVar[str] = "judge"


@dataclass(frozen=True)
class Grading(Judge):
    """Ask the judge of an evaluation for a verdict that becomes a grade; no strategy does.

    It is a cost of evaluation. The judge alone is shown the `reference` answer; `swapped` shows it
    the reply `against` first.
    """

    reference: str | None = None
    swapped: bool = False
    kind: ClassVar[str] = "grade"


Ask = Draw | Judge


@dataclass(frozen=True)
class Usage:
    """Tokens and seconds of one reply or of many; compute is a value that adds.

    None is unknown, and stays unknown when added to anything.
    """

    prompt_tokens: int | None = 0
    cached_tokens: int | None = 0
    completion_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        def both(a: int | None, b: int | None) -> int | None:
            return None if a is None or b is None else a + b

        return Usage(
            both(self.prompt_tokens, other.prompt_tokens),
            both(self.cached_tokens, other.cached_tokens),
            both(self.completion_tokens, other.completion_tokens),
            both(self.reasoning_tokens, other.reasoning_tokens),
            self.seconds + other.seconds,
        )

    @property
    def tokens(self) -> int | None:
        """Tokens read and generated."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Reply:
    """What came back for one ask. It carries no grade.

    `text` is the whole reply, the draw's prefix included; `answer` is what the task read
    out of it (None: nothing). `finish` is "stop", "length" or what else the server said.
    A judge's reply has `score`, and None there means that the verifier gave no score.
    `confidence` is nats a token, over the likeliest alternatives that the endpoint listed
    (see `tsbench.verifiers.self_certainty`).
    """

    key: str
    text: str
    answer: str | None = None
    status: Status = "ok"
    finish: str | None = None
    reason: str | None = None
    score: float | None = None
    usage: Usage = Usage()
    logprob_mean: float | None = None
    confidence: float | None = None
    index: int = 0


@dataclass(frozen=True)
class Grade:
    """`correct` is 1.0, 0.0 or None; None goes with a status other than ok and a reason."""

    correct: float | None
    status: Status = "ok"
    reason: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One run of a strategy on one problem: the reply that it picked and all that it spent.

    `judges` is what each verifier spent, by its name. `thoughts` are the tokens of thought of a
    run with a thinking budget: its steps, or what the endpoint counted; None is unknown.
    """

    problem_id: str
    strategy: str
    replicate: int
    reply: Reply | None
    status: Status
    reason: str | None
    draws: Usage
    judges: Mapping[str, Usage]
    asks: int
    thoughts: int | None = None


Steps = Generator[Sequence[Ask], list[Reply], Reply | None]
Scores = Generator[Sequence[Ask], list[Reply], list[float | None]]
"""The part of a strategy that judges: it yields asks and returns what they scored."""


class Strategy(Protocol):
    """Yields asks, receives their replies, returns the reply that it picks (or None).

    `name` and `budget` (nominal: draws, or tokens of thought) label its outcomes. A strategy whose
    asks follow one another also has `rounds`, the most lists of asks that it yields, so that it
    is begun before those that are done at once (without it: 1).
    """

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> int: ...

    def run(self, problem: Problem) -> Steps: ...


class Task(Protocol):
    """A source of problems of one class, and the only place that knows their references."""

    @property
    def name(self) -> str: ...

    @property
    def task_class(self) -> str: ...

    def items(self, seed: int, limit: int | None) -> list[Item]:
        """Item i depends on (seed, i) alone, so a limit is a prefix."""
        ...

    def answer(self, problem: Problem, text: str) -> str | None:
        """The answer that `text` gives, in a form that equal answers share; None if unparsed."""
        ...

    def grade(self, item: Item, text: str) -> Grade:
        """Grade a reply's whole text against the hidden reference. Picklable, no network."""
        ...


class Verifier(Protocol):
    """Scores a reply, by itself or by calls of a model.

    `request` gives those calls (none where none is needed), `score` reads their verdicts, in the
    same order. A higher score is a better reply; None means that no score could be had. A verifier
    may also have `model`, an endpoint of its own that answers its calls; `pairs`, true where it
    compares a reply with `ask.against`; and `oracle`, true where it is shown the grade: its one
    verdict is then (correct,), for studies of imperfect verifiers alone.
    """

    @property
    def name(self) -> str: ...

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]: ...

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None: ...


@dataclass(frozen=True)
class VerifierCall:
    """A model call on a verifier's behalf: `messages`, continued from `prefix`."""

    messages: tuple[Message, ...]
    prefix: str = ""
    max_tokens: int = 1
    top_logprobs: int = 10


@dataclass(frozen=True)
class VerifierReply:
    """Its text, the log-probabilities of the likeliest first tokens, and a classifier's scores."""

    text: str
    first: Mapping[str, float] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
