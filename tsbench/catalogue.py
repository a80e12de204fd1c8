"""tsbench tasks: what every task config is, in a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra import compose
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from tsbench.tasks.benchmark import Benchmark
from tsbench.tasks.graders import GRADERS

COLUMNS = ("task", "class", "rows", "grader", "verifiers", "licence", "source")
GENERATED = {"math": "number", "code": "cases", "open_ended": "instructions"}
"""The graders of the tasks that are generated."""
TESTS = "public_tests"
"""The verifier that needs a problem to show tests."""


@dataclass(frozen=True)
class Catalogue:
    """Print a row for each task that can be named, those of hydra.searchpath included.

    Parameters
    ----------
    paths : files by the name of their task; with one, its rows are read, checked and counted.
    """

    paths: Mapping[str, Any] | None = None

    def __call__(self) -> None:
        """Print the table."""
        table = Table(*COLUMNS, box=None, pad_edge=False)
        for row in self.rows():
            table.add_row(*row)
        Console().print(table)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of every task; ValueError for a path of a task that there is not."""
        names, verifiers, paths = options("task"), options("verifier"), self.paths or {}
        if unknown := sorted(paths.keys() - set(names)):
            raise ValueError(f"paths has {unknown[0]!r}; allowed are {', '.join(names)}")
        made = {name: task_of(name, paths.get(name)) for name in names}
        return [
            (name, *cells(task, name in paths, verifiers))
            for name, task in made.items()
            if hasattr(task, "task_class")
        ]


def task_of(name: str, path: Any) -> Any:
    """Return a task; where a key must be given and is not, it stands as a question mark."""
    config = compose("sweep", overrides=[f"task={name}", *searched()])
    if path is not None:
        OmegaConf.update(config, "task.path", path)
    for key in OmegaConf.missing_keys(config.task):
        OmegaConf.update(config, key, "?")
    return instantiate(config.task, _convert_="all")


def cells(task: Any, given: bool, verifiers: list[str]) -> tuple[str, ...]:
    """Return what the table says of a task, after its name."""
    allowed = [v for v in verifiers if v != TESTS or getattr(task, "sandboxed", False)]
    if isinstance(task, Benchmark):
        kinds = {kind: name for name, kind in GRADERS.items()}
        return (
            task.task_class,
            str(len(task.questions())) if given else "?",
            kinds.get(type(task.by), type(task.by).__name__),
            ", ".join(allowed),
            task.licence,
            task.source,
        )
    grader = GENERATED.get(task.name, "its own")
    rows = str(getattr(task, "n_items", "?"))
    return (task.task_class, rows, grader, ", ".join(allowed), "Apache-2.0", "generated")


def options(group: str) -> list[str]:
    """Return the names of a config group, those of hydra.searchpath included."""
    loader = GlobalHydra.instance().config_loader()
    found = set(loader.get_group_options(group, ObjectType.CONFIG))
    for path in HydraConfig.get().searchpath if HydraConfig.initialized() else ():
        added = ConfigSearchPathImpl()
        added.append("user", path)
        found |= set(ConfigRepository(added).get_group_options(group, ObjectType.CONFIG))
    return sorted(found)


def searched() -> list[str]:
    """Return hydra.searchpath as an override, for a config that is composed inside a command."""
    paths = HydraConfig.get().searchpath if HydraConfig.initialized() else ()
    return [f"hydra.searchpath=[{','.join(paths)}]"] if paths else []
