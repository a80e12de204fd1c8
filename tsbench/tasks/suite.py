"""Several tasks swept as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tsbench.types import Task


@dataclass(frozen=True)
class Suite:
    """Tasks by name; a name of null leaves one out."""

    tasks: Mapping[str, Task | None]
