"""Every config of every group makes the object that it says."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tsbench.cli import CONF, commands

GIVEN = {
    "strategy": {"policy": str(Path(__file__).with_name("policy.json"))},
    "task": {"path": "rows.jsonl", "task_class": "math"},
    "model": {"base_url": "http://127.0.0.1:1/v1", "name": "m", "path": None},
}


def groups() -> list[tuple[str, str]]:
    return [
        (folder.name, file.stem)
        for folder in sorted(CONF.iterdir())
        if folder.is_dir()
        for file in sorted(folder.glob("*.yaml"))
        if folder.name != "experiment"
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
    if group in ("verifier", "judge") and "model" in part:
        OmegaConf.update(part, "model", {"base_url": "http://127.0.0.1:1/v1", "name": "m"})
    made = instantiate(part, _convert_="all")
    assert not isinstance(made, dict), f"{group}/{name} has no _target_"


@pytest.mark.parametrize("name", [file.stem for file in (CONF / "experiment").glob("*.yaml")])
def test_every_experiment_is_a_sweep_that_can_be_run(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=[f"experiment={name}", "limit=2"])
    sweep = instantiate(config, _convert_="all")
    assert sweep.run == f"runs/{name}"
    assert all(items and strategies for _, items, strategies in sweep.plan())


@pytest.mark.parametrize("command", commands())
def test_every_command_composes(command: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command)
    assert config._target_.startswith("tsbench.")


def test_the_commands_are_those_of_the_documentation() -> None:
    assert {"sweep", "fit", "regrade", "report", "tasks", "validate"} <= set(commands())
