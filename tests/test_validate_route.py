import numpy as np
import pytest

from tsbench.validate_route import BUDGETS, CLASSES, ValidateRoute, results, scored, summary


def test_a_score_has_the_auc_that_was_asked_for():
    for auc in (0.62, 0.9):
        found = scored("even", auc)
        assert found.auc == pytest.approx(auc, abs=0.002)
        rng = np.random.default_rng(5)
        p = CLASSES["even"].sample(4000, rng)
        score, right = found.sample(p, rng), rng.random(4000) < p
        pairs = rng.integers(0, 4000, (2, 60_000))
        mixed = right[pairs[0]] & ~right[pairs[1]]
        won = score[pairs[0]] > score[pairs[1]]
        assert won[mixed].mean() == pytest.approx(auc, abs=0.02)


def test_a_dataset_depends_on_its_place_alone():
    first, again, other = (results("even", 0.9, 60, number, (8,), 0) for number in (3, 3, 4))
    assert first == again
    assert first != other


def test_estimated_savings_are_those_that_a_policy_then_has(tmp_path):
    rows = ValidateRoute(
        datasets=3, queries=(300,), aucs=(0.62, 0.9), targets=(8,), out=str(tmp_path)
    )()
    found = summary(rows).set_index(["policy", "difficulty", "auc"])
    for policy in ("bins", "greedy", "routed"):
        for name in CLASSES:
            assert abs(found.loc[(policy, name, 0.9), "bias"]) < 8.0
            assert found.loc[(policy, name, 0.9), "true_saving"] > 20.0
            assert found.loc[(policy, name, 0.62), "true_saving"] < 10.0
    assert rows["truth"].between(rows["low"], rows["high"]).mean() > 0.85
    assert (tmp_path / "validate_route.parquet").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"datasets": 1}, "datasets is 1"),
        ({"aucs": [0.95]}, "aucs has 0.95"),
        ({"targets": [5]}, "targets has 5; allowed are 1, 2, 4"),
    ],
)
def test_bad_numbers_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        ValidateRoute(**given)


@pytest.mark.table
def test_at_a_thousand_problems_the_saving_is_known_to_two_points(tmp_path):
    rows = ValidateRoute(datasets=40, queries=(1000,), out=str(tmp_path))()
    found = summary(rows)
    assert (found["bias"].abs() < 2.0).all()
    assert found.groupby("policy")["covered"].mean().between(0.9, 1.0).all()
    assert set(BUDGETS) >= {8, 32}
