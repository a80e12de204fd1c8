"""Data sets in the layout of the Hugging Face hub: parquet files, on the hub or in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
from datasets.packaged_modules.parquet.parquet import Parquet

COMMIT = re.compile(r"[0-9a-f]{40}")


def read_data_set(
    path: str, revision: str | None, config: str | None, split: str | None
) -> tuple[str, list[dict[str, Any]]]:
    """Return the name and the rows of a folder of parquet files, or of a data set of the hub.

    No code of the data set is run. Raises ValueError, in one sentence, for a revision that is no
    commit, for files of another kind, and for an unknown configuration or split.
    """
    where = {"revision": revision} if revision is not None and not Path(path).is_dir() else {}
    if where and not COMMIT.fullmatch(str(revision)):
        raise ValueError(
            f"task.revision is {revision!r}; it must be a commit of the data set, 40 hex digits"
        )
    datasets.disable_progress_bars()
    try:
        builder = datasets.load_dataset_builder(path, config, **where)
        if not isinstance(builder, Parquet):
            kind = type(builder).__module__.rpartition(".")[2]
            raise ValueError(f"its files are {kind}; allowed is parquet")
        builder.download_and_prepare()
        whole = builder.as_dataset()
    except (OSError, RuntimeError, ValueError, datasets.exceptions.DatasetsError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"task.path: the data set {path} cannot be read: {cause}") from None
    chosen = split or ("test" if len(whole) > 1 else next(iter(whole)))
    if chosen not in whole:
        raise ValueError(f"task.split is {chosen!r}; {path} has {', '.join(whole)}")
    return f"{path}, {chosen}", whole[chosen].to_list()
