import numpy as np
import pandas as pd
import pytest

from tsbench.tally import LOST, tally


def draws(problems=7, each=10, seed=0):
    """Draws of every kind, in random order."""
    rng = np.random.default_rng(seed)
    rows = problems * each
    status = rng.choice(["ok", "truncated", "unparsed", "error"], rows, p=[0.7, 0.1, 0.1, 0.1])
    answer = rng.choice(["a", "b", " c "], rows)
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": rng.permutation(np.repeat(np.arange(problems), each)),
            "index": np.arange(rows),
            "answer": pd.Series(answer).where(status == "ok"),
            "status": status,
            "correct": pd.Series((answer == "a").astype(float)).where(status == "ok"),
            "tokens": rng.integers(1, 99, rows).astype(float),
            "seconds": rng.uniform(size=rows),
        }
    )
    table.loc[rng.choice(rows, 5), "tokens"] = np.nan
    return table


def same(left, right):
    for name in ("labels", "counts", "paid", "known", "ballot", "drawn"):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name), check_dtype=False)
    assert (left.pool == right.pool).all()


@pytest.mark.parametrize("size", [1, 3, 17])
def test_batches_of_any_size_come_to_the_same(size):
    table = draws()
    batches = [table.iloc[i : i + size] for i in range(0, len(table), size)]
    same(tally(batches), tally([table]))


def test_columns_of_codes_come_to_the_same():
    table = draws()
    coded = table.astype(dict.fromkeys(("task_class", "answer", "status"), "category"))
    same(tally([coded]), tally([table]))


def test_the_halves_are_every_other_draw_and_add_up_to_the_whole():
    table = draws()
    halves = tally([table])
    whole = halves.whole()
    rows = halves.counts[["n", *LOST]].sum(axis=1)
    assert rows.tolist() == [5] * 14
    assert whole.counts.sum().tolist() == halves.counts.sum().tolist()
    assert whole.ballot["votes"].sum() == (table["status"] == "ok").sum()
    assert whole.paid["tokens"].sum() == table.loc[table["status"] != "error", "tokens"].sum()


def test_a_whole_pool_counts_what_a_plain_group_counts():
    table = draws()
    whole = tally([table]).whole()
    kept = table[table["status"] != "error"]
    plain = kept.groupby("problem_id")
    order = whole.labels["problem_id"].astype(int)
    assert whole.counts["n"].tolist() == plain.size().loc[order].tolist()
    assert whole.counts["right"].tolist() == plain["correct"].sum().loc[order].tolist()
    truncated = kept["status"].eq("truncated").groupby(kept["problem_id"]).sum()
    assert whole.counts["truncated"].tolist() == truncated.loc[order].tolist()
    ballot = kept.groupby(["problem_id", "answer"]).size()
    assert sorted(whole.ballot["votes"]) == sorted(ballot)


def test_part_of_a_tally_keeps_its_votes():
    whole = tally([draws()]).whole()
    part = whole.at(np.array([4, 1]))
    for place, entry in enumerate([4, 1]):
        ours = part.ballot[part.ballot["entry"] == place].drop(columns="entry")
        theirs = whole.ballot[whole.ballot["entry"] == entry].drop(columns="entry")
        assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()


def test_counts_stand_for_draws():
    table = pd.DataFrame(
        {
            "task_class": "code",
            "problem_id": ["a", "b"],
            "n_draws": [100, 50],
            "n_correct": [100, 7],
        }
    )
    halves = tally([table])
    whole = halves.whole()
    assert whole.counts[["n", "right"]].to_numpy().tolist() == [[100, 100], [50, 7]]
    assert halves.counts["n"].tolist() == [50, 50, 25, 25]
    assert whole.ballot is None


def test_what_another_tool_calls_a_grade_is_not_read_but_a_lost_draw_is():
    table = pd.DataFrame({"task_class": "code", "problem_id": 1, "correct": [1, 0, 0]})
    counts = tally([table.assign(status=["pass", "fail", "timeout"])]).whole().counts.iloc[0]
    assert (counts["n"], counts["right"], counts["timeout"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": 3}, "a draw twice"),
        ({"problem_id": None}, "row 0 has no problem_id"),
        ({"correct": None, "status": "fail"}, "row 0 has no correct and status 'fail'; allowed"),
        ({"correct": 1.4}, "row 0 has correct = 1.4; allowed are 0 to 1 and null"),
        ({"n_draws": 3, "n_correct": 4}, "row 0 has n_draws = 3 and n_correct = 4"),
    ],
)
def test_bad_rows_are_named(change, said):
    with pytest.raises(ValueError, match=said):
        tally([draws().assign(**change)])


def test_a_bad_row_is_numbered_in_the_file_and_not_in_its_batch():
    table = draws()
    table.loc[12, "correct"] = 7
    with pytest.raises(ValueError, match="row 12 has correct = 7"):
        tally([table.iloc[:10], table.iloc[10:]])


def test_revisions_and_continuations_are_no_part_of_a_pool():
    params = [
        '{"prefix": "", "seed": 0}',
        '{"prefix": "so far", "seed": 0}',
        '{"prefix": "", "seed": 0, "turns": [["user", "again"]]}',
        '{"effort": "low", "prefix": "", "seed": 0}',
    ]
    table = pd.DataFrame({"task_class": "math", "problem_id": 1, "correct": 1, "params": params})
    assert tally([table]).whole().counts["n"].tolist() == [1]
    thought = table.iloc[[1]].assign(thinking_budget=8)
    assert tally([thought]).whole().counts["n"].tolist() == [1]
