"""The replies that others are compared with, out of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsbench.tasks.files import Table, read_table

OWN = "own"
"""The baseline that is one more reply of the swept model."""
IDS = ("id", "question_id", "uid", "problem_id")
TEXTS = ("text", "reply", "answer", "output", "content")


def baseline_of(path: str, task: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the baseline's reply to each problem, out of a JSONL, JSON, CSV or parquet file.

    A row has an id (`id`, `question_id`, `uid` or `problem_id`) and a reply (`text`, `reply`,
    `answer`, `output` or `content`); published answers of MT-bench and Arena-Hard (`choices`, of
    which the first choice's first turn is taken, or `messages`, of which the last) are read as
    they are. Where rows say which `task` they are of, others are left out. Raises ValueError, in
    one sentence, for a file that cannot be used, and names the first id that it lacks.
    """
    try:
        table = read_table(path)
        found = replies(table, task)
    except ValueError as error:
        raise ValueError(str(error).replace("task.path", "judge.baseline", 1)) from None
    absent = [each for each in ids if each not in found]
    if absent:
        raise ValueError(
            f"judge.baseline: {table.name} has no reply to {absent[0]!r} of {task} "
            f"({len(absent)} of {len(ids)} problems lack one)"
        )
    return {each: found[each] for each in ids}


def replies(table: Table, task: str) -> dict[str, str]:
    """Return the reply to each id; ValueError for the first row that has none, or a known id."""
    found: dict[str, str] = {}
    for number, row in enumerate(table.rows, start=1):
        if str(row.get("task") or task) != task:
            continue
        name = next((column for column in IDS if row.get(column) is not None), None)
        if name is None:
            raise table.bad(number, None, f"no id; one of {', '.join(IDS)} is needed")
        text = text_of(row)
        if text is None or not text.strip():
            raise table.bad(number, None, f"no reply; one of {', '.join(TEXTS)} is needed")
        if str(row[name]) in found:
            raise table.bad(number, name, f"{row[name]!r} comes twice")
        found[str(row[name])] = text
    return found


def text_of(row: Mapping[str, Any]) -> str | None:
    """Return the reply in a row, None where it has none."""
    for column in TEXTS:
        if isinstance(row.get(column), str):
            return str(row[column])
    try:
        if row.get("choices"):
            return plain(row["choices"][0]["turns"][0])
        if row.get("messages"):
            return plain(row["messages"][-1])
    except (KeyError, IndexError, TypeError):
        pass
    return None


def plain(turn: Any) -> str | None:
    """Return the text of a turn, which may be wrapped in `content` or `answer`; None if none."""
    while isinstance(turn, Mapping):
        turn = turn.get("content", turn.get("answer"))
    return turn if isinstance(turn, str) else None
