from collections import Counter
from itertools import combinations, pairwise
from math import comb, prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsbench.pool
from tsbench.pool import (
    all_pass,
    best_of,
    best_of_k,
    coverage,
    expected_max,
    largest,
    maj_at_k,
    majority,
    pass_at_k,
    pass_hat_k,
    weighted_best_of_k,
    weighted_vote,
)

NONE = -1
no_deadline = settings(deadline=None, max_examples=60)


def over_subsets(n, value):
    return [sum(map(value, combinations(range(n), k))) / comb(n, k) for k in range(1, n + 1)]


def chosen(weights, right):
    """The mean correctness of the answers with the largest weight."""
    if not weights:
        return 0.0
    top = max(weights.values()) - 1e-9
    tied = [right[answer] for answer, weight in weights.items() if weight >= top]
    return sum(tied) / len(tied)


def spread(votes, blanks=0):
    """A draw for each vote, and NONE for each blank."""
    return [answer for answer, count in enumerate(votes) for _ in range(count)] + [NONE] * blanks


def brute_majority(votes, correct, blanks, blank):
    pool, right = spread(votes, blanks), {**dict(enumerate(correct)), NONE: 0.0}
    kept = set(right) if blank == "vote" else set(right) - {NONE}
    return over_subsets(
        len(pool), lambda s: chosen(Counter(pool[i] for i in s if pool[i] in kept), right)
    )


def brute_weighted(answers, scores, correct):
    draws = {a: [c for b, c in zip(answers, correct, strict=True) if b == a] for a in answers}
    right = {answer: sum(each) / len(each) for answer, each in draws.items()}

    def value(subset):
        weights = Counter()
        for i in subset:
            if answers[i] != NONE:
                weights[answers[i]] += 0.0 if np.isnan(scores[i]) else scores[i]
        return chosen(weights, right)

    return over_subsets(len(answers), value)


def ragged(pools):
    """The offsets and the flat array of a list of lists."""
    return np.cumsum([0, *map(len, pools)]), np.concatenate(pools)


answers = st.integers(1, 6).flatmap(
    lambda m: st.tuples(
        st.lists(st.integers(1, 20), min_size=m, max_size=m),
        st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=m, max_size=m),
        st.integers(0, 5),
    )
)


@no_deadline
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_and_pass_hat_k_are_means_over_subsets(pool):
    n, c = pool
    assert pass_at_k(n, c) == pytest.approx(over_subsets(n, lambda s: min(s) < c), abs=1e-12)
    assert pass_hat_k(n, c) == pytest.approx(over_subsets(n, lambda s: max(s) < c), abs=1e-12)


