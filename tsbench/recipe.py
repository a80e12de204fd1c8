"""A config object as the recipe that makes it again, for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.utils import instantiate

OWN = ("tsbench.tasks.", "tsbench.judges.")


def recipe(part: object) -> Any:
    """Return an object as a Hydra config: a dataclass by its class and fields, others as they are.

    Raises ValueError for an object that no config can hold.
    """
    if is_dataclass(part) and not isinstance(part, type):
        target = f"{type(part).__module__}.{type(part).__qualname__}"
        return {
            "_target_": target,
            **{f.name: recipe(getattr(part, f.name)) for f in fields(part) if f.init},
        }
    if isinstance(part, Mapping):
        return {str(key): recipe(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [recipe(value) for value in part]
    if part is None or isinstance(part, bool | int | float | str):
        return part
    raise ValueError(f"a {type(part).__name__} is nothing that a config can hold")


def remade(part: object) -> Any:
    """Return an object's recipe, None where it has none."""
    try:
        return recipe(part)
    except ValueError:
        return None


def made(config: Any) -> Any:
    """Return the object of a recipe of this package's tasks and judges.

    Raises ValueError for a class of any other module: a folder is data, and runs nobody's code.
    """
    for target in targets(config):
        if not target.startswith(OWN):
            raise ValueError(f"{target} is none of this package's tasks or judges")
    return instantiate(config, _convert_="all")


def targets(config: Any) -> list[str]:
    """Return every class that a recipe names."""
    if isinstance(config, Mapping):
        inner = [target for value in config.values() for target in targets(value)]
        return [str(config["_target_"]), *inner] if "_target_" in config else inner
    if isinstance(config, list):
        return [target for value in config for target in targets(value)]
    return []
