"""Every config of every group makes the object that it says."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tsbench.cli import CONF, commands

GIVEN = {
    "task": {"path": "rows.jsonl", "task_class": "math"},
    "model": {"base_url": "http://127.0.0.1:1/v1", "name": "m", "path": None},
}


def groups() -> list[tuple[str, str]]:
    return [
        (folder.name, file.stem)
        for folder in sorted(CONF.iterdir())
        if folder.is_dir()
        for file in sorted(folder.glob("*.yaml"))
    ]


@pytest.mark.parametrize(("group", "name"), groups())
def test_every_option_instantiates(group: str, name: str, tmp_path: Path) -> None:
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    given = {**GIVEN, "model": {**GIVEN["model"], "path": str(gguf)}}
    target = {"verifier": "verifier@verifiers.x"}.get(group, group)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sign = "+" if group == "verifier" else ""
        config = compose("sweep", overrides=[f"{sign}{target}={name}"])
    part = config.verifiers.x if group == "verifier" else config[group]
    for key, value in given.get(group, {}).items():
        if key in list(part.keys()):
            OmegaConf.update(part, key, value)
    made = instantiate(part, _convert_="all")
    assert not isinstance(made, dict), f"{group}/{name} has no _target_"


@pytest.mark.parametrize("command", commands())
def test_every_command_composes(command: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command)
    assert config._target_.startswith("tsbench.")


def test_the_commands_are_those_of_the_documentation() -> None:
    assert {"sweep", "fit", "regrade", "report", "tasks", "validate"} <= set(commands())
