"""Open-ended replies are graded by a judge model, whose cost is no strategy's."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from endpoint import Endpoint, serve
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tsbench.cli import CONF
from tsbench.judges import Pairwise
from tsbench.judges.baselines import baseline_of
from tsbench.models.local import Local
from tsbench.store import Store, read_samples

Tsbench = Callable[..., tuple[int, str, str]]
QUESTIONS = 6


def writes(prompt: str, rng: random.Random) -> str:
    """Write a reply whose worth is in it, for the judge to see."""
    return f"A reply worth {rng.randint(0, 9)}."


def worth(text: str) -> int:
    return int(text.split("worth ")[1][0])


def compares(prompt: str, rng: random.Random) -> str:
    """Judge two replies by their worth, or mark one by it."""
    if "[Answer A]" not in prompt:
        return f"{1 + worth(prompt.partition('[Answer]')[2])}"
    a, b = (worth(part) for part in re.findall(r"\[Answer [AB]\]\n(.*)", prompt))
    return "tie" if a == b else "A" if a > b else "B"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(writes)) as served:
        yield served


@pytest.fixture
def judge() -> Iterator[Endpoint]:
    with serve(Endpoint(compares)) as served:
        yield served


@pytest.fixture
def tsbench(tsbench: Tsbench, tmp_path: Path) -> Tsbench:
    rows = [
        {
            "question_id": i,
            "category": "writing",
            "turns": [f"Write of {i}."],
            "gpt4_reference": ref,
        }
        for i, ref in enumerate([["Reference worth 9."], *[None] * (QUESTIONS - 1)])
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tsbench


def words(endpoint: Endpoint, judge: Endpoint, kind: str, *more: str) -> list[str]:
    return [
        *("sweep", "task=mt_bench", "task.path=questions.jsonl", "task.max_tokens=64"),
        *("model=openai", f"model.base_url={endpoint.base_url}", "model.name=m"),
        *("strategy=coverage", "strategy.k=4", "run=run", "jobs=1"),
        *(f"judge={kind}", f"judge.model.base_url={judge.base_url}", "judge.model.name=m"),
        *more,
    ]


def kinds(samples: pd.DataFrame) -> dict[str, int]:
    return samples["kind"].value_counts().to_dict()


def test_a_reply_s_grade_is_its_share_of_wins_over_the_baseline_s(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    code, _, err = tsbench(*words(endpoint, judge, "pairwise"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    assert kinds(samples) == {"draw": 24, "grade": 48, "baseline": 6}
    against = samples[samples["kind"] == "baseline"].set_index("problem_id")["text"].map(worth)
    draws = samples[samples["kind"] == "draw"]
    mine, theirs = draws["text"].map(worth), draws["problem_id"].map(against)
    assert draws["correct"].tolist() == [
        0.5 if a == b else float(a > b) for a, b in zip(mine, theirs, strict=True)
    ]
    assert endpoint.requests == 30
    assert judge.requests == 48
    assert max(judge.asked.values()) == 1

    code, _, err = tsbench(*words(endpoint, judge, "pairwise"))
    assert code == 0, err
    assert (endpoint.requests, judge.requests) == (30, 48), "nothing is asked twice"


def test_a_mark_is_a_share_of_its_range_and_the_reference_is_shown_where_there_is_one(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    code, _, err = tsbench(*words(endpoint, judge, "rubric", "judge.repeats=2"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    assert kinds(samples) == {"draw": 24, "grade": 48}
    draws = samples[samples["kind"] == "draw"]
    assert draws["correct"].to_numpy() == pytest.approx(draws["text"].map(worth).to_numpy() / 9)
    shown = [json.loads(body)["messages"][-1]["content"] for body in judge.asked]
    assert sum("[Reference answer]\nReference worth 9." in prompt for prompt in shown) == 8
    assert sum("[Reference answer]" in prompt for prompt in shown) == 8
    assert all("from 1 (of no use) to 10 (" in prompt for prompt in shown)
    found = pd.read_parquet(tmp_path / "run" / "judges.parquet").iloc[0]
    assert (found["agreement"], found["noise"], found["unread"]) == (1.0, 0.0, 0.0)
    assert pd.isna(found["position_bias"])


def test_what_grading_costs_is_no_strategy_s_spend_and_is_in_the_report(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    prices = ["model.dollars_in=1000", "model.dollars_out=1000"]
    prices += ["judge.model.dollars_in=2000", "judge.model.dollars_out=2000"]
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", *prices))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    drawn = samples[samples["kind"] == "draw"]
    (table,) = map(pd.read_parquet, (tmp_path / "run/outcomes").glob("*.parquet"))
    whole = table[table["budget"] == 4]
    assert whole["tokens"].sum() == drawn["completion_tokens"].sum()
    assert whole["prompt_tokens"].sum() == drawn["prompt_tokens"].sum()
    assert whole["verifier_tokens"].eq(0).all()
    assert whole["asks"].eq(4).all()
    spent = samples.groupby("kind")[["prompt_tokens", "completion_tokens"]].sum().sum(axis=1)
    dollars = (spent["baseline"] * 1000 + spent["grade"] * 2000) / 1e6
    page = (tmp_path / "run" / "report.html").read_text()
    (row,) = re.findall(r'<tr><th scope="row">open_ended, grading</th>(.*?)</tr>', page)
    cells = re.findall(r'<td class="n">(.*?)</td>', row)
    assert [cell for cell in cells if cell not in ("0", "")][:2] == ["48", "6"]
    assert f"{dollars:,.2f}" in cells
    assert 'id="open-ended"' in page
    assert "Graded by a judge model" in page
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["judges"]["judge:pairwise"]["endpoint"] == judge.base_url
    assert not (tmp_path / "run" / "verifiers.parquet").exists()


ANSWERS: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
    ("plain", lambda i: {"id": i, "text": f"Published, worth {i}."}),
    (
        "choices",
        lambda i: {
            "question_id": i,
            "choices": [{"index": 0, "turns": [f"Published, worth {i}.", "Second worth 0."]}],
        },
    ),
    (
        "messages",
        lambda i: {
            "uid": i,
            "messages": [
                {"role": "user", "content": "worth 0"},
                {"role": "assistant", "content": {"answer": f"Published, worth {i}."}},
            ],
        },
    ),
]


@pytest.mark.parametrize("row", [row for _, row in ANSWERS], ids=[name for name, _ in ANSWERS])
def test_a_file_of_published_answers_is_a_baseline(
    tsbench: Tsbench,
    endpoint: Endpoint,
    judge: Endpoint,
    tmp_path: Path,
    row: Callable[[int], dict[str, Any]],
) -> None:
    lines = [json.dumps(row(i)) for i in range(QUESTIONS)]
    (tmp_path / "theirs.jsonl").write_text("\n".join(lines))
    more = ["judge.baseline=theirs.jsonl", "analyse=false"]
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", *more))
    assert code == 0, err
    assert endpoint.requests == 24, "nobody is asked for a published answer"
    samples = read_samples(tmp_path / "run")
    draws = samples[samples["kind"] == "draw"]
    theirs = draws["problem_id"].astype(int)
    assert draws["correct"].tolist() == [
        0.5 if a == b else float(a > b)
        for a, b in zip(draws["text"].map(worth), theirs, strict=True)
    ]
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", *more))
    assert code == 0, err
    assert judge.requests == 48


def test_a_baseline_that_lacks_an_id_is_refused_before_anything_is_asked(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    rows = [{"id": i, "text": "Published."} for i in range(QUESTIONS - 2)]
    (tmp_path / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = tsbench(
        *words(endpoint, judge, "pairwise", "judge.baseline=theirs.jsonl", "analyse=false")
    )
    assert code == 2
    assert "judge.baseline: theirs.jsonl has no reply to '" in err
    assert "of mt_bench (2 of 6 problems lack one)" in err
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "judge.baseline=absent.jsonl"))
    assert code == 2
    assert err.strip() == "tsbench sweep: judge.baseline: there is no file absent.jsonl"
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "text": ""}\n')
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "judge.baseline=bad.jsonl"))
    assert code == 2
    assert "judge.baseline: bad.jsonl, row 1: no reply; one of text, " in err
    assert endpoint.requests == judge.requests == 0


def without(words: list[str], *starts: str) -> list[str]:
    return [word for word in words if not word.startswith(starts)]


def test_bad_judges_are_refused_in_one_sentence(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint
) -> None:
    good = words(endpoint, judge, "pairwise")
    cases = {
        "the replies to mt_bench are graded by a judge model, and none is": without(good, "judge"),
        "judge: no task is graded by a judge": without(good, "task"),
        "judge.model.base_url must be given": without(good, "judge.model.base"),
        "judge.repeats must be a whole number of at least 1, found 0": [*good, "judge.repeats=0"],
        "judge.lead begins the judge's reply, which judge.model.api=chat cannot": [
            *good,
            "judge.lead=Better:",
        ],
        "judge.best must be above judge.worst, found 1 and 1": [
            *words(endpoint, judge, "rubric"),
            "judge.best=1",
        ],
        "judge=duel is unknown; allowed: ": words(endpoint, judge, "duel"),
        "strategy.verifier 'oracle' is shown the grade, which a judge gives": [
            *without(good, "strategy"),
            *("strategy=best_of_n", "strategy.verifier=oracle"),
            "+verifier@verifiers.oracle=noisy_oracle",
        ],
    }
    for said, call in cases.items():
        code, _, err = tsbench(*call)
        assert code == 2, said
        assert said in err
        assert len(err.strip().splitlines()) == 1, err
    assert endpoint.requests == judge.requests == 0


def test_a_judge_that_is_a_selector_s_model_too_is_said_aloud(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint
) -> None:
    endpoint.answer = lambda prompt, rng: (
        compares(prompt, rng) if "[Answer" in prompt else writes(prompt, rng)
    )
    best = ["strategy=best_of_n", "strategy.k=2", "strategy.verifier=rubric", "analyse=false"]
    call = [*without(words(endpoint, endpoint, "rubric"), "strategy"), *best]
    code, said, err = tsbench(*call)
    assert code == 0, err
    assert "the judge's model is also that of the verifier rubric" in said
    call = [*without(words(endpoint, judge, "rubric", "run=other"), "strategy"), *best]
    code, said, err = tsbench(*call)
    assert code == 0, err
    assert "the judge's model" not in said


def test_a_judge_that_always_says_a_prefers_none(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.answer = lambda prompt, rng: "A"
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "judge.repeats=3"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    assert samples["correct"][samples["kind"] == "draw"].eq(0.5).all()
    found = pd.read_parquet(tmp_path / "run" / "judges.parquet").iloc[0]
    assert found["position_bias"] == 0.5
    assert (found["consistency"], found["agreement"], found["noise"]) == (0.0, 1.0, 0.0)
    assert found["n_judgements"] == 24 * 2 * 3


def test_what_a_judge_does_not_say_leaves_a_reply_ungraded_and_is_not_asked_again(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.answer = lambda prompt, rng: (
        "Both are fine." if "Write of 0." in prompt else compares(prompt, rng)
    )
    for _ in range(2):
        code, said, err = tsbench(*words(endpoint, judge, "pairwise"))
        assert code == 0, err
        assert "mt_bench: 4 of 24 replies have no grade; the first: judge: no verdict" in said
    assert judge.requests == 48
    samples = read_samples(tmp_path / "run")
    mute = samples[samples["problem_id"] == "0"]
    draws = mute[mute["kind"] == "draw"]
    assert draws["correct"].isna().all()
    assert set(draws["status"]) == {"error"}
    assert draws["reason"].str.contains("judge: no verdict could be read, such as 'Both").all()
    assert set(mute["status"][mute["kind"] == "grade"]) == {"unparsed"}
    curves = pd.read_parquet(tmp_path / "run" / "curves.parquet")
    assert curves["n_problems"][curves["stratum"] == "all"].eq(QUESTIONS - 1).all(), "not wrong"
    found = pd.read_parquet(tmp_path / "run" / "judges.parquet").iloc[0]
    assert found["unread"] == pytest.approx(8 / 48)


def test_a_judge_that_fails_is_asked_again_for_that_alone(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.fails = 5
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "analyse=false"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    draws = samples[samples["kind"] == "draw"]
    assert 3 <= draws["correct"].isna().sum() <= 5
    lost = draws[draws["correct"].isna()]
    assert lost["reason"].str.startswith("judge: error: ").all()
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "analyse=false"))
    assert code == 0, err
    assert judge.requests == 48 + 5
    samples = read_samples(tmp_path / "run")
    draws = samples[samples["kind"] == "draw"]
    assert draws["correct"].notna().all()
    assert draws["status"].eq("ok").all()
    assert draws["reason"].isna().all()


def test_more_repeats_in_the_same_folder_ask_for_the_new_ones_alone(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.answer = lambda prompt, rng: rng.choice(("A", "B"))
    for repeats, asked in ((1, 48), (3, 144), (1, 144)):
        more = [f"judge.repeats={repeats}", "analyse=false"]
        code, _, err = tsbench(*words(endpoint, judge, "pairwise", *more))
        assert code == 0, err
        assert judge.requests == asked
        steps = 2 * repeats * read_samples(tmp_path / "run")["correct"].dropna()
        assert steps.to_numpy() == pytest.approx(steps.round().to_numpy())
        assert steps.round().nunique() > 3 or repeats == 1
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "judge.instruction=Choose."))
    assert code == 2
    assert "already holds mt_bench with m by pass@k with judge.instruction=" in err


def test_a_folder_is_graded_anew_from_its_verdicts_alone(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.answer = lambda prompt, rng: f"({compares(prompt, rng)})"
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "judge.repeats=2"))
    assert code == 0, err
    graded = read_samples(tmp_path / "run").set_index("key")
    before = pd.read_parquet(tmp_path / "run" / "curves.parquet")
    with Store(tmp_path / "run") as store:  # as an older reader, to which "(A)" said nothing
        for row in list(store.rows(["key", "kind", "status", "score"])):
            if row["kind"] == "grade":
                store.update(row["key"], {"score": None, "status": "unparsed", "reason": "old"})
            if row["kind"] == "draw":
                store.update(row["key"], {"correct": None, "status": "error", "reason": "old"})
    asked = endpoint.requests, judge.requests
    code, said, err = tsbench("regrade", "run=run")
    assert code == 0, err
    assert (endpoint.requests, judge.requests) == asked
    assert "mt_bench: 24 replies graded; " in said
    again = read_samples(tmp_path / "run").set_index("key")
    for column in ("correct", "status", "score"):
        pd.testing.assert_series_equal(again[column], graded[column])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "curves.parquet"), before)


def test_a_verdict_that_the_store_has_not_leaves_its_reply_ungraded_in_a_regrade(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    judge.fails = 5
    code, _, err = tsbench(*words(endpoint, judge, "pairwise", "analyse=false"))
    assert code == 0, err
    before = read_samples(tmp_path / "run").set_index("key")["correct"]
    code, _, err = tsbench("regrade", "run=run", "analyse=false")
    assert code == 0, err
    after = read_samples(tmp_path / "run").set_index("key")
    pd.testing.assert_series_equal(after["correct"], before)
    lost = after[(after["kind"] == "draw") & after["correct"].isna()]
    assert lost["reason"].str.startswith("judge: error: HTTP 400").all()


def test_a_limit_ends_judging_and_what_is_not_asked_is_asked_the_next_time(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    call = words(endpoint, judge, "pairwise", "analyse=false", "judge.model.slots=1")
    code, _, err = tsbench(*call, "limits.tokens=1000")
    assert code == 3, err
    assert 2 < judge.requests < 48
    samples = read_samples(tmp_path / "run")
    draws = samples[samples["kind"] == "draw"]
    assert 0 < draws["correct"].isna().sum() < 24
    reasons = draws["reason"][draws["correct"].isna()]
    assert reasons.eq("judge: error: not asked yet; sweep again to ask").all()
    code, _, err = tsbench(*call)
    assert code == 0, err
    assert judge.requests == 48
    draws = read_samples(tmp_path / "run").query("kind == 'draw'")
    assert draws["correct"].notna().all()


def test_a_dry_run_counts_what_the_judge_would_be_asked(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint
) -> None:
    call = words(endpoint, judge, "pairwise", "judge.repeats=3", "analyse=false")
    code, said, err = tsbench(*call, "dry_run=true")
    assert code == 0, err
    (line,) = [line for line in said.splitlines() if "judge:pairwise" in line]
    drawn, judged = 6 * 4, 6 * 4 * 2 * 3
    found = [int(n) for n in re.findall(r"(?<!\S)\d+(?!\S)", line)]
    assert found[:4] == [drawn + 6 + judged, 0, drawn, 6 + judged], line
    code, _, err = tsbench(*call)
    assert code == 0, err
    assert (endpoint.requests, judge.requests) == (drawn + 6, judged)
    code, said, err = tsbench(*call, "dry_run=true")
    (line,) = [line for line in said.splitlines() if "judge:pairwise" in line]
    assert [int(n) for n in re.findall(r"(?<!\S)\d+(?!\S)", line)][3] == 0, line


def test_a_limit_of_dollars_needs_the_judge_s_price(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint
) -> None:
    call = words(endpoint, judge, "rubric", "limits.dollars=1")
    code, _, err = tsbench(*call, "model.dollars_in=1", "model.dollars_out=1")
    assert code == 2
    assert "limits.dollars=1 needs the price of m, which is unknown" in err


def test_a_cut_reply_is_not_judged_and_a_cut_baseline_is_compared_as_it_stands(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    class Cuts(Endpoint):
        """Cuts every reply to question 0, and the last that is asked of question 1."""

        ones = 0

        def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            status, answer = super().reply(path, body)
            asked = body["messages"][-1]["content"]
            self.ones += status == 200 and "Write of 1." in asked
            cut = "Write of 0." in asked or ("Write of 1." in asked and self.ones == 5)
            if status == 200 and cut:
                answer["choices"][0]["finish_reason"] = "length"
            return status, answer

    with serve(Cuts(writes)) as cuts:
        code, _, err = tsbench(*words(cuts, judge, "pairwise", "analyse=false"))
    assert code == 0, err
    samples = read_samples(tmp_path / "run")
    cut = samples[(samples["problem_id"] == "0")]
    assert set(cut["kind"]) == {"draw"}, "no reply to judge, so no baseline either"
    assert set(cut["status"]) == {"truncated"}
    assert judge.requests == 40
    (last,) = samples[(samples["problem_id"] == "1") & (samples["kind"] == "baseline")].to_dict(
        "records"
    )
    assert last["status"] == "truncated"
    assert samples["correct"][samples["problem_id"] == "1"].notna().sum() == 4


def test_a_baseline_that_failed_grades_nobody_until_it_is_there(
    tsbench: Tsbench, judge: Endpoint, tmp_path: Path
) -> None:
    class Fails(Endpoint):
        """Refuses the last that is asked of question 1, until it is mended."""

        ones, mended = 0, False

        def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            mine = "Write of 1." in body["messages"][-1]["content"]
            if mine and self.ones >= 4 and not self.mended:
                return 400, {"error": {"message": "refused for the test"}}
            status, answer = super().reply(path, body)
            self.ones += mine and status == 200
            return status, answer

    with serve(Fails(writes)) as fails:
        code, _, err = tsbench(*words(fails, judge, "pairwise", "analyse=false"))
        assert code == 0, err
        samples = read_samples(tmp_path / "run")
        draws = samples[(samples["problem_id"] == "1") & (samples["kind"] == "draw")]
        assert draws["correct"].isna().all()
        assert draws["reason"].str.startswith("judge: the baseline's reply is error (").all()
        assert judge.requests == 40
        fails.mended = True
        code, _, err = tsbench(*words(fails, judge, "pairwise", "analyse=false"))
    assert code == 0, err
    assert judge.requests == 48
    samples = read_samples(tmp_path / "run")
    assert samples["correct"][samples["kind"] == "draw"].notna().all()


def test_two_models_in_one_folder_are_each_compared_with_their_own(
    tsbench: Tsbench, endpoint: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    with serve(Endpoint(lambda prompt, rng: "A reply worth 5.")) as other:
        for each, name in ((endpoint, "m"), (other, "m")):
            call = words(each, judge, "pairwise", "analyse=false")
            code, _, err = tsbench(*without(call, "run="), "run=run" + name * (each is other))
            assert code == 0, err
    tied = read_samples(tmp_path / "runm")
    assert tied["correct"][tied["kind"] == "draw"].eq(0.5).all()


def test_the_embedded_model_may_judge() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=["judge=pairwise", "model@judge.model=smollm2"])
    judge = instantiate(config.judge, _convert_="all")
    assert isinstance(judge, Pairwise)
    assert isinstance(judge.model, Local)
    assert judge.model.name == "SmolLM2-135M-Instruct"


def test_the_file_of_every_row_s_own_task_is_read_for_that_task_alone(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    rows = [{"id": "1", "task": task, "text": task} for task in ("one", "two")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert baseline_of(str(path), "two", ["1"]) == {"1": "two"}
    with pytest.raises(ValueError, match="has no reply to '1' of three"):
        baseline_of(str(path), "three", ["1"])
