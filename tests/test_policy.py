import json

import numpy as np
import pandas as pd
import pytest

from tsbench.arm import Arm
from tsbench.difficulty import fitted
from tsbench.policy import Part, Policy


def part(task_class="math", model="m", **changes):
    x = np.linspace(0, 1, 200)
    calibration = fitted(pd.DataFrame({"x": x}), x, np.ones(200), "logistic")
    given = {
        "task_class": task_class,
        "model": model,
        "family": "bins",
        "estimate": "given",
        "pilot": 0,
        "verifier": None,
        "calibration": calibration,
        "edges": (0.3, 0.7),
        "arms": (Arm("maj@k", 32), Arm("adaptive-vote", 8, {"confidence": 0.9}), Arm("single", 1)),
        "fallback": Arm("maj@k", 8),
        "target": "accuracy of maj@k @ 8",
        "problems": 200,
        "fingerprint": "sha256:0",
        "expected": {"saving": {"value": 0.3, "low": 0.2, "high": 0.4}},
        "bins": ({"share": 1.0},),
        "remarks": ("of 200 problems",),
    }
    return Part(**{**given, **changes})


def saved(tmp_path, *parts):
    path = tmp_path / "policy.json"
    Policy("tokens", parts, Arm("single", 1), "0.1.0").save(path)
    return path


def test_what_is_saved_is_loaded(tmp_path):
    words = pd.DataFrame({"level=a": [1.0, 0.0], "level=b": [0.0, 1.0]})
    isotonic = fitted(words, np.array([0.2, 0.9]), np.ones(2), "isotonic")
    first, second = part(), part("code", calibration=isotonic, edges=(), arms=(Arm("single", 1),))
    found = Policy.load(saved(tmp_path, first, second))
    assert found.parts == (first, second)
    assert found.fallback == Arm("single", 1)
    assert json.loads((tmp_path / "policy.json").read_text())["schema_version"] == 1


def test_an_arm_is_chosen_by_the_chance_of_one_pass(tmp_path):
    policy = Policy.load(saved(tmp_path, part()))
    hard, middle, easy = (policy.choose({"x": x}) for x in (0.0, 0.5, 1.0))
    assert [c.arm.name for c in (hard, middle, easy)] == [
        "maj@k @ 32",
        "adaptive-vote (confidence 0.9) @ 8",
        "single @ 1",
    ]
    assert [c.bin for c in (hard, middle, easy)] == [0, 1, 2]
    assert hard.chance < 0.3 < middle.chance < 0.7 < easy.chance
    assert hard.fallback is None


def test_what_was_not_seen_falls_back_and_says_so(tmp_path):
    policy = Policy.load(saved(tmp_path, part(), part("code")))
    for features, said, arm in (
        ({"task_class": "poetry", "x": 0.5}, "class 'poetry' is not one of", "single @ 1"),
        ({"x": 0.5}, "class None", "single @ 1"),
        ({"task_class": "math", "model": "other", "x": 0.5}, "model 'other'", "single @ 1"),
        ({"task_class": "math"}, "feature 'x' is missing", "maj@k @ 8"),
        ({"task_class": "math", "x": 7.0}, "feature 'x' is 7, seen were 0 to 1", "maj@k @ 8"),
    ):
        found = policy.choose(features)
        assert said in found.fallback
        assert found.arm.name == arm
        assert found.bin is None
    assert policy.choose({"task_class": "math", "model": "m", "x": 0.5}).fallback is None


def test_a_value_is_its_own_feature_and_an_unknown_one_falls_back(tmp_path):
    words = pd.DataFrame({"level=a": [1.0, 0.0] * 50, "level=b": [0.0, 1.0] * 50})
    told = fitted(words, np.tile([0.05, 0.95], 50), np.ones(100), "logistic")
    policy = Policy.load(saved(tmp_path, part(calibration=told)))
    assert policy.choose({"level": "a"}).arm.name == "maj@k @ 32"
    assert policy.choose({"level": "b"}).arm.name == "single @ 1"
    assert "is missing" in policy.choose({"level": "c"}).fallback


def test_a_policy_that_looks_at_nothing_has_one_arm(tmp_path):
    alone = part(calibration=None, edges=(), arms=(Arm("adaptive-vote", 32),))
    assert Policy.load(saved(tmp_path, alone)).choose({}).arm.name == "adaptive-vote @ 32"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[]", "schema_version None; allowed is 1"),
        ('{"schema_version": 2}', "schema_version 2; allowed is 1"),
        ('{"schema_version": 1, "axis": "tokens"}', "lacks or has in excess: 'classes'"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path, text, said):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        Policy.load(path)


def test_edges_that_do_not_fit_the_arms_are_refused(tmp_path):
    path = saved(tmp_path, part())
    read = json.loads(path.read_text())
    read["classes"][0]["edges"] = [0.5]
    path.write_text(json.dumps(read))
    with pytest.raises(ValueError, match="1 edges need 2 arms, found 3"):
        Policy.load(path)
    with pytest.raises(ValueError, match="is not there"):
        Policy.load(tmp_path / "none.json")
