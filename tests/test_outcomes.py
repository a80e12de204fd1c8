import numpy as np
import pandas as pd
import pytest

from tsbench.outcomes import best_of_outcomes, outcomes_from_samples
from tsbench.pool import best_of_k, maj_at_k, pass_at_k


def pool(answers, right="7", problem_id="p", **columns):
    """One problem's draws; an answer of None is unparsed."""
    frame = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": problem_id,
            "answer": pd.Series(answers, dtype=object),
            "correct": [None if a is None else float(a == right) for a in answers],
            "status": ["unparsed" if a is None else "ok" for a in answers],
            "completion_tokens": 10,
        }
    )
    return frame.assign(**columns)


def column(table, strategy, name="correct"):
    return table.loc[table["strategy"] == strategy, name].tolist()


def test_every_k_of_a_pool_is_exact():
    table = outcomes_from_samples(pool(["7", "7", "8", "9", "7"]))
    assert column(table, "pass@k") == pytest.approx(pass_at_k(5, 3))
    assert column(table, "maj@k") == pytest.approx(maj_at_k([3, 1, 1], [1, 0, 0]))
    assert column(table, "maj@k", "budget") == [1, 2, 3, 4, 5]
    assert column(table, "maj@k", "tokens") == [10, 20, 30, 40, 50]
    assert column(table, "maj@k", "asks") == [1, 2, 3, 4, 5]


def test_a_blank_counts_in_k_and_votes_only_when_asked_to():
    draws = pool(["7", "8", None, None])
    dropped = outcomes_from_samples(draws)
    voted = outcomes_from_samples(draws, blank="vote")
    assert column(dropped, "maj@k") == pytest.approx(maj_at_k([1, 1], [1, 0], 2))
    assert column(voted, "maj@k") == pytest.approx(maj_at_k([1, 1, 2], [1, 0, 0]))
    assert column(dropped, "pass@k") == pytest.approx(pass_at_k(4, 1))
    assert set(dropped["missing_rate"]) == {0.5}


@pytest.mark.parametrize("empty", ["", "  ", None, np.nan])
def test_an_empty_answer_does_not_vote(empty):
    table = outcomes_from_samples(pool(["7", "7"]).assign(answer=["7", empty]))
    assert column(table, "maj@k") == pytest.approx([0.5, 1.0])


def test_what_the_infrastructure_lost_leaves_the_pool():
    draws = pool(["7", "8", "7", "7"]).assign(status=["ok", "ok", "error", "sandbox_error"])
    table = outcomes_from_samples(draws)
    assert column(table, "pass@k") == pytest.approx(pass_at_k(2, 1))
    assert set(table["pool"]) == {2}


def test_a_problem_that_lost_every_draw_is_missing_and_not_wrong():
    table = outcomes_from_samples(
        pd.concat([pool(["7"]), pool(["7"], problem_id="q", status="timeout")])
    )
    lost = table[table["problem_id"] == "q"]
    assert lost["correct"].isna().all()
    assert set(lost["status"]) == {"timeout"}


def test_truncated_draws_are_blanks_and_cap_hits():
    draws = pool(["7", "7", "8", "8"]).assign(status=["ok", "truncated", "ok", "truncated"])
    table = outcomes_from_samples(draws)
    assert column(table, "pass@k") == pytest.approx(pass_at_k(4, 1))
    assert set(table["cap_hit_rate"]) == {0.5}


def test_an_ungraded_draw_is_a_blank():
    table = outcomes_from_samples(pool(["7", "8"]).assign(correct=[1.0, None]))
    assert set(table["missing_rate"]) == {0.5}
    assert column(table, "pass@k") == pytest.approx([0.5, 1.0])


def test_judges_and_steps_are_no_draws():
    draws = pool(["7", "8", "8", "8"]).assign(
        kind=["draw", "draw", "judge", "draw"], partial=[False, False, False, True]
    )
    assert set(outcomes_from_samples(draws)["pool"]) == {2}


def test_draws_under_a_thinking_budget_are_a_pool_of_their_own():
    draws = pool(["7", "8", "7", "7"]).assign(thinking_budget=[np.nan, np.nan, 64, 64])
    table = outcomes_from_samples(draws)
    assert column(table, "pass@k") == pytest.approx([0.5, 1.0])
    assert column(table, "pass@k (thinking 64)") == pytest.approx([1.0, 1.0])


