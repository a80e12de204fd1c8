"""tsbench sweep: ask, remember, grade, and hand over to the analysis."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from tsbench import manifest, sandbox
from tsbench.cost import Price, Prices
from tsbench.fit import Fit
from tsbench.grading import grade, read
from tsbench.ledger import POOLED, save, tables
from tsbench.models.base import Model, Served
from tsbench.progress import Progress
from tsbench.recipe import remade
from tsbench.report import Report
from tsbench.runner import Grader, Runner
from tsbench.store import SCHEMA, Store
from tsbench.strategies import Composed
from tsbench.strategies import Suite as StrategySuite
from tsbench.tasks.suite import Suite as TaskSuite
from tsbench.types import Grade, Item, Message, Outcome, Problem, Strategy, Task, Verifier


@dataclass(frozen=True)
class Sweep:
    """Run every strategy on every task, into one folder that is log, cache and resume file.

    Parameters
    ----------
    run : the folder.
    task, strategy : one of each, or a suite.
    verifiers : by the name that strategies call them.
    seed : of the problems and of the draws.
    limit : problems a task; None takes the task's own number.
    replicates : runs of a strategy that no pool of draws can stand in for.
    jobs : processes that grade, as joblib counts them.
    analyse : fit and report at the end.
    delta : accuracy that one doubling of spend must buy at the knee.
    """

    run: str
    task: Task | TaskSuite
    model: Model
    strategy: Strategy | StrategySuite
    verifiers: Mapping[str, Verifier]
    seed: int
    limit: int | None
    replicates: int
    jobs: int
    analyse: bool
    delta: float

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("replicates", self.replicates)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, found {self.seed!r}")

    def __call__(self) -> None:
        """Sweep; the same call on the same folder resumes, and asks nothing that is answered."""
        plan = self.plan()
        folder = Path(self.run)
        box = probed([task for task, _, _ in plan])
        self.check(folder, plan)
        asyncio.run(self.ask(folder, plan, box))
        if self.analyse:
            Fit(run=self.run, delta=self.delta, seed=self.seed)()
            print(f"Report: {Report(run=self.run)()}")

    def plan(self) -> list[tuple[Task, list[Item], list[Strategy]]]:
        """Return each task with its problems and strategies; ValueError where one is unusable."""
        tasks = self.task.tasks.values() if isinstance(self.task, TaskSuite) else [self.task]
        chosen = [task for task in tasks if task is not None]
        for task in chosen:
            if getattr(task, "judged", False):
                raise ValueError(
                    f"task: the replies to {task.name} are graded by a judge model, and a judge "
                    "must be configured"
                )
        return [
            (task, unique(task.items(self.seed, self.limit)), self.strategies(task))
            for task in chosen
        ]

    def strategies(self, task: Task) -> list[Strategy]:
        """Return a task's strategies; a suite leaves out, aloud, what the model cannot do."""
        if not isinstance(self.strategy, StrategySuite):
            if continues(self.strategy) and not self.model.continues:
                raise ValueError(
                    f"strategy: {self.strategy.name} continues a prefix, which model.api=chat "
                    "cannot; use model.api=completions with a template, or a model/dialect that can"
                )
            chosen: Sequence[Strategy] = [self.strategy]
        else:
            chosen = self.strategy.of(task.task_class)
            if not self.model.continues and any(map(continues, chosen)):
                left_out = ", ".join(dict.fromkeys(s.name for s in chosen if continues(s)))
                print(f"{task.name}: {left_out} left out, since model.api=chat continues no prefix")
                chosen = [s for s in chosen if not continues(s)]
        for strategy in chosen:
            parameter = getattr(getattr(strategy, "thinking", strategy), "parameter", None)
            if parameter is not None and parameter not in self.model.takes:
                raise ValueError(
                    f"strategy: {strategy.name} needs the parameter {parameter}, which the model's "
                    "endpoint does not take; it takes "
                    f"{', '.join(sorted(self.model.takes)) or 'none'} (see model/dialect, and "
                    "model.api=chat)"
                )
            verifier = getattr(strategy, "verifier", None)
            if verifier is not None and verifier not in self.verifiers:
                raise ValueError(
                    f"strategy.verifier {verifier!r} is unknown; allowed: "
                    f"{', '.join(self.verifiers)}"
                )
            if verifier is not None and compares(self.verifiers[verifier]) != compares(strategy):
                fit = [n for n, v in self.verifiers.items() if compares(v) == compares(strategy)]
                needs = "two replies compared" if compares(strategy) else "a score for each reply"
                raise ValueError(
                    f"strategy.verifier {verifier!r} does not suit {strategy.name}, which needs "
                    f"{needs}; allowed: {', '.join(fit) or 'none of those configured'}"
                )
        return list(chosen)

    def check(self, folder: Path, plan: Sequence[tuple[Task, list[Item], list[Strategy]]]) -> None:
        """Refuse a folder of another config."""
        known = manifest.read(folder).get("jobs", {})
        for task, _, strategies in plan:
            for strategy in strategies:
                label, config = self.job(task, strategy)
                manifest.check_same(folder, known, label, config)

    def job(self, task: Task, strategy: Strategy) -> tuple[str, dict[str, Any]]:
        """Return the label and the config of one task and strategy."""
        pooled = type(strategy) in POOLED or isinstance(strategy, Composed)
        budget = "" if pooled else f"@{strategy.budget}"
        used = getattr(strategy, "verifier", None)
        config = {
            "seed": self.seed,
            "replicates": self.replicates,
            "task": described(task),
            "model": described(self.model),
            "strategy": described(strategy),
            "verifiers": {used: described(self.verifiers[used])} if used else {},
        }
        return f"{task.name} with {self.model.name} by {strategy.name}{budget}", config

    async def ask(
        self,
        folder: Path,
        plan: Sequence[tuple[Task, list[Item], list[Strategy]]],
        box: Mapping[str, Any] | None,
    ) -> None:
        """Ask everything, task after task so that a task's header stays in the model's cache."""
        began = time.time()
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(self.model.connect())
            judges = {
                name: await stack.enter_async_context(judge.connect())
                for name, judge in self.judges().items()
            }
            store = stack.enter_context(Store(folder))
            progress = stack.enter_context(Progress())
            runner = Runner(
                model,
                store,
                self.verifiers,
                run=self.run,
                seed=self.seed,
                slots=self.model.slots,
                judges=judges,
                on_reply=progress.count,
            )
            for task, items, strategies in plan:
                runner.grade = grader(task, items)
                problems = in_header_order([item.problem for item in items])
                done: list[tuple[Strategy, list[Outcome]]] = []
                for strategy in strategies:
                    progress.start(f"{task.name} · {strategy.name}", len(problems))
                    unit, repeats = self.repeats(strategy)
                    ran = await runner.sweep(task, problems, unit, repeats, progress.solved)
                    done.append((strategy, ran))
                grade(task, items, store, self.jobs)
                served = {name: judge.served for name, judge in judges.items()}
                self.record(folder, task, items, store, done, model.served, served)
            self.finish(folder, plan, model.served, served, runner.calls, began, box)
        progress.summary()

    def judges(self) -> dict[str, Model]:
        """Return the models of the verifiers that have one of their own."""
        models = {name: getattr(v, "model", None) for name, v in self.verifiers.items()}
        return {name: model for name, model in models.items() if model is not None}

    def repeats(self, strategy: Strategy) -> tuple[Strategy, int]:
        """Return what is run for a strategy and how often: once where a pool stands in for it."""
        if isinstance(strategy, Composed):
            return strategy.unit, strategy.k
        return strategy, 1 if type(strategy) in POOLED else self.replicates

    def record(
        self,
        folder: Path,
        task: Task,
        items: Sequence[Item],
        store: Store,
        done: Sequence[tuple[Strategy, list[Outcome]]],
        served: Served,
        judges: Mapping[str, Served],
    ) -> None:
        """Write the outcomes of one task, a file for each strategy and model."""
        ids = {item.problem.id for item in items}
        rows = [
            row
            for row in store
            if row["task"] == task.name
            and row["problem_id"] in ids
            and row["model"] == served.model
            and row["endpoint"] == judges.get(row.get("verifier") or "", served).endpoint
        ]
        if not rows:
            return
        prices = Prices(
            priced(served, self.model),
            {name: priced(judges[name], judge) for name, judge in self.judges().items()},
        )
        samples = pd.DataFrame(rows, columns=SCHEMA.names)
        save(folder, task.name, served.model, tables(samples, done, prices))

    def asked(self, known: manifest.Manifest, task: Task, problems: int) -> dict[str, Any]:
        """Return what makes a task's problems again: how, with which seed, and how many."""
        before = known.get("tasks", {}).get(task.name, {"problems": 0})
        most = max(problems, before["problems"])
        return {"recipe": remade(task), "seed": self.seed, "problems": most}

    def finish(
        self,
        folder: Path,
        plan: Sequence[tuple[Task, list[Item], list[Strategy]]],
        served: Served,
        judges: Mapping[str, Served],
        calls: int,
        began: float,
        box: Mapping[str, Any] | None,
    ) -> None:
        """Write the manifest: what was run, with what, and what this call asked."""
        known = manifest.read(folder)
        jobs = dict(self.job(task, s) for task, _, strategies in plan for s in strategies)
        tasks = {task.name: self.asked(known, task, len(items)) for task, items, _ in plan}
        calls_made = known.get("calls", [])
        calls_made.append({"started": began, "seconds": time.time() - began, "calls": calls})
        manifest.write(
            folder,
            {
                **known,
                "schema_version": 1,
                "versions": manifest.versions(),
                "models": {**known.get("models", {}), served.model: asdict(served)},
                "judges": {
                    **known.get("judges", {}),
                    **{name: asdict(judge) for name, judge in judges.items()},
                },
                "jobs": {**known.get("jobs", {}), **jobs},
                "tasks": {**known.get("tasks", {}), **tasks},
                "sandbox": box or known.get("sandbox"),
                "command": " ".join(["tsbench sweep", *sys.argv[1:]]),
                "seed": self.seed,
                "calls": calls_made,
            },
        )


