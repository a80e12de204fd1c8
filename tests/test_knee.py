import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tsbench.knee import locate

X = np.arange(8.0)
SPEND = 100 * 2.0**X
TRUE = {
    "rising": 0.30 + 0.04 * X,
    "saturating": 0.30 + 0.30 * (1 - 2 ** (-0.9 * X)),
    "flat": np.full(8, 0.5),
    "turning": 0.35 + 0.25 * (1 - 2 ** (-1.2 * X)) - 0.022 * np.maximum(X - 3, 0),
}
KNEE = {
    "rising": 7.0,
    "saturating": np.log2(0.30 * 0.9 * np.log(2) / 0.01) / 0.9,
    "flat": 0.0,
    "turning": 3.0,
}


def study(true, queries, seed, draws=16):
    """Queries of spread ease whose mean accuracy is `true`, `draws` fresh samples a budget."""
    rng = np.random.default_rng([seed, queries])
    ease = 1.3 * rng.standard_normal((queries, 1))
    chance = norm.cdf(norm.ppf(true) * np.hypot(1, 1.3) + ease)
    return rng.binomial(draws, chance) / draws


def doublings(knee):
    return X[-1] if knee.knee is None else np.log2(knee.knee / SPEND[0])


@pytest.mark.parametrize("name", TRUE)
def test_the_interval_holds_the_true_knee_and_the_estimate_is_near(name):
    errors, held = [], []
    for seed in range(12):
        knee = locate(study(TRUE[name], 200, seed), SPEND, seed=seed)
        low = -np.inf if knee.low is None else np.log2(knee.low / SPEND[0])
        high = np.inf if knee.high is None else np.log2(knee.high / SPEND[0])
        errors.append(doublings(knee) - KNEE[name])
        held.append(low <= KNEE[name] <= high)
    assert sum(held) >= 10
    assert np.sqrt(np.mean(np.square(errors))) < 0.75


def test_verdicts_follow_the_curve():
    def verdicts(name):
        return [locate(study(TRUE[name], 100, seed), SPEND).verdict for seed in range(12)]

    assert verdicts("turning").count("falls") >= 10
    assert verdicts("rising").count("rising") >= 8
    assert verdicts("flat").count("flat") >= 10
    calm = [*verdicts("rising"), *verdicts("saturating"), *verdicts("flat")]
    assert calm.count("falls") <= 2


def test_few_noisy_queries_cannot_tell():
    knee = locate(study(TRUE["rising"], 8, 0, draws=1), SPEND)
    assert knee.verdict == "cannot tell"
    assert knee.high is None


def test_a_rise_to_the_end_is_censored_on_the_right():
    knee = locate(study(TRUE["rising"], 1000, 1), SPEND)
    assert (knee.knee, knee.high, knee.gain_left) == (None, None, None)
    assert knee.low is not None
    assert knee.knee_budget == 7
    assert knee.p_beyond >= 0.9


def test_a_flat_curve_is_censored_on_the_left():
    knee = locate(study(TRUE["flat"], 1000, 1), SPEND)
    assert (knee.knee, knee.low, knee.knee_budget) == (SPEND[0], None, 0)
    assert knee.high is not None


def test_a_fall_is_named_with_its_peak():
    knee = locate(study(TRUE["turning"], 1000, 1), SPEND)
    assert knee.verdict == "falls"
    assert knee.p_fall > 0.99
    assert knee.p_value < 0.01
    assert "fall" in knee.family
    assert knee.knee <= knee.peak <= SPEND[5]
    assert knee.peak_accuracy == pytest.approx(TRUE["turning"].max(), abs=0.03)


def test_a_dearer_doubling_moves_the_knee_down():
    knee = locate(study(TRUE["saturating"], 1000, 2), SPEND)
    assert knee.double_delta < knee.knee < knee.half_delta
    assert knee.accuracy_at_knee + knee.gain_left == pytest.approx(knee.peak_accuracy)
    again = locate(study(TRUE["saturating"], 1000, 2), SPEND, delta=0.02)
    assert again.knee == pytest.approx(knee.double_delta, rel=0.05)


def test_spend_units_only_scale_the_answer():
    Z = study(TRUE["saturating"], 100, 3)
    tokens, dollars = locate(Z, SPEND), locate(Z, SPEND / 1e6)
    assert dollars.knee == pytest.approx(tokens.knee / 1e6)
    assert dollars.p_fall == tokens.p_fall


