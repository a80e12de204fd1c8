"""Grades by a judge: asks it about the replies in the store, and reads its verdicts there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tsbench.asks import as_reply, oracle
from tsbench.grading import columns
from tsbench.judges import Judge
from tsbench.judges.base import graded
from tsbench.judges.baselines import OWN, baseline_of
from tsbench.models.base import Model
from tsbench.recipe import remade
from tsbench.runner import Runner, Stopped
from tsbench.store import SCHEMA, SCHEMA_VERSION, Row, Store
from tsbench.types import Baseline, Grade, Grading, Item, Problem, Reply, Strategy, Task, Verifier

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
class Judging:
    """Grades a task's replies by a judge, through the runner that asked for them."""

    judge: Judge
    runner: Runner

    async def grade(
        self, task: Task, items: Sequence[Item], on_judged: Callable[[], None] = lambda: None
    ) -> None:
        """Ask for every judgement that the store has not, and grade each reply by its own.

        A reply that the judge could not grade is tried again the next time; what it has answered
        is not asked again, and what is not asked once the runner has stopped is left for then.
        """
        by_id = {item.problem.id: item for item in items}
        mine = self.replies(task, items)
        try:
            against = await self.baselines(task, [by_id[i] for i in dict.fromkeys(ids(mine))])
        except Stopped:
            return
        rows = iter(mine)

        async def worker() -> None:
            for row in rows:
                item = by_id[row["problem_id"]]
                reply, other = as_reply(row), against.get(item.problem.id)
                try:
                    grade = await self.verdict(task, item, reply, other)
                except Stopped:
                    return
                write(self.runner.store, row, grade)
                on_judged()

        model = self.judge.model
        async with asyncio.TaskGroup() as group:
            for _ in range(min(model.slots if model else 1, len(mine))):
                group.create_task(worker())
        ungraded = [row for row in self.replies(task, items) if not row["graded"]]
        if ungraded:
            print(
                f"{task.name}: {len(ungraded)} of {len(mine)} replies have no grade; the first: "
                f"{ungraded[0]['reason']}"
            )

    def wanted(self, task: Task, items: Sequence[Item]) -> int:
        """Return how many replies there are to judge."""
        return len(self.replies(task, items))

    def replies(self, task: Task, items: Sequence[Item]) -> list[Row]:
        """Return the swept model's whole replies to these problems."""
        asked, served = {item.problem.id for item in items}, self.runner.model.served
        return [
            row
            for row in gradable(self.runner.store, task.name)
            if row["problem_id"] in asked
            and (row["model"], row["endpoint"]) == (served.model, served.endpoint)
        ]

    async def verdict(self, task: Task, item: Item, reply: Reply, against: Reply | None) -> Grade:
        """Return the grade of one reply, `against` the baseline's where the judge compares."""
        if against is not None and (why := unfit(against)):
            return Grade(None, "error", why)
        wanted = [(swapped, i) for swapped in self.judge.orders for i in range(self.judge.repeats)]
        replies = await asyncio.gather(
            *(
                self.runner.reply(
                    task,
                    item.problem,
                    Grading(reply, self.judge.name, against, reference_of(item), swapped),
                    index,
                )
                for swapped, index in wanted
            )
        )
        return graded([(order, said) for (order, _), said in zip(wanted, replies, strict=True)])

    async def baselines(self, task: Task, items: Sequence[Item]) -> dict[str, Reply]:
        """Return what each problem's replies are compared with, nothing where they are not."""
        if self.judge.baseline is None:
            return {}
        problems = [item.problem for item in items]
        if self.judge.baseline == OWN:
            drawn = [self.runner.reply(task, problem, Baseline(), 0) for problem in problems]
            made = await asyncio.gather(*drawn)
            return {problem.id: reply for problem, reply in zip(problems, made, strict=True)}
        texts = baseline_of(self.judge.baseline, task.name, [problem.id for problem in problems])
        return {problem.id: self.published(problem, texts[problem.id]) for problem in problems}

    def published(self, problem: Problem, text: str) -> Reply:
        """Return a reply out of a file, which the store keeps, so that it says what was judged."""
        whole = json.dumps([problem.task, problem.id, text])
        key = hashlib.sha256(whole.encode()).hexdigest()[:32]
        if self.runner.store.answered(key) is None:
            self.runner.store.put(self.row(problem, key, text))
        return as_reply(self.runner.store.answered(key) or {})

    def row(self, problem: Problem, key: str, text: str) -> Row:
        """Return the row of a reply that nobody was asked for."""
        return {
            "key": key,
            "run": self.runner.run,
            "task_class": problem.task_class,
            "task": problem.task,
            "problem_id": problem.id,
            "stratum": problem.stratum,
            "model": self.runner.model.served.model,
            "served_model": None,
            "endpoint": "file",
            "kind": Baseline.kind,
            "index": 0,
            "params": json.dumps({"baseline": True}),
            "partial": False,
            "thinking_kind": "none",
            "text": text,
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


def again(judge: Judge, endpoint: str, task: str, store: Store) -> dict[str, Grade]:
    """Read every stored verdict on a task's replies anew; return the grades by reply.

    `endpoint` is where the judge's model was asked. A verdict that the store has not leaves its
    reply without a grade; a sweep asks for it.
    """
    asked = [(swapped, i) for swapped in judge.orders for i in range(judge.repeats)]
    found: dict[str, dict[tuple[bool, int], Reply]] = {}
    every = store.rows(SCHEMA.names)
    for row in [row for row in every if row["task"] == task and row["kind"] == Grading.kind]:
        params = json.loads(row["params"])
        mine = (row["verifier"], row["endpoint"], params["verifier"])
        if mine != (judge.name, endpoint, repr(judge)) or row["status"] not in READ:
            continue
        score = judge.read(row["text"], swapped=params["swapped"])
        new = {"score": score, "status": "unparsed" if score is None else "ok"}
        if any(row[column] != value for column, value in new.items()):
            store.update(row["key"], {**new, "reason": None if score is not None else UNREAD})
        said = replace(as_reply(row), score=score, status="unparsed" if score is None else "ok")
        found.setdefault(row["of"], {})[params["swapped"], row["index"]] = said
    return {
        row["key"]: graded([(place[0], verdicts.get(place, UNASKED)) for place in asked])
        for row in gradable(store, task)
        for verdicts in [found.get(row["key"], {})]
    }


def ids(rows: Iterable[Row]) -> Iterable[str]:
    """Yield the problem of each row."""
    return (row["problem_id"] for row in rows)


def reference_of(item: Item) -> str | None:
    """Return the reference answer that a judge may be shown."""
    return item.target if isinstance(item.target, str) else None


def unfit(against: Reply) -> str | None:
    """Return why a baseline's reply cannot be compared with, None where it can."""
    if against.status == "ok":
        return None
    return f"judge: the baseline's reply is {against.status}" + (
        f" ({against.reason})"[:300] if against.reason else ""
    )
