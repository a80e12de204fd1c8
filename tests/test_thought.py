from hypothesis import given
from hypothesis import strategies as st

from tsbench.outcomes import named
from tsbench.thought import KINDS, Thought, thought

SELECTORS = ("pass@k", "maj@k", "best-of-n:p_true", "my (own) search")


@given(st.sampled_from(SELECTORS), st.sampled_from(KINDS), st.integers(0, 99999))
def test_a_name_gives_its_parts_back(selector, kind, budget):
    assert thought(f"{selector} ({kind} {budget})") == Thought(selector, kind, float(budget))


@given(st.sampled_from(SELECTORS), st.integers(0, 10**7))
def test_the_names_of_pools_are_read_alike(selector, budget):
    found = thought(named(selector, budget))
    assert (found.selector, found.kind) == (selector, "thinking")
    assert abs(found.budget - budget) <= 1e-5 * budget


def test_other_names_say_nothing_of_thinking():
    for name in ("maj@k", "forced", "maj@k (forced)", "maj@k (forced x)", "maj@k (fast 3)", ""):
        assert thought(name) is None
