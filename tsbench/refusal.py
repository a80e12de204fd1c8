"""Bad input as one sentence: which key, what was found, what is allowed."""

from __future__ import annotations

import difflib
import errno
import re
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from tsbench.sandbox import SandboxUnavailable
from tsbench.store import StoreError

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What an operating system says where a disk is full, or may not be written."""


def refusal(error: BaseException, conf: Path, command: str) -> str | None:
    """Return the sentence for an error of the user's, None for one of ours."""
    if isinstance(error, ExceptionGroup):
        return refusal(error.exceptions[0], conf, command)
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name} is unknown; allowed: {', '.join(error.options or ())}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given"
    if isinstance(error, InstantiationException):
        return instantiation(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not of the form key=value"
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        return composition(error, conf, command)
    if type(error) in (ValueError, SandboxUnavailable, StoreError):
        return str(error)
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return f"{error.filename or 'the disk'} cannot be written: {error.strerror or error}"
    return None


def instantiation(error: InstantiationException) -> str | None:
    """Name the key of a value that a class refused."""
    key = re.search(r"full_key: (\S+)", str(error))
    where = f"{key.group(1)}: " if key else ""
    cause = error.__cause__
    if isinstance(cause, ValueError | TypeError):
        said = re.sub(r"^\S*\.?__init__\(\) ", "", str(cause).splitlines()[0])
        return said if where and said.startswith(where.split(".")[0]) else where + said
    return where + str(error).splitlines()[0]


def composition(error: Exception, conf: Path, command: str) -> str:
    """Name an unknown key or group and those that are allowed beside it."""
    text = str(error) + str(error.__cause__ or "")
    found = re.search(r"(?:Could not override|In-struct|Key) '([^']+)'", text)
    if not found:
        return " ".join(str(error).split())
    key = found.group(1)
    allowed = siblings(key, conf, command)
    close = difflib.get_close_matches(key.rpartition(".")[2], allowed, 1)
    hint = f"; did you mean {close[0]}" if close else ""
    return f"{key} is not a key{hint}; allowed: {', '.join(allowed)}"


def siblings(key: str, conf: Path, command: str) -> list[str]:
    """Return the keys that may stand where `key` does."""
    parent = key.rpartition(".")[0]
    if not parent:
        keys = OmegaConf.load(conf / f"{command}.yaml").keys()
        groups = (
            [path.name for path in conf.iterdir() if path.is_dir()] if command == "sweep" else []
        )
        return sorted({str(k) for k in keys if str(k) not in ("defaults", "_target_")} | {*groups})
    group, _, inner = parent.partition(".")
    files = (conf / group).glob("*.yaml") if (conf / group).is_dir() else ()
    parts = [OmegaConf.load(file) for file in files]
    held = [OmegaConf.select(part, inner) if inner else part for part in parts]
    keys_of = {str(k) for part in held if isinstance(part, DictConfig) for k in part}
    return sorted(keys_of - {"defaults", "_target_"})
