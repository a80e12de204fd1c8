"""Published numbers that `tsbench fit` reproduces from the files beside acceptance.json.

Grades A and B. Win rates (alpaca.*) are no accuracy of one answer and their file is not there.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from tsbench.fit import Fit


@pytest.fixture
def accepted(shared_data):
    values = json.loads(shared_data("outcomes/acceptance.json").read_text())
    return {value["id"]: value for value in values}


@pytest.fixture
def curves_of(shared_data, tmp_path):
    """Run the command on one of the files and return its curves."""

    def run(kind, file, **keys):
        path = file if isinstance(file, Path) else shared_data(f"outcomes/{file}.parquet")
        Fit(**{kind: str(path)}, out=str(tmp_path), **keys)()
        return pd.read_parquet(tmp_path / "curves.parquet")

    return run


def check(value, accepted):
    assert value == pytest.approx(accepted["expected"], abs=accepted["tolerance"], rel=1e-12)


def test_evalperf_coverage_from_counts(curves_of, shared_data, accepted):
    columns = {"query_id": "problem_id", "n_samples": "n_draws"}
    found = curves_of(
        "samples",
        "evalperf/counts",
        columns=columns,
        constants={"task_class": "code"},
        thirds=False,
    )
    first = found[found["budget"] == 1].set_index("model")
    assert set(first["strategy"]) == {"pass@k"}
    percent = 100.0 * first["accuracy"]
    for model in percent.index:
        if f"evalperf.{model}" in accepted:
            check(percent[model], accepted[f"evalperf.{model}"])
    published = pd.read_parquet(shared_data("outcomes/evalperf/published.parquet"))
    published = published.set_index("model")["published_pass_at_1_pct"]
    assert len(published) == 34
    check((percent - published).abs().max(), accepted["evalperf.max_abs_dev"])


def test_adaptive_compute_accuracy_and_tokens(curves_of, accepted):
    found = curves_of(
        "outcomes",
        "adaptive_ttc_gsm8k/samples",
        columns={"query_id": "problem_id"},
        constants={"task_class": "math", "budget": 1},
    ).set_index("strategy")
    for strategy in ("fixed_1", "fixed_4", "fixed_8", "adaptive"):
        row = found.loc[strategy]
        check(100.0 * row["accuracy"], accepted[f"attcc.{strategy}.acc"])
        check(row["tokens"] * row["n_problems"], accepted[f"attcc.{strategy}.tokens"])


def test_concise_thought_shortens_answers(curves_of, shared_data, accepted, tmp_path):
    table = pd.read_parquet(shared_data("outcomes/concise_cot/samples.parquet"))
    table = table[table["exam"] != "comprehensive-100"]  # which GPT-4 has no concise run of
    table["problem_id"] = table["exam"] + "/" + table["query_id"].astype(str)
    table.to_parquet(tmp_path / "exams.parquet")
    found = curves_of(
        "outcomes",
        tmp_path / "exams.parquet",
        columns={"prompt": "strategy", "output_tokens": "tokens"},
        constants={"task_class": "exams", "budget": 1},
    )
    tokens = found.pivot_table(index="model", columns="strategy", values="tokens")
    shorter = 1.0 - tokens["concise"] / tokens["chain_of_thought"]
    check(100.0 * shorter.mean(), accepted["ccot.len_reduction"])


@pytest.mark.parametrize(
    ("file", "model", "single", "vote"),
    [
        ("aime2024", "LIMO-v2", 62.0, 70.0),
        ("aime2024", "Phi-4-reasoning", 72.9, 86.7),
        ("gpqa_diamond", "MetaStone-S1-32B", 67.0, 70.7),
    ],
)
def test_best_of_infinity_votes_with_and_without_blanks(curves_of, file, model, single, vote):
    """Blanks take part in the publisher's vote, whose ties fall one way; ours count one half."""
    keys = {"columns": {"query_id": "problem_id"}, "constants": {"task_class": "x"}}
    every = {}
    for blank in ("vote", "drop"):
        found = curves_of(
            "samples", f"best_of_infinity_part/{file}", blank=blank, thirds=False, **keys
        )
        every[blank] = found[(found["model"] == model) & (found["strategy"] == "maj@k")]
    for curve in every.values():
        assert 100.0 * curve["accuracy"].iloc[0] == pytest.approx(single, abs=0.06)
    problems = every["vote"]["n_problems"].iloc[0]
    tie = 100.0 * 0.5 / problems
    assert 100.0 * every["vote"]["accuracy"].iloc[-1] == pytest.approx(vote, abs=tie + 0.06)
    assert every["drop"]["accuracy"].iloc[-1] >= every["vote"]["accuracy"].iloc[-1]


def test_codegen_coverage(curves_of, accepted):
    """Whose timeouts of a candidate are failures, and no draws that the machine lost."""
    found = curves_of(
        "samples",
        "codegen16b_humaneval/samples",
        columns={"query_id": "problem_id", "status": "run"},
        constants={"task_class": "code"},
        thirds=False,
    ).set_index("budget")
    for k in (1, 10, 100):
        check(100.0 * found.loc[k, "accuracy"], accepted[f"codegen.p{k}"])
