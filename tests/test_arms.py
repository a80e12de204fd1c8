from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench import prefixes
from tsbench.arm import GRADE, Arm
from tsbench.arms import Pool, Visits, accepting, budgets, charged, joined, pooled, waited
from tsbench.pool import best_of, majority
from tsbench.replay import replay
from tsbench.strategies import AdaptiveVote
from tsbench.strategies.vote import certainty
from tsbench.types import Problem, Reply, Usage


def pool(Q=12, n=9, answers=3, seed=0, known=False, blank=0.1):
    rng = np.random.default_rng(seed)
    ease = rng.beta(1, 1, (Q, 1))
    right = rng.random((Q, n)) < ease
    wrong = rng.integers(1, answers + 1, (Q, n))
    answer = np.where(right, 0, wrong)
    answer = np.where(rng.random((Q, n)) < blank, -1, answer)
    right = (answer == 0).astype(float)
    codes = answer.copy()
    for row in codes:
        voted = row >= 0
        row[voted] = np.unique(row[voted], return_inverse=True)[1]
    score = right + rng.standard_normal((Q, n))
    spend = rng.uniform(5, 15, (Q, n))
    scores = {"judge": score} | ({GRADE: right} if known else {})
    cost = {name: np.full((Q, n), 2.0 if name == "judge" else 0.0) for name in scores}
    problems = pd.DataFrame(index=pd.Index([f"p{q}" for q in range(Q)]))
    return Pool(
        problems,
        right,
        right,
        codes,
        spend,
        spend / 10,
        {},
        scores,
        cost,
        {k: v / 10 for k, v in cost.items()},
    )


def column(menu, strategy, budget, **params):
    for i, arm in enumerate(menu.arms):
        if (arm.strategy, arm.budget, dict(arm.params)) == (strategy, budget, params):
            return i
    raise AssertionError([arm.name for arm in menu.arms])


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.integers(0, 100))
def test_votes_are_counted_as_they_come(answers, seed):
    answer = np.array([answers])
    codes = np.where(
        answer >= 0, np.unique(answer, return_inverse=True)[1].reshape(answer.shape), -1
    )
    values = np.random.default_rng(seed).random(20)
    worth = np.where(codes >= 0, values[codes], 0.0)
    won = np.empty(codes.shape)
    lead, second = np.empty_like(codes), np.empty_like(codes)
    prefixes.votes(codes.astype(np.int64), worth, won, lead, second)
    for k in range(len(answers)):
        votes = Counter(c for c in codes[0, : k + 1] if c >= 0)
        counts = [*sorted(votes.values(), reverse=True), 0, 0]
        top = [values[c] for c, v in votes.items() if v == counts[0]]
        assert won[0, k] == pytest.approx(np.mean(top) if top else 0.0)
        assert (lead[0, k], second[0, k]) == (counts[0], counts[1])


def test_over_all_orders_an_arm_is_the_exact_mean_of_its_subsets(monkeypatch):
    monkeypatch.setattr("tsbench.arms.VISITS", 12 * 4000)
    monkeypatch.setattr("tsbench.arms.ORDERS", (4000, 4000))
    drawn = pool()
    visits = Visits.of(drawn, 0)
    menu = pooled(visits)
    votes = [np.unique(row[row >= 0], return_counts=True)[1] for row in drawn.answer]
    right = [
        [drawn.right[q][row == a][0] for a in np.unique(row[row >= 0])]
        for q, row in enumerate(drawn.answer)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in votes])])
    blanks = (drawn.answer < 0).sum(axis=1)
    exact = majority(offsets, np.concatenate(votes), np.concatenate(right), blanks)
    best = best_of(9 * np.arange(13), drawn.scores["judge"].ravel(), drawn.right.ravel())
    for strategy, table in (("maj@k", exact), ("best-of-n:judge", best)):
        for k in (2, 4, 9):
            got = menu.Z[:, column(menu, strategy, k)].reshape(12, -1).mean(axis=1)
            assert got == pytest.approx(table[:, k - 1], abs=0.04)
            spend = menu.C[:, column(menu, strategy, k)].mean()
            cost = drawn.spend.mean() + (2.0 if "judge" in strategy else 0.0)
            assert spend == pytest.approx(k * cost, rel=0.01)


def test_a_vote_that_stops_early_is_the_strategy_that_is_run_live():
    drawn = pool(Q=6, n=12)
    visits = Visits.of(drawn, 3)
    menu = pooled(visits)
    for confidence in (0.8, 0.95):
        arm = column(menu, "adaptive-vote", 8, confidence=confidence)
        for v in range(0, visits.problem.size, 17):
            q, order = visits.problem[v], visits.order[v]
            replies = [
                Reply(
                    str(d),
                    "",
                    None if drawn.answer[q, d] < 0 else str(drawn.answer[q, d]),
                    usage=Usage(completion_tokens=1),
                )
                for d in order
            ]
            problem = Problem("p", "t", "c", ())
            picked, spent = replay(AdaptiveVote(8, confidence=confidence), problem, replies)
            assert menu.draws[v, arm] == spent.asks
            assert menu.C[v, arm] == pytest.approx(drawn.spend[q, order[: spent.asks]].sum())
            if picked is None:
                assert menu.Z[v, arm] == 0.0
            elif menu.Z[v, arm] in (0.0, 1.0):
                assert menu.Z[v, arm] == drawn.right[q, int(picked.key)]


def test_the_certainty_of_a_leader_is_that_of_the_strategy():
    from scipy.special import bdtr

    for lead, second in ((0, 0), (1, 0), (3, 1), (9, 9)):
        replies = [SimpleNamespace(answer="a")] * lead + [SimpleNamespace(answer="b")] * second
        assert bdtr(lead, lead + second + 1, 0.5) == pytest.approx(certainty(replies))