@settings(deadline=None, max_examples=15)
@given(st.floats(1e-9, 1e15), st.integers(0, 99), st.randoms(use_true_random=False))
def test_neither_the_unit_of_spend_nor_the_order_of_queries_matters(unit, seed, shuffler):
    Z = study(TRUE["turning"], 64, seed, draws=8)
    order = list(range(64))
    shuffler.shuffle(order)
    known, other = locate(Z, SPEND, worth=1e4), locate(Z[order], unit * SPEND, worth=1e4 * unit)
    for place in ("knee", "low", "high", "peak", "half_delta", "price_knee", "net_value"):
        at = getattr(known, place)
        assert getattr(other, place) == (None if at is None else pytest.approx(at * unit))
    same = ("verdict", "p_fall", "p_value", "p_beyond", "family", "knee_budget", "n_needed")
    assert [getattr(other, name) for name in same] == [getattr(known, name) for name in same]


def test_the_same_input_and_seed_give_the_same_knee():
    Z = study(TRUE["saturating"], 60, 4)
    assert locate(Z, SPEND, seed=5) == locate(Z, SPEND, seed=5)


def test_copies_of_queries_in_clusters_do_not_narrow_the_interval():
    Z = study(TRUE["saturating"], 40, 5)
    once = locate(Z, SPEND)
    copied = locate(np.repeat(Z, 6, axis=0), SPEND, clusters=np.repeat(np.arange(40), 6))
    assert (copied.knee, copied.low, copied.high) == pytest.approx((once.knee, once.low, once.high))
    assert (copied.n_queries, copied.n_clusters) == (240, 40)


def test_queries_with_a_missing_budget_are_left_out_aloud():
    Z = study(TRUE["saturating"], 50, 6)
    holes = np.vstack([Z, np.full((3, 8), np.nan)])
    knee = locate(holes, SPEND)
    assert knee.knee == locate(Z, SPEND).knee
    assert any("3 queries" in flag for flag in knee.flags)


def test_the_price_knee_is_where_one_more_unit_of_spend_stops_paying():
    worth = 2e5
    x = np.linspace(0, 7, 7001)
    net = worth * (0.30 + 0.30 * (1 - 2 ** (-0.9 * x))) - 100 * 2**x
    knee = locate(study(TRUE["saturating"], 4000, 1), SPEND, worth=worth)
    assert knee.price_knee == pytest.approx(100 * 2 ** x[net.argmax()], rel=0.25)
    assert knee.price_low < 100 * 2 ** x[net.argmax()] < knee.price_high
    assert knee.net_value == pytest.approx(net.max(), rel=0.05)
    poor, rich = (locate(study(TRUE["saturating"], 4000, 1), SPEND, worth=w) for w in (1e2, 1e9))
    assert (poor.price_knee, poor.price_low) == (SPEND[0], None)
    assert (rich.price_knee, rich.price_high) == (None, None)


def test_without_a_worth_there_is_no_price_knee():
    knee = locate(study(TRUE["saturating"], 100, 1), SPEND)
    prices = (knee.price_knee, knee.price_low, knee.price_high, knee.net_value, knee.worth)
    assert prices == (None,) * 5


def test_every_place_lies_in_its_interval():
    knee = locate(study(TRUE["turning"], 1000, 1), SPEND, worth=1e6)
    assert knee.peak_low < knee.peak < knee.peak_high
    assert knee.half_low < knee.half_delta < knee.half_high
    assert knee.double_low < knee.double_delta < knee.double_high
    assert knee.price_low < knee.price_knee < knee.price_high


def width(knee):
    low = 0.0 if knee.low is None else np.log2(knee.low / SPEND[0])
    high = X[-1] if knee.high is None else np.log2(knee.high / SPEND[0])
    return high - low


def test_too_few_queries_are_told_how_many_would_do():
    few = [locate(study(TRUE["saturating"], 30, seed), SPEND) for seed in range(8)]
    wide = [knee for knee in few if width(knee) > 3.01]
    assert len(wide) >= 4
    for knee in wide:
        assert knee.n_needed > 30
        assert any(f"about {knee.n_needed} queries" in flag for flag in knee.flags)
    assert all(knee.n_needed == 30 for knee in few if width(knee) < 2.99)
    enough = int(np.median([knee.n_needed for knee in wide]))
    then = [width(locate(study(TRUE["saturating"], enough, seed), SPEND)) for seed in range(8)]
    assert np.median(then) == pytest.approx(3.0, abs=1.0)


def test_more_queries_do_not_narrow_what_only_more_budgets_can():
    rng = np.random.default_rng(0)
    spend = np.array([1.0, 2.0**9])
    knee = locate((rng.uniform(size=(400, 2)) < [0.3, 0.8]).astype(float), spend)
    assert knee.n_needed is None
    assert any("more queries alone" in flag for flag in knee.flags)


