"""tsbench regrade: grade what a run folder holds anew, without asking a model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsbench import judging, manifest, strategies
from tsbench.cost import Prices, remembered
from tsbench.fit import Fit
from tsbench.grading import READ, columns, together
from tsbench.ledger import POOLED, regraded, save, tables
from tsbench.recipe import made, remade
from tsbench.report import Report
from tsbench.store import ANALYSED, Store
from tsbench.sweep import described, probed, unique
from tsbench.tasks.suite import Suite
from tsbench.types import Item, Strategy, Task

NEVER = ("truncated", "refused")
"""Statuses that the model gave its reply, which no grader changes."""


@dataclass(frozen=True)
class Regrade:
    """Read and grade every reply of a run folder again, then rewrite its outcomes and fit.

    Parameters
    ----------
    run : the folder.
    task : one, or a suite, in place of those of the same name; None takes each as the manifest
        says that it was made.
    jobs : processes that grade, as joblib counts them.
    analyse : fit and report at the end.
    delta, seed : see `Fit`.
    """

    run: str
    task: Task | Suite | None = None
    jobs: int = -1
    analyse: bool = True
    delta: float = 0.01
    seed: int = 0

    def __call__(self) -> None:
        """Regrade; an answer that changed changes votes over a pool, but makes no run anew."""
        folder = Path(self.run)
        if not (folder / "samples").is_dir():
            raise ValueError(f"run: {folder} has no samples; it is no folder of a sweep")
        known = manifest.read(folder)
        with Store(folder) as store:
            known["tasks"] = tasks_of(known, store)
            tasks = self.tasks(folder, known)
            probed(tasks)
            plan = [(task, items_of(task, known, store)) for task in tasks]
            for task in tasks:
                list(outcomes_of(folder, task.name, known))
            done = {}
            for task, items in plan:
                judge = known["tasks"][task.name].get("judge")
                done[task.name] = (
                    judged_again(task, judge, known, store)
                    if judge
                    else again(task, items, store, self.jobs)
                )
                print(told(task.name, done[task.name]))
                samples = store.frame(ANALYSED, task=task.name)
                samples = samples[samples["problem_id"].isin(items)]
                rewrite(folder, task.name, known, samples)
        self.remember(folder, known, tasks, done)
        if self.analyse:
            Fit(run=self.run, delta=self.delta, seed=self.seed)()
            print(f"Report: {Report(run=self.run)()}")

    def tasks(self, folder: Path, known: manifest.Manifest) -> list[Task]:
        """Return the folder's tasks; ValueError where one is unknown, or cannot be made again."""
        given = self.task.tasks.values() if isinstance(self.task, Suite) else [self.task]
        new = {task.name: task for task in given if task is not None}
        if unknown := sorted(new.keys() - known["tasks"].keys()):
            raise ValueError(
                f"task: {folder} holds no replies to {unknown[0]}; it has those to "
                f"{', '.join(known['tasks'])}"
            )
        found = []
        for name, entry in known["tasks"].items():
            if name not in new and entry["recipe"] is None:
                raise ValueError(
                    f"run: {folder} does not say how the task {name} was made; give task="
                )
            found.append(new[name] if name in new else made(entry["recipe"]))
        return found

    def remember(
        self,
        folder: Path,
        known: manifest.Manifest,
        tasks: Sequence[Task],
        done: Mapping[str, Counter[tuple[str, str]]],
    ) -> None:
        """Write the tasks as they are now, and what changed, into the manifest."""
        for task in tasks:
            known["tasks"][task.name]["recipe"] = remade(task)
            for job in known.get("jobs", {}).values():
                if job["task"]["name"] == task.name:
                    job["task"] = described(task)
        changed = {
            name: {f"{before} to {after}": n for (before, after), n in counts.items()}
            for name, counts in done.items()
        }
        entry = {"at": time.time(), "versions": manifest.versions(), "replies": changed}
        known["regraded"] = [*known.get("regraded", []), entry]
        manifest.write(folder, known)


def tasks_of(known: manifest.Manifest, store: Store) -> dict[str, Any]:
    """Return how each task of a folder was made; None for the recipe where it does not say."""
    ids: dict[str, set[str]] = {}
    for row in store.rows(["task", "problem_id"]):
        ids.setdefault(row["task"], set()).add(row["problem_id"])
    said = known.get("tasks", {})
    unsaid = {"recipe": None, "seed": known.get("seed", 0)}
    return {name: said.get(name, {**unsaid, "problems": len(ids[name])}) for name in sorted(ids)}