def test_a_grade_known_at_once_stops_at_the_first_right_draw():
    drawn = pool(known=True)
    visits = Visits.of(drawn, 0)
    menu = pooled(visits)
    arm = column(menu, "verified-stop:grade", 8, score=1.0)
    right = visits.seen(drawn.right)
    first = np.where(right[:, :8].any(axis=1), right[:, :8].argmax(axis=1) + 1, 8)
    assert menu.draws[:, arm].tolist() == first.tolist()
    assert menu.Z[:, arm].tolist() == right[:, :8].max(axis=1).tolist()
    assert menu.Z[:, column(menu, "pass@k", 8)].tolist() == menu.Z[:, arm].tolist()


def test_a_pilot_is_reused_and_only_what_an_arm_would_not_have_drawn_is_charged():
    drawn = pool()
    visits = Visits.of(drawn, 0)
    menu = joined(
        pooled(visits),
        visits.problem,
        [(pooled_arm(), np.full(12, 0.5), np.full(12, 40.0), np.full(12, 1.0))],
    )
    extra = charged(menu, visits, 4, None)
    spent = visits.seen(drawn.spend)
    assert extra[:, column(menu, "maj@k", 8)] == pytest.approx(0.0)
    assert extra[:, column(menu, "single", 1)] == pytest.approx(spent[:, 1:4].sum(axis=1))
    assert extra[:, column(menu, "maj@k", 3)] == pytest.approx(spent[:, 3])
    assert extra[:, column(menu, "beam:x", 4)] == pytest.approx(spent[:, :4].sum(axis=1))
    assert charged(menu, visits, 0, None).sum() == 0.0


def pooled_arm():
    return Arm("beam:x", 4, pooled=False)


def test_a_judge_is_paid_for_once():
    drawn = pool()
    visits = Visits.of(drawn, 0)
    menu = pooled(visits)
    extra = charged(menu, visits, 1, "judge")
    assert extra[:, column(menu, "maj@k", 8)] == pytest.approx(2.0)
    assert extra[:, column(menu, "best-of-n:judge", 8)] == pytest.approx(0.0)


def test_the_pilot_takes_its_time():
    drawn = pool()
    visits = Visits.of(drawn, 0)
    menu = pooled(visits)
    wait = waited(menu, visits, 4)
    first = visits.seen(drawn.seconds)[:, :4].max(axis=1)
    assert wait[:, column(menu, "single", 1)] == pytest.approx(first)
    late = column(menu, "maj@k", 8)
    assert wait[:, late] == pytest.approx(first + menu.seconds[:, late])


def test_a_verifier_accepts_from_its_quantiles_on_and_at_its_verdict():
    assert accepting(np.array([[0.0] * 99 + [1.0], [0.0] * 99 + [1.0]])).tolist() == [1.0]
    assert accepting(np.arange(100.0)).tolist() == [50.0, 75.0, 90.0, 97.0]
    assert accepting(np.full(3, 0.5)).tolist() == []
    assert accepting(np.full(3, np.nan)).tolist() == []


def test_budgets_are_two_to_a_doubling_with_the_last_and_those_asked_for():
    assert budgets(20) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    assert 5 in budgets(8, (5, 99))
    assert 99 not in budgets(8, (5, 99))


def test_a_verifier_that_judged_some_draws_scores_the_first_and_has_no_arm():
    drawn = pool()
    drawn.scores["judge"][:, 3:] = np.nan
    visits = Visits.of(drawn, 0)
    assert drawn.reach("judge") == 3
    assert set(visits.order[:, 0]) == {0, 1, 2}
    assert all(sorted(order) == list(range(9)) for order in visits.order.tolist())
    assert not any("judge" in arm.strategy for arm in pooled(visits).arms)


def test_routing_on_a_pilot_is_worth_what_it_is_worth_on_new_draws():
    """Draws that an estimate saw are part of the arm: no problem is valued on luck."""
    rng = np.random.default_rng(1)
    Q, n, m, k = 400, 12, 4, 12
    p = rng.beta(0.7, 0.7, Q)
    drawn = pool(Q=Q, n=n, blank=0.0)
    right = (rng.random((Q, n)) < p[:, None]).astype(float)
    codes = np.stack([np.unique(r, return_inverse=True)[1] for r in right])
    drawn = Pool(drawn.problems, right, right, codes, np.ones((Q, n)), None, {}, {}, {}, {})
    visits = Visits.of(drawn, 0)
    menu = pooled(visits)

    def routed(rows):
        pilot = rows[:, :m].sum(axis=1)
        sure = (pilot == 0) | (pilot == m)
        voted = np.where(sure, pilot > m / 2, rows[:, :k].sum(axis=1) > k / 2).astype(float)
        tied = ~sure & (rows[:, :k].sum(axis=1) == k / 2)
        return np.where(tied, 0.5, voted).mean(), np.where(sure, m, k).mean()

    fresh = (rng.random((200_000, n)) < rng.beta(0.7, 0.7, (200_000, 1))).astype(float)
    seen = visits.seen(right)
    pilot = seen[:, :m].sum(axis=1)
    sure = (pilot == 0) | (pilot == m)
    C = menu.C + charged(menu, visits, m, None)
    arm = np.where(sure, column(menu, "maj@k", m), column(menu, "maj@k", k))
    rows = np.arange(arm.size)
    accuracy, spend = routed(fresh)
    assert menu.Z[rows, arm].mean() == pytest.approx(accuracy, abs=0.04)
    assert C[rows, arm].mean() == pytest.approx(spend, rel=0.06)
    assert (menu.Z[rows, arm].mean(), C[rows, arm].mean()) == pytest.approx(routed(seen))
