"""problems.parquet: the text of every problem of a run, for what can be read off it at no cost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from tsbench.types import Problem

COLUMNS = ["task_class", "task", "problem_id", "stratum", "prompt"]


def keep(folder: Path, problems: Iterable[Problem]) -> None:
    """Add problems to the folder's problems.parquet, complete or not at all.

    `prompt` is the last turn, without what all problems of a task share; a problem that is there
    already is written anew.
    """
    rows = [(p.task_class, p.task, p.id, p.stratum, p.messages[-1].content) for p in problems]
    path = folder / "problems.parquet"
    table = pd.DataFrame(rows, columns=COLUMNS)
    if path.is_file():
        table = pd.concat([pd.read_parquet(path), table], ignore_index=True)
    table = table.drop_duplicates(["task", "problem_id"], keep="last")
    temporary = path.with_suffix(".new")
    table.astype("string").to_parquet(temporary, index=False)
    temporary.replace(path)
