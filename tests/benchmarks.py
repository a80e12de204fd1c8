"""Tasks as the command line makes them: from the package's own configs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tsbench.cli import CONF
from tsbench.tasks.benchmark import Benchmark


def task(name: str, path: Path | str | Sequence[Path], *overrides: str) -> Benchmark:
    """Return the task of `task=NAME task.path=PATH` and further overrides."""
    several = not isinstance(path, Path | str)
    place = f"[{','.join(map(str, path))}]" if several else path
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=[f"task={name}", f"task.path={place}", *overrides])
    made = instantiate(config.task, _convert_="all")
    assert isinstance(made, Benchmark)
    return made
