"""How much drafts agree with one another: what selection may use when nothing can be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ORDER = 6
"""The longest character n-gram that is compared."""
SUBSETS = 200
"""Random orders of a pool, for a selection that has no exact expectation."""


def similarities(texts: Sequence[str | None]) -> NDArray[np.float64]:
    """Return chrF between every two texts as fractions, shape (n, n), symmetric.

    chrF is the mean F-score of character n-grams of the orders 1 to 6 without case and white
    space, over the orders that either text reaches (Popovic 2015, "chrF: character n-gram
    F-score for automatic MT evaluation"; beta = 1 makes it symmetric). The row and column of
    a None or blank text are NaN.
    """
    letters = ["".join((text or "").lower().split()) for text in texts]
    lengths = np.array([len(each) for each in letters], dtype=np.float64)
    longest = np.maximum.outer(lengths, lengths)
    total = np.zeros_like(longest)
    for n in range(1, ORDER + 1):
        counts = _ngram_counts(letters, n)
        both = np.minimum(counts[:, None, :], counts[None, :, :]).sum(axis=2)
        size = counts.sum(axis=1)
        total += 2 * both / np.maximum(np.add.outer(size, size), 1)
    matrix: NDArray[np.float64] = total / np.clip(longest, 1, ORDER)
    matrix[lengths == 0, :] = matrix[:, lengths == 0] = np.nan
    return matrix


def mbr_scores(texts: Sequence[str | None]) -> list[float | None]:
    """Return each draft's mean similarity to the other drafts, in [0, 1].

    The highest is the minimum-Bayes-risk choice under the model's own distribution (Kumar and
    Byrne 2004, "Minimum Bayes-risk decoding for statistical machine translation"; Bertsch et
    al. 2023, "It's MBR all the way down"). A None or blank draft scores None and is nobody's
    neighbour; a draft without a neighbour scores 0.
    """
    matrix = similarities(texts)
    present = ~np.isnan(matrix.diagonal())
    neighbours = np.nansum(matrix, axis=1) - np.nan_to_num(matrix.diagonal())
    means = neighbours / max(int(present.sum()) - 1, 1)
    return [float(mean) if here else None for mean, here in zip(means, present, strict=True)]


def choices(alike: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(draw i is the one most like the others) for k = 1..n, shape (n, n): k by draw.

    It is over random k-subsets. `alike` (n, n) has NaN in the rows and columns of draws without an
    answer, which are never chosen. The same random orders of the pool serve every k, so curves are
    paired.
    """
    n = len(alike)
    rng = np.random.default_rng(n)
    blank = np.isnan(alike.diagonal())
    weight = np.nan_to_num(alike)
    np.fill_diagonal(weight, 0.0)
    chosen = np.zeros((n, n))
    for _ in range(SUBSETS):
        order = rng.permutation(n)
        total = np.zeros(n)
        for k, new in enumerate(order):
            before = order[:k]
            total[before] += weight[before, new]
            total[new] = weight[new, before].sum()
            usable = order[: k + 1][~blank[order[: k + 1]]]
            if usable.size:
                chosen[k, usable[total[usable].argmax()]] += 1.0
    return chosen / SUBSETS


def _ngram_counts(texts: Sequence[str], n: int) -> NDArray[np.int64]:
    """Return how often each n-gram of all texts occurs in each, shape (texts, n-grams)."""
    bags = [Counter(text[at : at + n] for at in range(len(text) - n + 1)) for text in texts]
    column = {gram: at for at, gram in enumerate(sorted(set().union(*bags)))}
    counts = np.zeros((len(texts), len(column)), dtype=np.int64)
    for row, bag in enumerate(bags):
        counts[row, [column[gram] for gram in bag]] = list(bag.values())
    return counts