def priced(served: Served, model: Model) -> Price:
    """Return what a model's tokens cost."""
    return Price(served.params, model.dollars_in, model.dollars_out)


def grader(task: Task, items: Sequence[Item]) -> Grader:
    """Return what grades a reply at once, in a worker process, for declared oracles."""
    by_id = {item.problem.id: item for item in items}

    async def one(problem: Problem, text: str) -> Grade:
        work = [delayed(read)(task, by_id[problem.id], text)]
        (found,) = await asyncio.to_thread(Parallel(n_jobs=2, backend="loky"), work)
        return found.grade  # type: ignore[no-any-return]

    return one


def probed(tasks: Sequence[Task]) -> Mapping[str, Any] | None:
    """Return the sandbox that code tasks will be graded in, None where there are none.

    Raises SandboxUnavailable before anything is spent where none works.
    """
    code = [task for task in tasks if getattr(task, "sandboxed", False)]
    return sandbox.probe(any(getattr(task, "unsafe", False) for task in code)) if code else None


def in_header_order(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with equal worked examples side by side, so that a server's prefix
    cache holds them; otherwise in their order.
    """
    first: dict[tuple[Message, ...], int] = {}
    for i, problem in enumerate(problems):
        first.setdefault(problem.messages[:-1], i)
    return sorted(problems, key=lambda problem: first[problem.messages[:-1]])


def unique(items: list[Item]) -> list[Item]:
    """Return the items; ValueError where two have one id."""
    seen: set[str] = set()
    for item in items:
        if item.problem.id in seen:
            raise ValueError(f"task: two problems have the id {item.problem.id!r}")
        seen.add(item.problem.id)
    return items


def continues(strategy: Strategy) -> bool:
    """Say whether a strategy asks for continuations of a prefix, which a chat cannot give."""
    return bool(getattr(strategy, "continues", False))


def compares(part: Strategy | Verifier) -> bool:
    """Say whether a strategy or a verifier has replies compared in pairs."""
    return bool(getattr(part, "pairs", False))


def described(part: object) -> dict[str, Any]:
    """Return a config object's class and fields, and so on for the objects in them."""
    if not is_dataclass(part) or isinstance(part, type):
        return {"class": repr(part)}
    inner = {name: described(value) for name, value in vars(part).items() if is_dataclass(value)}
    return {"class": type(part).__name__, **asdict(part), **inner}
