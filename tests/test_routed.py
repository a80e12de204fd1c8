from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scripted import PROBLEM, Said, in_turn, play
from test_arms import pool

from tsbench.arm import Arm
from tsbench.arms import Visits, charged, pooled
from tsbench.driver import Tally, drive
from tsbench.policy import Policy
from tsbench.strategies import Beam, Routed
from tsbench.strategies.routed import carried_on, features, marked
from tsbench.types import Draw, Judge, Problem, Reply, Usage

FILE = Path(__file__).with_name("policy.json")


def test_draws_that_agree_end_with_the_pilot_and_others_go_on():
    sure = play(Routed(str(FILE)), in_turn("a"))
    assert len(sure.draws) == 2
    assert sure.picked is sure.replies[0]
    torn = play(Routed(str(FILE)), in_turn("a", "b", "b"))
    assert len(torn.draws) == 6
    assert [index for _, index in torn.asked] == list(range(6))
    assert torn.picked.answer == "b"


def test_what_was_not_seen_takes_the_fallback():
    silent = play(Routed(str(FILE)), lambda ask, index: Said())
    assert len(silent.draws) == 3
    other = Problem("p", "t", "poetry", PROBLEM.messages)
    run = play(Routed(str(FILE)), in_turn("a", "b"), other)
    assert len(run.draws) == 1
    assert run.picked is run.replies[0]


def spent(steps, judge, given):
    """Run a controller on draws in their order; return its pick, draws, judges."""
    tally, left = Tally(), iter(given)
    driven = drive(steps, tally, Counter())
    drawn, judged = [], []
    try:
        wanted = next(driven)
        while True:
            replies = []
            for ask, _ in wanted:
                if isinstance(ask, Draw):
                    drawn.append(next(left))
                    replies.append(drawn[-1])
                else:
                    judged.append(ask.reply.key)
                    replies.append(Reply(f"j{ask.reply.key}", "", score=judge[int(ask.reply.key)]))
            wanted = driven.send(replies)
    except StopIteration as stop:
        return stop.value, drawn, judged


@pytest.mark.parametrize("m", [0, 1, 4])
def test_a_replayed_arm_is_the_arm_that_is_run_live(m):
    """Accuracy, spend and order of every arm, after a pilot, on the same draws."""
    data = pool(Q=5, n=9)
    data.scores["judge"][data.answer < 0] = np.nan
    data.judging["judge"][data.answer < 0] = 0.0
    visits = Visits.of(data, 1)
    menu = pooled(visits)
    cost = menu.C + charged(menu, visits, m, None)
    for v in range(0, visits.problem.size, 23):
        q, order = visits.problem[v], visits.order[v]
        replies = [
            Reply(
                str(d),
                "",
                None if data.answer[q, d] < 0 else str(data.answer[q, d]),
                usage=Usage(completion_tokens=1),
            )
            for d in order
        ]

        def live(arm, pilot=replies[:m]):
            def steps():
                given = (yield [Draw()] * m) if m else []
                assert given == pilot
                return (yield from carried_on(arm, given, {}, PROBLEM, ()))

            return steps()

        for i, arm in enumerate(menu.arms):
            picked, drawn, judged = spent(live(arm), data.scores["judge"][q], replies)
            paid = sum(data.spend[q, int(r.key)] for r in drawn)
            paid += sum(data.judging["judge"][q, int(key)] for key in judged)
            assert paid == pytest.approx(cost[v, i]), arm.name
            assert len(drawn) == max(menu.draws[v, i], m)
            if picked is not None and menu.Z[v, i] in (0.0, 1.0):
                assert data.right[q, int(picked.key)] == menu.Z[v, i], arm.name


def test_a_judge_of_the_pilot_is_not_asked_twice():
    arm = Arm("best-of-n:judge", 4, verifier="judge")
    replies = [Reply(str(d), "", str(d), usage=Usage(completion_tokens=1)) for d in range(4)]

    def steps():
        pilot = yield [Draw()]
        marks = yield from marked(pilot, "judge", {})
        return (yield from carried_on(arm, pilot, marks, PROBLEM, ()))

    picked, drawn, judged = spent(steps(), [0.1, 0.9, 0.5, 0.2], replies)
    assert judged == ["0", "1", "2", "3"]
    assert picked.key == "1"
    assert len(drawn) == 4


def test_features_are_those_of_the_pilot():
    part = Policy.load(FILE).parts[0]
    first = Reply("0", "", "4", logprob_mean=-0.2, confidence=3.0, usage=Usage(30, 0, 7, 0, 1.0))
    found = features(part, PROBLEM, [first, Reply("1", "", "5")], {})
    assert found["first_log_tokens"] == 3.0
    assert found["first_logprob"] == -0.2
    assert found["first_answered"] == 1.0
    assert found["prompt_tokens"] == 30
    assert found["agreement"] == 0.5
    assert "first_confidence" in found
    assert "prompt_numbers" in found
    assert "level" not in found
    unknown = features(
        part, PROBLEM, [Reply("0", "", None, usage=Usage(completion_tokens=None))], {}
    )
    assert "first_log_tokens" not in unknown
    assert unknown["first_answered"] == 0.0


def with_arm(tmp_path, arm):
    text = FILE.read_text()
    policy = Policy.load(FILE)
    part = policy.parts[0]
    changed = Policy(
        policy.axis, (type(part)(**{**vars(part), "fallback": arm}),), policy.fallback, "0.1.0"
    )
    path = tmp_path / "policy.json"
    changed.save(path)
    assert path.read_text() != text
    return str(path)


def test_an_arm_that_a_name_does_not_make_must_be_given(tmp_path):
    path = with_arm(tmp_path, Arm("beam:p_true", 4, pooled=False))
    with pytest.raises(ValueError, match="arm beam:p_true @ 4, which its name does not make; give"):
        Routed(path)
    beam = Beam(width=2, branching=2, steps=3, tokens=8, verifier="p_true")
    found = Routed(path, (beam,))
    assert found.continues
    assert found.verifiers == ()
    assert found.rounds >= beam.rounds


def test_an_arm_that_needs_the_grade_is_refused(tmp_path):
    path = with_arm(tmp_path, Arm("pass@k", 4, verifier="grade"))
    with pytest.raises(ValueError, match="needs the grade of a draw"):
        Routed(path)


def test_the_policy_s_verifiers_are_named(tmp_path):
    arm = Arm("verified-stop:p_true", 8, {"score": 0.5}, "p_true", fixed=False)
    found = Routed(with_arm(tmp_path, arm))
    assert found.verifiers == ("p_true",)
    assert found.verifier == "p_true"
    run = play(found, lambda ask, i: Said() if isinstance(ask, Draw) else Said(score=0.7))
    assert len(run.draws) == 8
    assert not any(isinstance(ask, Judge) for ask, _ in run.asked)
