"""The how-to page adds a strategy in the words that it says."""

import re
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scripted import in_turn, play

from tsbench.cli import CONF
from tsbench.types import Strategy

PAGE = (Path(__file__).parents[1] / "docs" / "strategies.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Strategy:
    """Save the page's files, and compose its command."""
    (tmp_path / "opinions.py").write_text(block("python"))
    folder = tmp_path / "mine" / "strategy"
    folder.mkdir(parents=True)
    (folder / "second_opinion.yaml").write_text(block("yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "opinions", raising=False)
    monkeypatch.chdir(tmp_path)
    command = block("bash").split()
    assert command[:2] == ["tsbench", "sweep"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=command[2:])
    made: Strategy = instantiate(config.strategy)
    return made


def test_it_runs_as_the_page_says(strategy: Strategy) -> None:
    assert len(play(strategy, in_turn("a")).draws) == 2
    run = play(strategy, in_turn("a", "b", "b"))
    assert len(run.draws) == 3
    assert run.picked is not None
    assert run.picked.answer == "b"


def test_it_is_ten_lines() -> None:
    body = block("python").partition("@dataclass")[2]
    assert len([line for line in body.splitlines()[1:] if line.strip()]) <= 10