@pytest.mark.parametrize(("n", "c"), [(1, 0), (1, 1), (200, 7), (200, 199), (3000, 2)])
def test_pass_at_k_is_the_published_formula(n, c):
    found = pass_at_k(n, c)
    for k in (1, 2, n // 2, n - 1, n):
        if 1 <= k <= n:
            published = 1.0 - prod(1.0 - k / j for j in range(n - c + 1, n + 1))
            assert found[k - 1] == pytest.approx(published if n - c >= k else 1.0, abs=1e-12)


@no_deadline
@given(st.integers(1, 600), st.data())
def test_more_draws_never_solve_less(n, data):
    c = data.draw(st.integers(0, n))
    assert (np.diff(pass_at_k(n, c)) >= 0.0).all()
    assert (np.diff(pass_hat_k(n, c)) <= 0.0).all()


def test_majority_is_the_mean_over_all_subsets_of_100_pools():
    rng = np.random.default_rng(0)
    for trial in range(100):
        pool = rng.integers(-1, rng.integers(1, 5), rng.integers(1, 10))
        votes = np.unique(pool[pool != NONE], return_counts=True)[1]
        correct = rng.choice([[0.0, 1.0], [0.0, 0.3]][trial % 2], votes.size)
        blanks = int((pool == NONE).sum())
        for blank in ("drop", "vote"):
            exact = maj_at_k(votes, correct, blanks, blank=blank)
            brute = brute_majority(votes, correct, blanks, blank)
            assert exact == pytest.approx(brute, abs=1e-9), (votes, correct, blanks, blank)


@pytest.mark.parametrize(
    ("votes", "blanks"), [([20, 17, 9, 6, 5, 3, 2, 1], 1), ([40, 38, 20, 9, 9, 4, *[1] * 8], 0)]
)
def test_majority_of_a_large_pool_agrees_with_random_subsets(votes, blanks):
    right = np.zeros(len(votes) + 1)
    right[[0, 3]] = 1.0, 0.5
    pool = np.array(spread(votes, blanks))
    exact = maj_at_k(votes, right[:-1], blanks)
    drawn = np.random.default_rng(1).permuted(np.tile(pool, (20_000, 1)), axis=1)
    for k in (2, 5, 16, 33, 63):
        counts = np.stack([(drawn[:, :k] == a).sum(axis=1) for a in range(len(votes))], axis=1)
        won = counts == counts.max(axis=1, keepdims=True)
        share = (won @ right[:-1]) / won.sum(axis=1)
        error = share.std() / sqrt(20_000)
        assert exact[k - 1] == pytest.approx(share.mean(), abs=5 * error + 1e-9)


@no_deadline
@given(answers)
def test_majority_stays_an_accuracy_from_one_draw_to_the_plain_vote(pool):
    votes, correct, blanks = pool
    exact = maj_at_k(votes, correct, blanks)
    n = sum(votes) + blanks
    assert exact.shape == (n,)
    assert exact.min() >= 0.0
    assert exact.max() <= 1.0
    assert exact[0] == pytest.approx(np.dot(votes, correct) / n, abs=1e-12)
    plain = chosen(dict(enumerate(votes)), dict(enumerate(correct)))
    assert exact[-1] == pytest.approx(plain, abs=1e-12)


@no_deadline
@given(answers, st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter(pool, random):
    votes, correct, blanks = pool
    order = list(range(len(votes)))
    random.shuffle(order)
    shuffled = maj_at_k([votes[i] for i in order], [correct[i] for i in order], blanks)
    assert shuffled == pytest.approx(maj_at_k(votes, correct, blanks), abs=1e-12)


@no_deadline
@given(st.lists(st.integers(0, 60), min_size=2, max_size=2).filter(sum))
def test_an_even_vote_between_two_answers_repeats_the_odd_one(votes):
    counts = [v for v in votes if v]
    exact = maj_at_k(counts, [1.0] + [0.0] * (len(counts) - 1))
    even = exact[1::2]
    assert even == pytest.approx(exact[::2][: even.size], abs=1e-9)


@no_deadline
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_best_of_k_is_the_mean_over_subsets_with_fair_ties(pool):
    scores = [np.nan if score == 0 else float(score) for score, _ in pool]
    right = [float(correct) for _, correct in pool]

    def value(subset):
        top = max(pool[i][0] for i in subset)
        return np.mean([right[i] for i in subset if pool[i][0] == top])

    assert best_of_k(scores, right) == pytest.approx(over_subsets(len(pool), value), abs=1e-9)


@no_deadline
@given(st.integers(1, 300), st.data())
def test_the_best_by_the_truth_is_right_where_one_draw_is(n, data):
    c = data.draw(st.integers(0, n))
    right = [1.0] * c + [0.0] * (n - c)
    assert best_of_k(right, right) == pytest.approx(pass_at_k(n, c), abs=1e-12)


@no_deadline
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_expected_max_is_the_mean_over_subsets(values):
    exact = over_subsets(len(values), lambda s: max(values[i] for i in s))
    assert expected_max(values) == pytest.approx(exact, abs=1e-9)


def test_the_largest_of_values_that_are_not_all_known_is_unknown():
    assert np.isnan(expected_max([1.0, np.nan, 2.0])).all()


@pytest.mark.parametrize("steps", [1, 3, 7, 10, 100])
def test_a_weighted_vote_on_a_grid_is_the_mean_over_all_subsets(steps):
    rng = np.random.default_rng(steps)
    for _ in range(20):
        n = rng.integers(1, 9)
        names = rng.integers(-1, 4, n)
        scores = rng.integers(0, steps + 1, n) / steps * rng.choice([1.0, 0.3])
        scores[rng.random(n) < 0.15] = np.nan
        correct = rng.choice([0.0, 0.5, 1.0], n)
        exact = weighted_best_of_k(names, scores, correct)
        assert exact == pytest.approx(brute_weighted(names, scores, correct), abs=1e-9)


@no_deadline
@given(st.lists(st.tuples(st.integers(-1, 5), st.booleans()), min_size=1, max_size=40))
def test_equal_scores_are_a_plain_vote(draws):
    names = [name for name, _ in draws]
    given = sorted(set(names) - {NONE})
    votes = [names.count(name) for name in given]
    correct = [np.mean([right for name, right in draws if name == each]) for each in given]
    plain = maj_at_k(votes, correct, names.count(NONE))
    weighted = weighted_best_of_k(names, [0.37] * len(draws), [right for _, right in draws])
    assert weighted == pytest.approx(plain, abs=1e-12)


def test_a_weighted_vote_among_answers_that_all_differ_is_best_of_k():
    rng = np.random.default_rng(2)
    scores, right = rng.integers(1, 6, 30) / 5, rng.integers(0, 2, 30)
    weighted = weighted_best_of_k(np.arange(30), scores, right)
    assert weighted == pytest.approx(best_of_k(scores, right), abs=1e-12)


@no_deadline
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_weighted_vote_stays_an_accuracy_from_one_draw_to_the_whole_pool(seed, rated):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 10)
    names, right = rng.integers(-1, 4, n), rng.integers(0, 2, n)
    scores = rng.integers(0, 6, n) / 5 if rated else rng.random(n)
    scores[rng.random(n) < 0.2] = np.nan
    found = weighted_best_of_k(names, scores, right)
    brute = brute_weighted(names, scores, right)
    assert found.min() >= 0.0
    assert found.max() <= 1.0 + 1e-12
    assert found[0] == pytest.approx(brute[0], abs=1e-12)
    assert found[-1] == pytest.approx(brute[-1], abs=1e-12)


@no_deadline
@given(st.integers(0, 99), st.floats(0.01, 50.0))
def test_a_weighted_vote_has_no_unit(seed, factor):
    rng = np.random.default_rng(seed)
    names, scores, right = rng.integers(0, 5, 20), rng.integers(0, 9, 20) / 8, rng.random(20)
    scaled = weighted_best_of_k(names, scores * factor, right)
    assert scaled == pytest.approx(weighted_best_of_k(names, scores, right), abs=1e-12)


def test_a_weighted_vote_of_real_scores_is_unbiased_within_its_standard_error():
    rng = np.random.default_rng(3)
    names, scores, right = [0, 0, 1, 1, 2, NONE, 2, 3], rng.random(8), [1, 1, 0, 0, 0, 0, 0, 1]
    found = np.array(
        [weighted_best_of_k(names, scores, right, orders=16, seed=seed) for seed in range(200)]
    )
    error = found.std(axis=0)
    brute = brute_weighted(names, scores, right)
    assert error[1] > 0.0
    assert (error <= 0.5 / sqrt(16)).all()
    assert (abs(found.mean(axis=0) - brute) <= 5 * error / sqrt(200) + 1e-12).all()


@pytest.mark.parametrize("steps", [1, 10])
def test_random_orders_agree_with_the_exact_weighted_vote_of_a_large_pool(steps, monkeypatch):
    rng = np.random.default_rng(4)
    names, scores = rng.integers(-1, 6, 128), rng.integers(0, steps + 1, 128) / steps
    scores[rng.random(128) < 0.5] = np.nan
    right = names == 2
    exact = weighted_best_of_k(names, scores, right)
    monkeypatch.setattr(tsbench.pool, "EXACT", 0)
    found = np.array([weighted_best_of_k(names, scores, right, seed=seed) for seed in range(20)])
    error = found.std(axis=0)
    assert 0.0 < error.max() <= 0.5 / sqrt(64)
    assert (abs(found.mean(axis=0) - exact) <= 5 * error / sqrt(20) + 1e-4).all()


@no_deadline
@given(st.lists(answers, min_size=1, max_size=5), st.sampled_from(["drop", "vote"]))
def test_many_votes_at_once_are_the_single_ones(pools, blank):
    offsets, votes = ragged([p[0] for p in pools])
    correct = np.concatenate([p[1] for p in pools])
    found = majority(offsets, votes, correct, [p[2] for p in pools], blank=blank)
    for row, (counts, right, blanks) in zip(found, pools, strict=True):
        n = sum(counts) + blanks
        assert row[:n].tolist() == maj_at_k(counts, right, blanks, blank=blank).tolist()
        assert np.isnan(row[n:]).all()


def test_many_pools_of_draws_at_once_are_the_single_ones():
    rng = np.random.default_rng(5)
    sizes = [4, 1, 17, 0, 9]
    offsets, scores = ragged([rng.integers(0, 5, n) / 4 for n in sizes])
    names, right = rng.integers(-1, 3, scores.size), rng.integers(0, 2, scores.size)
    n = np.array(sizes)
    c = np.array([right[a:b].sum() for a, b in pairwise(offsets)])
    batched = (
        (best_of(offsets, scores, right), lambda s: best_of_k(scores[s], right[s])),
        (largest(offsets, scores), lambda s: expected_max(scores[s])),
        (
            weighted_vote(offsets, names, scores, right),
            lambda s: weighted_best_of_k(names[s], scores[s], right[s]),
        ),
        (coverage(n, c), lambda s: pass_at_k(s.stop - s.start, right[s].sum())),
        (all_pass(n, c), lambda s: pass_hat_k(s.stop - s.start, right[s].sum())),
    )
    for found, single in batched:
        assert found.shape == (5, 17)
        for p, size in enumerate(sizes):
            assert np.isnan(found[p, size:]).all()
            if size:
                alone = single(slice(int(offsets[p]), int(offsets[p + 1])))
                assert found[p, :size] == pytest.approx(alone, abs=1e-12)


def test_real_scores_of_a_query_do_not_share_their_orders_with_another():
    rng = np.random.default_rng(6)
    names, scores, right = np.arange(12) % 4, rng.random(12), np.arange(12) % 4 == 1
    twice = weighted_vote([0, 12, 24], *(np.tile(x, 2) for x in (names, scores, right)))
    assert twice[0].tolist() == weighted_best_of_k(names, scores, right).tolist()
    assert twice[0].tolist() != twice[1].tolist()


def test_pools_without_a_draw_have_no_estimate():
    nothing = np.zeros(0)
    for found in (
        coverage([0, 0], [0, 0]),
        all_pass([0, 0], [0, 0]),
        majority([0, 0, 0], nothing, nothing, [0, 0]),
        best_of([0, 0, 0], nothing, nothing),
        largest([0, 0, 0], nothing),
        weighted_vote([0, 0, 0], nothing, nothing, nothing),
    ):
        assert found.shape == (2, 1)
        assert np.isnan(found).all()


def test_a_pool_that_gave_no_answer_is_wrong():
    assert maj_at_k([], [], 3).tolist() == [0.0] * 3
    assert weighted_best_of_k([NONE, NONE], [1.0, 0.5], [0.0, 1.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pass_at_k(3, 4), "n = 3, c = 4"),
        (lambda: pass_hat_k(0, 0), "n = 0"),
        (lambda: coverage([3], [1, 2]), "one length"),
        (lambda: coverage([3.5], [1]), "whole numbers"),
        (lambda: coverage([np.nan], [1]), "whole numbers"),
        (lambda: maj_at_k([1, 2], [1.0]), "one length"),
        (lambda: maj_at_k([0], [1.0]), "1 or more"),
        (lambda: maj_at_k([1], [1.0], -1), "0 or more"),
        (lambda: maj_at_k([1], [1.5]), r"\[0, 1\]"),
        (lambda: maj_at_k([1], [np.nan]), r"\[0, 1\]"),
        (lambda: maj_at_k([1], [1.0], blank="wrong"), "'drop' and 'vote'"),
        (lambda: maj_at_k([], []), "at least one draw"),
        (lambda: maj_at_k([600, 401], [1.0, 0.0]), "up to 1000 draws a pool, found 1001"),
        (lambda: majority([0, 1], [1], [1.0], [0, 0]), "one number a pool"),
        (lambda: majority([1, 1], [1], [1.0], [0]), "begin with 0"),
        (lambda: majority([0, 2, 1], [1], [1.0], [0, 0]), "not fall"),
        (lambda: best_of_k([1.0], [1.0, 0.0]), "one length"),
        (lambda: best_of_k([], []), "at least one draw"),
        (lambda: expected_max([]), "at least one draw"),
        (lambda: weighted_best_of_k([-2], [1.0], [1.0]), "-1"),
        (lambda: weighted_best_of_k([0], [-1.0], [1.0]), "0 or more"),
        (lambda: weighted_best_of_k([0], [np.inf], [1.0]), "finite"),
        (lambda: weighted_best_of_k([0], [1.0], [1.0], orders=0), "orders 1 or more"),
        (lambda: weighted_best_of_k([0, 1], [1.0], [1.0, 0.0]), "one length"),
    ],
)
def test_a_bad_pool_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
