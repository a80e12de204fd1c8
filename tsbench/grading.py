"""Grade replies in processes of their own: one that hangs is killed, and is lost alone."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from itertools import islice, tee

from joblib import effective_n_jobs
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tsbench.processes import Apart
from tsbench.store import Row, Store
from tsbench.types import Grade, Item, Task

SECONDS = 30.0
"""The longest that one reply may take to grade, where its task says nothing else."""
TOGETHER, AHEAD = 2000, 500
"""Replies that are in memory at once, and those of them that wait for a process."""
READ = ["key", "task", "problem_id", "text", "status", "finish", "graded"]
MEMORY = 4 * 2**30
"""Bytes of address space of a process that grades."""


@dataclass(frozen=True)
class Graded:
    """What a task reads out of a reply, and its grade."""

    answer: str | None
    grade: Grade


def grade(
    task: Task,
    items: Sequence[Item],
    store: Store,
    jobs: int,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Grade what is answered and not graded yet; what a grader could not do is tried next time.

    `jobs` are processes, as joblib counts them. Once it has `ended`, the rest is left ungraded.
    """
    by_id = {item.problem.id: item for item in items}
    rows = (
        row
        for row in store.rows(READ)
        if row["task"] == task.name
        and not row["graded"]
        and row["problem_id"] in by_id
        and row["status"] in ("ok", "sandbox_error", "error")
        and row["finish"] is not None
    )
    for same, found in together(task, by_id, rows, jobs):
        for row in same:
            store.update(row["key"], columns(found.grade))
        if ended():
            return


def together(
    task: Task, by_id: Mapping[str, Item], rows: Iterator[Row], jobs: int
) -> Iterator[tuple[list[Row], Graded]]:
    """Yield what becomes of replies, equal ones of a problem that are near each other together."""
    some, same = tee(alike(rows))
    asked = ((by_id[each["problem_id"]], each["text"]) for each, *_ in some)
    yield from zip(same, graded(task, asked, jobs), strict=True)


def alike(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the replies in lists of equal ones of a problem, as far as they are in memory."""
    while some := list(islice(rows, TOGETHER)):
        work: dict[tuple[str, str], list[Row]] = {}
        for row in some:
            work.setdefault((row["problem_id"], row["text"]), []).append(row)
        yield from work.values()


def columns(grade: Grade) -> Row:
    """Return a grade as columns of a stored reply."""
    return {
        "correct": grade.correct,
        "status": grade.status,
        "reason": grade.reason,
        "score": grade.score,
        "graded": grade.status not in ("sandbox_error", "error"),
    }


def graded(task: Task, asked: Iterable[tuple[Item, str]], jobs: int) -> Iterator[Graded]:
    """Yield what becomes of every reply, in their order.

    A reply whose grading takes longer than the task's `seconds` has the status timeout, and one
    whose grading ends its process, or raises, has the status error. Every process grades in its
    main thread, which math-verify needs.
    """
    left = iter(asked)
    first = list(islice(left, AHEAD))
    if not first:
        return
    seconds = getattr(task, "seconds", SECONDS)
    workers = min(effective_n_jobs(jobs), len(first))
    pool = ProcessPool(workers, initializer=confined, context=Apart())

    def begun(each: tuple[Item, str]) -> ProcessFuture[Graded]:
        return pool.schedule(read, (task, *each), timeout=seconds)

    try:
        futures = deque(map(begun, first))
        while futures:
            future = futures.popleft()
            try:
                found = future.result()
            except Late:
                reason = f"grader: it took more than {seconds:g} seconds, and was ended"
                found = Graded(None, Grade(None, "timeout", reason))
            except ProcessExpired as error:
                reason = f"grader: its process ended with exit code {error.exitcode}"
                found = Graded(None, Grade(None, "error", reason))
            futures.extend(map(begun, islice(left, 1)))
            yield found
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def read(task: Task, item: Item, text: str) -> Graded:
    """Read and grade one reply; what a grader raises is an error of its own, not the model's."""
    try:
        return Graded(task.answer(item.problem, text), task.grade(item, text))
    except Exception as error:
        return Graded(None, Grade(None, "error", f"grader: {type(error).__name__}: {error}"[:300]))


def confined() -> None:
    """Bound the memory of this process, so that a reply cannot take the machine's."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
