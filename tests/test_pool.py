from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.pool import best_of_k, expected_max, maj_at_k, pass_at_k, pass_hat_k

BLANK = -1


def over_subsets(n, value):
    return [np.mean([value(s) for s in combinations(range(n), k)]) for k in range(1, n + 1)]


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_and_pass_hat_k_are_means_over_subsets(pool):
    n, c = pool
    assert pass_at_k(n, c) == pytest.approx(over_subsets(n, lambda s: min(s) < c), abs=1e-12)
    assert pass_hat_k(n, c) == pytest.approx(over_subsets(n, lambda s: max(s) < c), abs=1e-12)


def test_pass_at_k_is_the_published_formula():
    n, c = 200, 7
    k = np.arange(1, n + 1)
    published = [1 - comb(n - c, j) / comb(n, j) for j in k]
    assert pass_at_k(n, c) == pytest.approx(published, abs=1e-12)


@settings(deadline=None)
@given(
    votes=st.lists(st.integers(1, 4), min_size=0, max_size=4),
    correct=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4),
    blanks=st.integers(0, 2),
    blank=st.sampled_from(["drop", "vote"]),
)
def test_majority_is_the_mean_over_subsets_with_fair_ties(votes, correct, blanks, blank):
    if sum(votes) + blanks == 0 or sum(votes) + blanks > 10:
        return
    right = dict(enumerate(correct[: len(votes)])) | {BLANK: 0.0}
    pool = [answer for answer, count in enumerate(votes) for _ in range(count)] + [BLANK] * blanks

    def value(subset):
        ballot = [pool[i] for i in subset if blank == "vote" or pool[i] != BLANK]
        counts = {answer: ballot.count(answer) for answer in ballot}
        tied = [answer for answer in counts if counts[answer] == max(counts.values())]
        return np.mean([right[answer] for answer in tied]) if tied else 0.0

    exact = maj_at_k(votes, correct[: len(votes)], blanks, blank=blank)
    assert exact == pytest.approx(over_subsets(len(pool), value), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=2).filter(sum))
def test_an_even_vote_between_two_answers_repeats_the_odd_one(votes):
    counts = [v for v in votes if v]
    exact = maj_at_k(counts, [1.0] + [0.0] * (len(counts) - 1))
    even = exact[1::2]
    assert even == pytest.approx(exact[::2][: even.size], abs=1e-9)


def test_majority_at_64_agrees_with_random_subsets():
    votes = [20, 17, 9, 6, 5, 3, 2, 1, 1]
    pool = np.repeat(np.arange(len(votes)), votes)
    rng = np.random.default_rng(0)
    exact = maj_at_k(votes, [1.0] + [0.0] * 8)
    for k in (4, 9, 33):
        counts = np.stack(
            [np.bincount(rng.permutation(pool)[:k], minlength=len(votes)) for _ in range(4000)]
        )
        won = counts == counts.max(axis=1, keepdims=True)
        share = (won[:, 0] / won.sum(axis=1)).mean()
        assert exact[k - 1] == pytest.approx(share, abs=0.03)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_best_of_k_is_the_mean_over_subsets_with_fair_ties(pool):
    scores = [np.nan if score == 0 else float(score) for score, _ in pool]
    right = [float(correct) for _, correct in pool]

    def value(subset):
        top = max(pool[i][0] for i in subset)
        return np.mean([right[i] for i in subset if pool[i][0] == top])

    assert best_of_k(scores, right) == pytest.approx(over_subsets(len(pool), value), abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_rounding_never_leaves_the_range_of_an_accuracy(n, seed):
    rng = np.random.default_rng(seed)
    votes = np.bincount(rng.integers(0, 4, n))
    votes = votes[votes > 0]
    for exact in (
        best_of_k(rng.normal(size=n), np.ones(n)),
        best_of_k(rng.integers(0, 3, n), rng.integers(0, 2, n)),
        maj_at_k(votes, np.ones(votes.size)),
        pass_at_k(n, n),
    ):
        assert exact.min() >= 0.0
        assert exact.max() <= 1.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_expected_max_is_the_mean_over_subsets(values):
    exact = over_subsets(len(values), lambda s: max(values[i] for i in s))
    assert expected_max(values) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pass_at_k(3, 4), "n = 3, c = 4"),
        (lambda: pass_hat_k(0, 0), "n = 0"),
        (lambda: maj_at_k([1, 2], [1.0]), "one length"),
        (lambda: maj_at_k([0], [1.0]), "1 or more"),
        (lambda: maj_at_k([1], [1.0], blank="wrong"), "'drop' and 'vote'"),
        (lambda: maj_at_k([], []), "at least one draw"),
        (lambda: best_of_k([1.0], [1.0, 0.0]), "one length"),
    ],
)
def test_a_bad_pool_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