def test_a_censored_knee_is_flagged():
    def flags(name):
        return "; ".join(locate(study(TRUE[name], 1000, 1), SPEND).flags)

    assert "the knee lies beyond the largest budget" in flags("rising")
    assert "the knee is at the smallest budget or below" in flags("flat")
    assert flags("turning") == ""


def test_the_likeliest_family_has_the_parameters_that_made_the_data():
    true = 0.30 + 0.30 * (1 - 2 ** (-0.8 * X)) / (1 - 2 ** (-0.8 * 7))
    found = [locate(study(true, 2000, seed), SPEND) for seed in range(8)]
    assert [knee.family for knee in found].count("power") >= 7
    for name, value in {"a": 0.30, "b": 0.30, "alpha": 0.8}.items():
        errors = [
            (knee.params[name] - value) / knee.errors[name]
            for knee in found
            if knee.family == "power"
        ]
        assert np.sqrt(np.mean(np.square(errors))) < 2.0


def sensible(knee, spend):
    assert knee.verdict in {"rising", "flat", "falls", "cannot tell"}
    for p in (knee.p_fall, knee.p_beyond, knee.p_value):
        assert 0 <= p <= 1
    assert 0 <= knee.accuracy_at_knee <= knee.peak_accuracy + 1e-9 <= 1 + 1e-9
    places = {
        "knee": (knee.low, knee.knee, knee.high),
        "half": (knee.half_low, knee.half_delta, knee.half_high),
        "double": (knee.double_low, knee.double_delta, knee.double_high),
        "peak": (knee.peak_low, knee.peak, knee.peak_high),
        "price": (knee.price_low, knee.price_knee, knee.price_high),
    }
    for place in places.values():
        inside = [v for v in place if v is not None]
        assert inside == sorted(inside)
        assert all(spend[0] * (1 - 1e-9) <= v <= spend[-1] * (1 + 1e-9) for v in inside)
    numbers = [*knee.params.values(), *knee.errors.values(), knee.gain95]
    numbers += [v for v in (knee.net_value, knee.gain_left, knee.n_needed) if v is not None]
    assert np.isfinite(numbers).all()


@settings(deadline=None, max_examples=60)
@given(
    queries=st.integers(2, 12),
    budgets=st.integers(2, 20),
    value=st.sampled_from([0.0, 1.0, 0.5, None]),
    span=st.sampled_from([0.1, 1.0, 5.0, 20.0]),
    first=st.sampled_from([1e-9, 1.0, 1e15]),
    clustered=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_table_has_an_honest_answer(queries, budgets, value, span, first, clustered, seed):
    rng = np.random.default_rng(seed)
    Z = (
        rng.integers(0, 2, (queries, budgets))
        if value is None
        else np.full((queries, budgets), value)
    )
    places = np.cumsum(rng.uniform(0.05, 1.0, budgets))
    spend = first * np.exp2(span * (places - places[0]) / (places[-1] - places[0]))
    clusters = np.arange(queries) % max(2, queries // 2) if clustered else None
    sensible(locate(Z, spend, worth=5.0 * first, clusters=clusters, seed=seed), spend)


def good():
    return study(TRUE["flat"], 10, 0)


@pytest.mark.parametrize(
    ("Z", "spend", "more", "said"),
    [
        (good()[0], SPEND, {}, "Z must be"),
        (good(), SPEND[:7], {}, "Z must be"),
        (good()[:, :1], SPEND[:1], {}, "at least 2 budgets"),
        (good()[:1], SPEND, {}, "at least 2 queries"),
        (good(), SPEND[::-1], {}, "strictly increasing"),
        (good(), SPEND - SPEND[0], {}, "strictly increasing"),
        (good(), 1.0 + 1e-12 * X, {}, "strictly increasing"),
        (good() + 0.9, SPEND, {}, r"accuracies lie in \[0, 1\]"),
        (good(), SPEND, {"delta": -0.1}, "delta is -0.1"),
        (good(), SPEND, {"worth": 0.0}, "worth is 0.0; it must be positive"),
        (good(), SPEND, {"worth": -2.0}, "worth is -2.0"),
        (good(), SPEND, {"worth": np.nan}, "worth is nan"),
        (good(), SPEND, {"clusters": np.zeros(10)}, "at least 2 clusters"),
        (good(), SPEND, {"clusters": np.zeros(9)}, "clusters must be"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(Z, spend, more, said):
    with pytest.raises(ValueError, match=said) as error:
        locate(Z, spend, **more)
    assert "\n" not in str(error.value)
