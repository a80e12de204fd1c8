"""Grades by a judge: asks it about the replies in the store, and reads its verdicts there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from tsbench.asks import as_reply, oracle
from tsbench.grading import columns
from tsbench.judges import Judge
from tsbench.judges.base import graded
from tsbench.judges.baselines import OWN, baseline_of
from tsbench.models.base import Model, Served
from tsbench.recipe import remade
from tsbench.runner import Job
from tsbench.store import SCHEMA, SCHEMA_VERSION, Row, Store
from tsbench.strategies.base import rounds
from tsbench.types import (
    Baseline,
    Draw,
    Grade,
    Grading,
    Item,
    Problem,
    Reply,
    Steps,
    Strategy,
    Task,
    Verifier,
)

COMPARABLE = ("ok", "truncated")
"""Statuses of a baseline's reply that others are compared with; one that was cut as it stands."""
LAST = 1 << 20
"""The place of a task's judgements, behind those of its strategies."""
FILE = "file"
"""The endpoint of replies that nobody was asked for."""
READ = ("ok", "unparsed")
"""Statuses of a judgement that the judge answered."""
UNREAD = "the verifier gave no score"
UNASKED = Reply("", "", status="error", reason="not asked yet; sweep again to ask")


def is_judged(task: Task) -> bool:
    """Say whether a task's replies are graded by a judge."""
    return bool(getattr(task, "judged", False))


def check(
    judge: Judge | None,
    model: Model,
    verifiers: Mapping[str, Verifier],
    plan: Sequence[tuple[Task, list[Item], list[Strategy]]],
) -> None:
    """Refuse, before anything is spent, a judge that is absent, of no use, or lacks baselines.

    A judge that is also the model of a selecting verifier is allowed, and said aloud.
    """
    tasks = [(task, items, strategies) for task, items, strategies in plan if is_judged(task)]
    if judge is None:
        if tasks:
            raise ValueError(
                f"task: the replies to {tasks[0][0].name} are graded by a judge model, and none is "
                "configured; give judge=pairwise or judge=rubric, with its judge.model"
            )
        return
    if not tasks:
        raise ValueError("judge: no task is graded by a judge; leave it out, or name such a task")
    if judge.model is None:
        raise ValueError("judge.model must be given: a judge is asked through a model of its own")
    for task, items, strategies in tasks:
        if same(judge.model, model) and judge.baseline != OWN:
            print(f"{task.name}: the judge is the swept model, which may favour its own replies")
        used = {getattr(strategy, "verifier", None) for strategy in strategies} - {None}
        for name in sorted(map(str, used)):
            if oracle(verifiers[name]):
                raise ValueError(
                    f"strategy.verifier {name!r} is shown the grade, which a judge gives to "
                    f"{task.name} only when its strategies have run"
                )
            if same(judge.model, getattr(verifiers[name], "model", None) or model):
                print(
                    f"{task.name}: the judge's model is also that of the verifier {name}, so what "
                    "it selects is what it likes: grades flatter that strategy"
                )
        if judge.baseline not in (None, OWN):
            baseline_of(str(judge.baseline), task.name, [item.problem.id for item in items])


def same(one: Model, other: Model) -> bool:
    """Say whether two configs are of one model at one address."""

    def place(model: Model) -> tuple[object, ...]:
        keys = ("base_url", "path", "repo", "file", "revision", "wheel")
        return (model.name, *(getattr(model, key, None) for key in keys))

    return place(one) == place(other)


@dataclass(frozen=True)
class Assess:
    """Asks a judge about replies to one problem: an evaluation in the form of a strategy.

    What it asks is no strategy's spend, and it picks nothing. `published` is the baseline's reply
    where a file has it, and `reference` the reference answer that the judge is shown. Where the
    baseline gave no reply there is nothing to compare with, and no judgement is asked.
    """

    judge: Judge
    replies: tuple[Reply, ...]
    reference: str | None = field(repr=False)
    published: Reply | None = None
    name: ClassVar[str] = "assess"
    budget: ClassVar[int] = 0
    rounds: ClassVar[int] = 2

    def run(self, problem: Problem) -> Steps:
        """Yield the baseline's draw, where it is the model's own, and then every judgement."""
        against = self.published
        if self.judge.baseline == OWN:
            (against,) = yield [Baseline()]
        if against is None or against.status in COMPARABLE:
            yield [
                Grading(reply, self.judge.name, against, self.reference, swapped)
                for reply in self.replies
                for swapped in self.judge.orders
                for _ in range(self.judge.repeats)
            ]
        return None