def test_seconds_are_the_expected_critical_path():
    table = outcomes_from_samples(pool(["7", "8", "9"], seconds=[1.0, 2.0, 6.0]))
    assert column(table, "maj@k", "seconds") == pytest.approx([3.0, (2 + 6 + 6) / 3, 6.0])


def test_unknown_spend_is_unknown():
    table = outcomes_from_samples(pool(["7", "8"]).drop(columns="completion_tokens"))
    assert table[["tokens", "flops", "dollars", "seconds"]].isna().all(axis=None)


def test_without_answers_there_is_no_vote():
    table = outcomes_from_samples(pool(["7", "8"]).drop(columns="answer"))
    assert set(table["strategy"]) == {"pass@k"}


def test_best_of_k_pays_for_its_verifier():
    scores = [0.2, 0.9, np.nan]
    draws = pool(
        ["7", "8", "7"],
        score=scores,
        seconds=1.0,
        prompt_tokens=5,
        verifier_prompt_tokens=20,
        verifier_completion_tokens=1,
        verifier_seconds=0.5,
    )
    table = best_of_outcomes(draws, "best-of-n:p_true")
    assert set(table["strategy"]) == {"best-of-n:p_true"}
    assert table["correct"].tolist() == pytest.approx(best_of_k(scores, [1, 0, 1]))
    assert table["tokens"].tolist() == [11, 22, 33]
    assert table["prompt_tokens"].tolist() == [25, 50, 75]
    assert table["verifier_tokens"].tolist() == [21, 42, 63]
    assert table["seconds"].tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        (pool(["7"]).drop(columns="correct"), "samples have no column 'correct'; found task_class"),
        (pool(["7"]).assign(correct=1.5), "row 0 has correct = 1.5; allowed are 0 to 1 and null"),
        (pool(["7", "8"]).assign(correct=["yes", None]), "row 0 has correct = 'yes'"),
        (pool(["7"]).assign(status="fail", correct=None), "status 'fail'; allowed are ok"),
        (pool(["7"]).assign(kind="judge"), "samples have no draw"),
    ],
)
def test_bad_samples_are_refused_in_one_sentence(draws, said):
    with pytest.raises(ValueError, match=said) as error:
        outcomes_from_samples(draws)
    assert "\n" not in str(error.value)


def test_best_of_needs_scores_and_votes_a_rule():
    with pytest.raises(ValueError, match="draws have no column 'score'"):
        best_of_outcomes(pool(["7"]), "best")
    with pytest.raises(ValueError, match="'drop' and 'vote'"):
        outcomes_from_samples(pool(["7"]), blank="wrong")


def test_published_coverage_of_codegen_is_reproduced(shared_data):
    samples = pd.read_parquet(shared_data("outcomes/codegen16b_humaneval/samples.parquet"))
    samples = samples.drop(columns="status").rename(columns={"query_id": "problem_id"})
    table = outcomes_from_samples(samples.assign(task_class="code"))
    means = 100 * table.groupby("budget")["correct"].mean()
    assert means[1] == pytest.approx(22.12, abs=0.01)
    assert means[10] == pytest.approx(50.3, abs=0.1)
    assert means[100] == pytest.approx(73.7, abs=0.1)


@pytest.mark.parametrize(
    ("file", "model", "single", "vote"),
    [
        ("aime2024", "LIMO-v2", 62.0, 70.0),
        ("aime2024", "Phi-4-reasoning", 72.9, 86.7),
        ("gpqa_diamond", "MetaStone-S1-32B", 67.0, 70.7),
    ],
)
def test_published_votes_are_reproduced_but_for_ties(shared_data, file, model, single, vote):
    """The publisher breaks a tie over all draws one way or the other; here it counts one half."""
    samples = pd.read_parquet(shared_data(f"outcomes/best_of_infinity_part/{file}.parquet"))
    samples = samples[samples["model"] == model].rename(columns={"query_id": "problem_id"})
    table = outcomes_from_samples(samples.assign(task_class="math"), blank="vote")
    votes = table[table["strategy"] == "maj@k"]
    last = votes.sort_values("budget").groupby("problem_id")["correct"].last()
    tied = last.between(1e-9, 1.0 - 1e-9)
    assert tied.sum() <= 1
    first = votes.loc[votes["budget"] == 1, "correct"]
    assert 100 * first.mean() == pytest.approx(single, abs=0.06)
    published = [100 * last.where(~tied, side).mean() for side in (0.0, 1.0)]
    assert min(abs(value - vote) for value in published) < 0.06
