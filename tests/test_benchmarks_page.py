"""docs/benchmarks.md says what the recorded tables say."""

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "benchmarks.md").read_text().splitlines()
RECORDED = ROOT / "runs" / "recorded" / "benchmarks"
TITLES = {"gsm8k": "GSM8K", "humaneval": "HumanEval", "mbpp": "MBPP", "ifeval": "IFEval"}


@pytest.mark.parametrize(("name", "title"), TITLES.items())
def test_every_benchmark_stands_there_with_its_accuracy_and_its_statuses(name, title):
    accuracies, statuses = (line for line in LINES if line.startswith(f"| {title} |"))
    curves = pd.read_parquet(RECORDED / name / "curves.parquet").query("stratum == 'all'")
    ends = [("pass@k", 1), ("pass@k", 8), ("maj@k", 8)]
    said = [row for row in curves.itertuples() if (row.strategy, row.budget) in ends]
    assert len(said) >= 2
    for row in said:
        cell = f"{100 * row.accuracy:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        assert f"| {cell} |" in accuracies
    counts = pd.read_parquet(RECORDED / name / "statuses.parquet").set_index("status")
    draws, cut = counts["draws"].sum(), counts["draws"]["truncated"]
    assert (
        f"| {draws:,} | {counts['draws']['ok']:,} | {cut:,} ({cut / draws:.0%}".replace("%", " %")
        in statuses
    )
    right, graded = counts["right"].sum(), counts["graded"].sum()
    assert f"| {100 * right / graded:.1f} of {graded:,} |" in statuses
