import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsbench.similarity import ORDER, mbr_scores, similarities

TEXTS = st.lists(st.none() | st.text(alphabet="ab c", max_size=12), max_size=6)


def chrf(left: str, right: str) -> float:
    left, right = ("".join(text.lower().split()) for text in (left, right))
    orders = range(1, min(ORDER, max(len(left), len(right))) + 1)
    scores = []
    for n in orders:
        a, b = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (left, right))
        precision = (a & b).total() / max(a.total(), 1)
        recall = (a & b).total() / max(b.total(), 1)
        scores.append(2 * precision * recall / (precision + recall) if precision else 0.0)
    return math.fsum(scores) / len(orders)


def test_by_hand() -> None:
    # Orders 1 and 2: letters share 1 of 2, "ab" and "ac" share none.
    assert similarities(["ab", "ac"])[0, 1] == pytest.approx((0.5 + 0) / 2)


@given(TEXTS)
def test_matrix_is_chrf_of_each_pair(texts: list[str | None]) -> None:
    matrix = similarities(texts)
    assert matrix.shape == (len(texts), len(texts))
    for i, left in enumerate(texts):
        for j, right in enumerate(texts):
            if not (left or "").strip() or not (right or "").strip():
                assert np.isnan(matrix[i, j])
            else:
                assert matrix[i, j] == pytest.approx(chrf(left or "", right or ""))


@given(TEXTS)
def test_blank_drafts_have_no_score_and_give_none(texts: list[str | None]) -> None:
    scores = mbr_scores(texts)
    written = [text for text in texts if text and text.strip()]
    assert [score is None for score in scores] == [not (t and t.strip()) for t in texts]
    assert [score for score in scores if score is not None] == pytest.approx(mbr_scores(written))


def test_score_is_the_mean_over_the_others() -> None:
    texts = ["the cat sat", "the cat sat down", "purple"]
    pairs = similarities(texts)
    assert mbr_scores(texts) == pytest.approx(
        [(pairs[i].sum() - pairs[i, i]) / 2 for i in range(3)]
    )


def test_the_outlier_loses_and_case_and_space_do_not_count() -> None:
    scores = mbr_scores(["The cat sat.", "the  cat sat.", "a dog ran off", None, " \n"])
    assert scores[0] == scores[1]
    assert scores[2] is not None
    assert scores[0] is not None
    assert scores[0] > scores[2]
    assert scores[3] is scores[4] is None


def test_alone_scores_zero() -> None:
    assert mbr_scores(["one", None]) == [0.0, None]
    assert mbr_scores([]) == []