def items_of(task: Task, known: manifest.Manifest, store: Store) -> dict[str, Item]:
    """Return the task's problems by id; ValueError where the store has others."""
    entry = known["tasks"][task.name]
    items = unique(task.items(entry["seed"], entry["problems"]))
    by_id = {item.problem.id: item for item in items}
    rows = store.rows(["task", "problem_id"])
    absent = {row["problem_id"] for row in rows if row["task"] == task.name} - by_id.keys()
    if absent:
        raise ValueError(
            f"task: {task.name} has no problem {min(absent)!r}, to which the folder holds replies "
            f"({len(absent)} problems are absent); give the file and the seed of the sweep"
        )
    return by_id


def again(
    task: Task, items: Mapping[str, Item], store: Store, jobs: int
) -> Counter[tuple[str, str]]:
    """Grade every whole reply of a task; return how many went from which verdict to which."""
    rows = (
        row
        for row in store.rows([*READ, "kind", "partial", "correct"])
        if row["task"] == task.name
        and row["problem_id"] in items
        and row["kind"] == "draw"
        and not row["partial"]
        and row["finish"] is not None
        and row["status"] not in NEVER
    )
    counts: Counter[tuple[str, str]] = Counter()
    for same, found in together(task, items, rows, jobs):
        changes = columns(found.grade)
        if found.grade.status in ("ok", "unparsed"):
            changes["answer"] = found.answer
        for row in same:
            counts[verdict(row), verdict(changes)] += 1
            store.update(row["key"], changes)
    return counts


def judged_again(
    task: Task, judge: Mapping[str, Any], known: manifest.Manifest, store: Store
) -> Counter[tuple[str, str]]:
    """Grade every whole reply of a task by the stored verdicts of its judge; no model is asked."""
    endpoint = known["judges"][judge["name"]]["endpoint"]
    grades = judging.again(made(judge["recipe"]), endpoint, task.name, store)
    counts: Counter[tuple[str, str]] = Counter()
    for row in judging.gradable(store, task.name):
        counts[verdict(row), verdict(columns(grades[row["key"]]))] += 1
        judging.write(store, row, grades[row["key"]])
    return counts


def verdict(row: Mapping[str, Any]) -> str:
    """Return what became of a reply, in a word."""
    if row["correct"] is None:
        return "ungraded" if row["status"] == "ok" else str(row["status"])
    return {1.0: "right", 0.0: "wrong"}.get(row["correct"], f"{row['correct']:g}")


def told(name: str, counts: Counter[tuple[str, str]]) -> str:
    """Return the counts as a line."""
    moved = [f"{n} {a} to {b}" for (a, b), n in sorted(counts.items()) if a != b]
    return f"{name}: {counts.total()} replies graded; {', '.join(moved) or 'none changed'}"


def rewrite(folder: Path, name: str, known: manifest.Manifest, samples: pd.DataFrame) -> None:
    """Write a task's outcomes by the grades that its `samples` have now.

    A strategy over a pool of draws is evaluated anew; any other keeps the replies that it picked.
    """
    for job, before, pooled in outcomes_of(folder, name, known):
        model = str(before["model"].iloc[0])
        served = known["models"][model]
        here = (samples["kind"] == "judge") | (samples["endpoint"] == served["endpoint"])
        mine = samples[here & (samples["model"] == model)].reset_index(drop=True)
        if pooled is None:
            after = {str(before["strategy"].iloc[0]): regraded(mine, before)}
        else:
            judges = known.get("judges", {})
            own = {n: v["model"] for n, v in job["verifiers"].items() if n in judges}
            prices = {name: remembered(judges[name], model) for name, model in own.items()}
            after = tables(mine, [(pooled, [])], Prices(remembered(served, job["model"]), prices))
        save(folder, name, model, after)


def outcomes_of(
    folder: Path, name: str, known: manifest.Manifest
) -> Iterator[tuple[Mapping[str, Any], pd.DataFrame, Strategy | None]]:
    """Yield the job and the outcomes of each strategy of a task, and the strategy if over a pool.

    Raises ValueError for the outcomes of any other that do not say what was picked.
    """
    for path in sorted((folder / "outcomes").glob("part-*.parquet")):
        table = pd.read_parquet(path)
        task, model, strategy = (table[column].iloc[0] for column in ("task", "model", "strategy"))
        if task != name:
            continue
        job = known["jobs"].get(f"{name} with {model} by {strategy}", {})
        pooled = None if "picked" in table or not job else pooled_strategy(job["strategy"])
        if pooled is None and "picked" not in table:
            raise ValueError(
                f"run: the outcomes of {strategy} do not say which replies were picked; sweep "
                "again, which asks nothing that is answered"
            )
        yield job, table, pooled


def pooled_strategy(config: Mapping[str, Any]) -> Strategy | None:
    """Return the strategy of a job where it is one over a pool, else None."""
    kind: Any = getattr(strategies, config["class"], None)
    if kind not in POOLED:
        return None
    found: Strategy = kind(**{key: value for key, value in config.items() if key != "class"})
    return found