@dataclass(frozen=True)
class Assessed:
    """A strategy, and then the judge on every whole reply that it was given: for a forecast."""

    strategy: Strategy
    judge: Judge
    reference: str | None = field(repr=False)
    published: Reply | None = None
    name: ClassVar[str] = "assessed"
    budget: ClassVar[int] = 0

    @property
    def rounds(self) -> int:
        """The most lists of asks."""
        return rounds(self.strategy) + Assess.rounds

    def run(self, problem: Problem) -> Steps:
        """Yield what the strategy asks, and then the judgements."""
        given: dict[str, Reply] = {}
        steps = self.strategy.run(problem)
        with suppress(StopIteration):
            asks = next(steps)
            while True:
                replies = yield asks
                for ask, reply in zip(asks, replies, strict=True):
                    if isinstance(ask, Draw) and not ask.partial and reply.answer is not None:
                        given[reply.key] = reply
                asks = steps.send(replies)
        if given:
            whole = tuple(given.values())
            yield from Assess(self.judge, whole, self.reference, self.published).run(problem)
        return None


def foreseen(judge: Judge, items: Sequence[Item], jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield jobs of one task with the judgements of what they draw, under one label."""
    by_id = {item.problem.id: item for item in items}
    published = published_of(judge, [item.problem for item in items])
    for job in jobs:
        item = by_id[job.problem.id]
        strategy = Assessed(job.strategy, judge, reference_of(item), published.get(job.problem.id))
        yield replace(job, strategy=strategy, label=(job.label[0], LAST, job.label[2]))


def assessments(
    judge: Judge, task: Task, items: Sequence[Item], store: Store, run: str, served: Served
) -> list[Job]:
    """Return a job a problem: the judgements of the swept model's whole replies to it.

    Replies out of a baseline's file are put into the store, so that it says what was judged.
    """
    by_id = {item.problem.id: item for item in items}
    found: dict[str, list[Reply]] = {}
    for row in gradable(store, task.name):
        ours = (row["model"], row["endpoint"]) == (served.model, served.endpoint)
        if ours and row["problem_id"] in by_id:
            found.setdefault(row["problem_id"], []).append(as_reply(row))
    published = published_of(judge, [by_id[problem_id].problem for problem_id in found])
    jobs = []
    for problem_id, replies in found.items():
        item, against = by_id[problem_id], published.get(problem_id)
        if against is not None and store.answered(against.key) is None:
            store.put(published_row(item.problem, against, run, served.model))
        strategy = Assess(judge, tuple(replies), reference_of(item), against)
        jobs.append(Job(task, item.problem, strategy))
    return jobs


def most(judge: Judge, jobs: Sequence[Job]) -> int:
    """Return the most asks of any of these assessments."""
    sizes = [len(job.strategy.replies) for job in jobs if isinstance(job.strategy, Assess)]
    return 1 + max(sizes, default=0) * len(judge.orders) * judge.repeats


def published_of(judge: Judge, problems: Sequence[Problem]) -> dict[str, Reply]:
    """Return the replies of a baseline that is a file by problem; nothing of any other."""
    if judge.baseline in (None, OWN) or not problems:
        return {}
    ids = [problem.id for problem in problems]
    texts = baseline_of(str(judge.baseline), problems[0].task, ids)
    found = {}
    for problem in problems:
        whole = json.dumps([problem.task, problem.id, texts[problem.id]])
        key = hashlib.sha256(whole.encode()).hexdigest()[:32]
        found[problem.id] = Reply(key, texts[problem.id])
    return found


def published_row(problem: Problem, reply: Reply, run: str, model: str) -> Row:
    """Return the row of a reply that nobody was asked for."""
    return {
        "key": reply.key,
        "run": run,
        "task_class": problem.task_class,
        "task": problem.task,
        "problem_id": problem.id,
        "stratum": problem.stratum,
        "model": model,
        "endpoint": FILE,
        "kind": Baseline.kind,
        "index": 0,
        "params": json.dumps({"baseline": True}),
        "partial": False,
        "thinking_kind": "none",
        "text": reply.text,
        "status": "ok",
        "finish": "stop",
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "completion_tokens": 0,
        "reasoning_tokens": 0,
        "counted_by": "none",
        "seconds": 0.0,
        "started": time.time(),
        "attempts": 0,
        "graded": True,
        "schema_version": SCHEMA_VERSION,
    }


def gradable(store: Store, task: str) -> list[Row]:
    """Return a task's whole replies: those that the model, and not its limit, ended."""
    return [
        row
        for row in store.rows(SCHEMA.names)
        if row["task"] == task
        and row["kind"] == "draw"
        and not row["partial"]
        and row["status"] in ("ok", "error")
        and row["finish"] is not None
    ]


def write(store: Store, row: Row, grade: Grade) -> None:
    """Write a grade to a stored reply, where it says anything new."""
    new = columns(grade)
    if any(row.get(column) != value for column, value in new.items()):
        store.update(row["key"], new)


def remembered(judge: Judge) -> dict[str, Any]:
    """Return what makes a judge again, without its model, and what its model's tokens cost."""
    model = judge.model
    return {
        "name": judge.name,
        "recipe": remade(replace(judge, model=None)),  # type: ignore[type-var]
        "dollars_in": getattr(model, "dollars_in", None),
        "dollars_out": getattr(model, "dollars_out", None),
    }


def grade(judge: Judge, endpoint: str, task: str, store: Store) -> None:
    """Grade a task's replies by the verdicts in the store, and say aloud how many have no grade.

    A reply that the judge could not grade is tried again the next time.
    """
    grades = again(judge, endpoint, task, store)
    for row in gradable(store, task):
        write(store, row, grades[row["key"]])
    ungraded = [each for each in grades.values() if each.correct is None]
    if ungraded:
        print(
            f"{task}: {len(ungraded)} of {len(grades)} replies have no grade; the first: "
            f"{ungraded[0].reason}"
        )


def again(judge: Judge, endpoint: str, task: str, store: Store) -> dict[str, Grade]:
    """Read every stored verdict on a task's replies anew; return the grades by reply.

    `endpoint` is where the judge's model was asked. A verdict that the store has not leaves its
    reply without a grade; a sweep asks for it.
    """
    places = [(swapped, i) for swapped in judge.orders for i in range(judge.repeats)]
    found: dict[str, dict[tuple[bool, int], Reply]] = {}
    baselines: dict[tuple[str, ...], Reply] = {}
    for row in store.rows(SCHEMA.names):
        drawn = row["kind"] == Baseline.kind and row["endpoint"] != FILE
        better = row["status"] in COMPARABLE or drawn_by(row) not in baselines
        if row["task"] == task and drawn and better:
            baselines[drawn_by(row)] = as_reply(row)
        if row["task"] == task and row["kind"] == Grading.kind:
            params = json.loads(row["params"])
            if (row["verifier"], row["endpoint"], params["verifier"]) == (
                *(judge.name, endpoint),
                repr(judge),
            ):
                verdict = reread(judge, row, swapped=params["swapped"], store=store)
                place = params["swapped"], row["index"]
                known = found.setdefault(row["of"], {})
                if place not in known or verdict.status in READ:
                    known[place] = verdict
    grades = {}
    for row in gradable(store, task):
        verdicts, against = found.get(row["key"], {}), baselines.get(drawn_by(row))
        if judge.baseline == OWN and against is not None and (why := unfit(against)):
            grades[row["key"]] = Grade(None, "error", why)
        else:
            said = [(place[0], verdicts.get(place, UNASKED)) for place in places]
            grades[row["key"]] = graded(said)
    return grades


def drawn_by(row: Row) -> tuple[str, ...]:
    """Return the problem of a reply, and who answered it."""
    return (row["problem_id"], row["model"], row["endpoint"])


def reread(judge: Judge, row: Row, *, swapped: bool, store: Store) -> Reply:
    """Return a stored verdict as it is read now, which the store is told where it is news."""
    if row["status"] not in READ:
        return as_reply(row)
    score = judge.read(row["text"], swapped=swapped)
    new = {"score": score, "status": "unparsed" if score is None else "ok"}
    if any(row[column] != value for column, value in new.items()):
        store.update(row["key"], {**new, "reason": None if score is not None else UNREAD})
    return replace(as_reply(row), score=score, status="unparsed" if score is None else "ok")


def reference_of(item: Item) -> str | None:
    """Return the reference answer that a judge may be shown."""
    return item.target if isinstance(item.target, str) else None


def unfit(against: Reply) -> str | None:
    """Return why a baseline's reply cannot be compared with, None where it can."""
    if against.status in COMPARABLE:
        return None
    return f"judge: the baseline's reply is {against.status}" + (
        f" ({against.reason})"[:300] if against.reason else ""
    )
