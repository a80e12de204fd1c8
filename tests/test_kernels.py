"""The compiled loops: against exact integers, in one form each, and faster than plain Python."""

from fractions import Fraction
from math import comb
from time import perf_counter

import numpy as np
import pytest

from tsbench import kernels
from tsbench.pool import best_of, largest, maj_at_k, majority, weighted_best_of_k, weighted_vote


def exact_majority(votes, winner, n):
    """maj@k of one right answer in integers and plain Python, k = 1..n."""
    total = [Fraction(0)] * (n + 1)
    for t in range(1, votes[winner] + 1):
        ways = [[1]]
        for rival in votes[:winner] + votes[winner + 1 :]:
            more = [[0] * (n + 1) for _ in range(len(ways) + 1)]
            for r, row in enumerate(ways):
                for z, old in enumerate(row):
                    if old:
                        for j in range(min(t, rival + 1)):
                            more[r][z + j] += old * comb(rival, j)
                        if rival >= t:
                            more[r + 1][z + t] += old * comb(rival, t)
            ways = more
        for r, row in enumerate(ways):
            for z, old in enumerate(row):
                if old:
                    total[z + t] += Fraction(old * comb(votes[winner], t), r + 1)
    return [float(total[k] / comb(n, k)) for k in range(1, n + 1)]


def zipf_pools(pools, n):
    """Votes over 3 to 15 answers, a right one each: offsets, votes, correct."""
    rng = np.random.default_rng(0)
    votes, correct = [], []
    for _ in range(pools):
        share = 1.0 / np.arange(1, rng.integers(4, 17))
        counts = rng.multinomial(n, share / share.sum())
        counts = counts[counts > 0]
        votes.append(counts)
        correct.append(np.arange(counts.size) == rng.integers(0, 3))
    return np.cumsum([0, *map(len, votes)]), np.concatenate(votes), np.concatenate(correct)


def test_a_thousand_votes_at_once_are_far_faster_than_plain_python_and_as_exact():
    offsets, votes, correct = zipf_pools(1000, 64)
    blanks = np.zeros(1000, dtype=int)
    majority(offsets, votes, correct, blanks)
    began = perf_counter()
    found = majority(offsets, votes, correct, blanks)
    compiled = (perf_counter() - began) / 1000
    spent = 0.0
    for p in range(4):
        mine = slice(offsets[p], offsets[p + 1])
        began = perf_counter()
        exact = exact_majority(votes[mine].tolist(), int(correct[mine].argmax()), 64)
        spent += (perf_counter() - began) / 4
        assert found[p] == pytest.approx(exact, abs=1e-12)
    assert compiled < spent / 50


@pytest.mark.parametrize(("right", "wrong"), [(260, 252), (256, 256), (520, 480), (1, 999)])
def test_pools_up_to_the_limit_are_as_exact_as_integers(right, wrong):
    n = right + wrong
    found = maj_at_k([right, wrong], [1.0, 0.0])
    for k in (1, 2, 9, 100, n // 2, n - 1, n):
        ways = {x: comb(right, x) * comb(wrong, k - x) for x in range(max(0, k - wrong), k + 1)}
        ahead = sum(w for x, w in ways.items() if 2 * x > k)
        exact = Fraction(2 * ahead + ways.get(k / 2, 0), 2 * comb(n, k))
        assert found[k - 1] == pytest.approx(float(exact), abs=1e-12)


@pytest.mark.parametrize("votes", [[1] * 1000, [10] * 100, [100] * 10, [250] * 4])
def test_the_answers_of_the_largest_pools_share_the_vote(votes):
    every = maj_at_k(votes, np.ones(len(votes)))
    assert every == pytest.approx(np.ones(1000), abs=1e-12)
    assert every.max() <= 1.0
    one = maj_at_k(votes, np.arange(len(votes)) == 0)
    assert one == pytest.approx(np.full(1000, 1 / len(votes)), abs=1e-12)


def test_verdicts_on_the_largest_pool_are_votes_of_the_draws_that_passed():
    names, passed = np.repeat([0, 0, 1, 1], draws := [300, 200, 290, 210]), np.array([1, 0, 1, 0])
    plain = maj_at_k([300, 290], [1.0, 0.0], 410)
    found = weighted_best_of_k(names, np.repeat(passed, draws), names == 0)
    for k in range(1, 1001):
        only_right, only_wrong, none_passed = comb(200, k), comb(210, k), comb(410, k)
        chosen = Fraction(none_passed + only_right - only_wrong, 2 * comb(1000, k))
        assert found[k - 1] == pytest.approx(plain[k - 1] + float(chosen), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "steps"),
    [
        ([0.3, 0.3], [1, 1]),
        ([0.0, 0.0], [0, 0]),
        ([1 / 3, 2 / 3, 1.0, 0.0], [1, 2, 3, 0]),
        ([0.1, 0.2, 0.30000000000000004], [1, 2, 3]),
        ([2.0, 4.0, 10.0], [1, 2, 5]),
        ([0.999, 1.0], [999, 1000]),
        ([0.9999, 1.0], [round(0.9999 * 2**40), 2**40]),
    ],
)
def test_scores_are_whole_steps_of_the_coarsest_grid(scores, steps):
    weight = np.zeros(len(scores), dtype=np.int64)
    kernels.grid(np.array([0, len(scores)]), np.array(scores), weight)
    assert weight.tolist() == steps


def test_whatever_array_comes_each_kernel_is_compiled_once():
    votes = np.array([3, 9, 2, 9], dtype=np.int32)[::2]
    votes.flags.writeable = False
    majority(np.array([0, 2], dtype=np.uint8), votes, [True, False], (1,))
    for scores in (np.array([0.5, 0.25], np.float32), [np.pi, 1.0], np.ones((2, 2))[:, 0]):
        best_of([0, 2], scores, (1, 0))
        largest([0, 2], scores)
        weighted_vote([0, 2], np.array([0, 1], np.int8), scores, [1, 0])
    for kernel in (kernels.elect, kernels.rank, kernels.grid, kernels.run):
        assert len(kernel.signatures) == 1


def test_where_nothing_can_be_kept_a_kernel_is_compiled_all_the_same():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)
    assert kernels.compiled(scope["double"])(21) == 42
