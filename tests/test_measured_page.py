"""docs/measured.md says what the code and the recorded tables say."""

import ast
import inspect
from pathlib import Path

import pandas as pd
import pytest
from hydra.utils import get_class, instantiate
from scripted import configs

from tsbench import words

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "measured.md").read_text()
RECORDED = ROOT / "runs" / "recorded"


def lines(cls: type) -> int:
    """Count the lines of a class without docstrings and blank lines."""
    tree = ast.parse(inspect.getsource(cls))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return len(ast.unparse(tree).splitlines())


def classes() -> dict[str, type]:
    """Return every strategy's class by the first word of its name."""
    made = {config["_target_"]: instantiate(config) for config in configs().values()}
    return {s.name.partition(":")[0]: get_class(target) for target, s in made.items()}


@pytest.mark.parametrize("task_class", ["math", "code", "open_ended"])
def test_every_strategy_stands_there_with_its_lines_and_its_best(task_class: str) -> None:
    curves = pd.read_parquet(RECORDED / "strategies" / "curves.parquet")
    mine = curves.query("task_class == @task_class and stratum == 'all'")
    known = classes()
    for strategy, rows in mine.groupby("strategy"):
        cls = known[str(strategy).partition(":")[0]]
        best = f"{100 * rows['accuracy'].max():.0f} ["
        start = f"| {words.name(str(strategy))} | {lines(cls)} |"
        assert any(row.startswith(start) and best in row for row in PAGE.splitlines()), start


def test_its_overthinking_is_the_recorded_one() -> None:
    knees = pd.read_parquet(RECORDED / "overthinking" / "knees.parquet")
    forced = knees.query("strategy == 'forced' and stratum == 'all' and axis == 'tokens'")
    assert f"Verdict: **{forced['verdict'].iloc[0]}**" in PAGE
