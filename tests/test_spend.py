"""Limits end a sweep in time, and an unknown price stays unknown."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from endpoint import Endpoint, serve
from test_cli import own, sums, tsbench
from test_halt import Slow

from tsbench.cost import Price, PriceTable
from tsbench.models.base import UNKNOWN, Request, Response, Served
from tsbench.spend import Limits, Spend
from tsbench.store import read_samples
from tsbench.types import Message, Usage

__all__ = ["sums", "tsbench"]

Tsbench = Callable[..., tuple[int, str]]
SERVED = Served("at", "m", None)
REQUEST = Request((Message("user", "12345678"),), "90", 5, (), 0, 0)
SLOTS = 4


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint()) as served:
        yield served


PRICE = Price(None, 1e6, 2e6, 5e5)


def spend(limits: Limits | None = None, price: Price = PRICE) -> Spend:
    return Spend(limits or Limits(), {SERVED: price})


def test_reads_generations_and_what_was_wasted_are_spent() -> None:
    spent = spend()
    wasted = Usage(10, 0, 1, 0)
    spent.add(SERVED, REQUEST, Response("", "ok", usage=Usage(10, 4, 3, 0), wasted=wasted))
    assert spent.tokens == 24
    assert spent.dollars == pytest.approx((10 - 4) * 1 + 4 * 0.5 + 3 * 2 + 10 * 1 + 1 * 2)


def test_an_unknown_count_is_spent_at_its_bound_and_a_failure_at_what_it_wasted() -> None:
    spent = spend()
    spent.add(SERVED, REQUEST, Response("", "ok"))
    assert spent.tokens == 10 + 5, "a token a byte, and max_tokens"
    spent.add(SERVED, REQUEST, Response("", "error"))
    assert spent.tokens == 15, "a refusal costs nothing"
    spent.add(SERVED, REQUEST, Response("", "timeout", wasted=UNKNOWN))
    assert spent.tokens == 30


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(tokens=30), "limits.tokens=30 is reached: this call spent 30 tokens"),
        (Limits(dollars=40.0), "limits.dollars=40 is reached: this call spent 40.0000 dollars"),
    ],
)
def test_a_limit_is_reached_by_what_it_says(limits: Limits, said: str) -> None:
    spent = spend(limits)
    spent.add(SERVED, REQUEST, Response("", "ok"))
    assert spent.reached() is None
    spent.add(SERVED, REQUEST, Response("", "ok"))
    assert spent.reached() == said


def test_an_unknown_price_is_no_price() -> None:
    assert spend(price=Price(None, None, 1.0)).dollars is None
    assert spend(price=Price(None, 0.0, 0.0)).dollars == 0.0


class Model:
    def __init__(self, name: str, given: float | None = None) -> None:
        self.name, self.dollars_in, self.dollars_out = name, given, given


def test_a_price_is_the_model_s_own_else_the_table_s_else_unknown() -> None:
    table = PriceTable({"a": {"dollars_in": 1, "dollars_out": 2}}, "2026-11-24", "a page")
    assert table.of(None, Model("a")) == Price(None, 1, 2)
    assert table.of(7.0, Model("a", 3.0)) == Price(7.0, 3.0, 3.0)
    assert not table.of(None, Model("b")).known
    reward = Model("a")
    reward.dollars_out = 0.0
    assert table.of(None, reward) == Price(None, 1, 2), "nothing is generated, read is priced"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"dollars_in": 1}, "'m' has dollars_in; it needs dollars_in and dollars_out"),
        ({"dollars_in": 1, "dollars_out": 1, "cents": 2}, "may have dollars_cached"),
        ({"dollars_in": -1, "dollars_out": 1}, "dollars_in of 'm' must be dollars .* found -1"),
        ({"dollars_in": "x", "dollars_out": 1}, "found 'x'"),
    ],
)
def test_a_bad_price_is_one_sentence(row: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PriceTable({"m": row}, "2026-11-24", "a page")


def test_a_table_says_when_and_where_from() -> None:
    with pytest.raises(ValueError, match="price needs a date and a source"):
        PriceTable({"m": {"dollars_in": 1, "dollars_out": 1}})


@pytest.mark.parametrize("limit", ["limits.tokens=300", "limits.dollars=0.0003"])
def test_a_limit_ends_within_a_batch_and_a_higher_one_goes_on(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path, limit: str
) -> None:
    priced = ["model.dollars_in=1", "model.dollars_out=1", f"model.slots={SLOTS}"]
    code, said = tsbench(*own(endpoint, sums, limit, *priced))
    assert code == 3, said
    assert f"{limit} is reached: this call spent " in said
    assert "the same command with a higher limit goes on" in said
    samples = read_samples(tmp_path / "run")
    each = samples["prompt_tokens"] + samples["completion_tokens"]
    assert 300 <= each.sum() <= 300 + SLOTS * each.max()
    assert len(samples) == endpoint.requests < 48, "nothing that was asked is lost"
    assert samples["correct"].notna().all(), "what is there is graded"
    code, said = tsbench(*own(endpoint, sums, limit.replace("3", "9"), *priced))
    assert code == 0, said
    assert endpoint.requests == len(read_samples(tmp_path / "run")) == 48


def test_verifiers_count_in_a_limit(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    words = [w for w in own(endpoint, sums, "limits.tokens=100") if not w.startswith("strategy")]
    best = ["strategy=best_of_n", "strategy.k=1", "strategy.verifier=p_true", "limit=1"]
    assert tsbench(*words, *best, "limits.tokens=null")[0] == 0
    samples = read_samples(tmp_path / "run").set_index("kind")
    tokens = samples["prompt_tokens"] + samples["completion_tokens"]
    assert tsbench(*words, *best, f"limits.tokens={tokens['draw'] + 1}", "run=two")[0] == 3
    assert tokens["judge"] > 1


def test_hours_end_too(tsbench: Tsbench, sums: Path, tmp_path: Path) -> None:
    def answer(prompt: str, rng: random.Random) -> str:
        return "The answer is 7."

    with serve(Slow(0.3, answer)) as slow:
        code, said = tsbench(*own(slow, sums, "limits.hours=0.0003", "model.slots=2"))
        assert code == 3
        assert "limits.hours=0.0003 is reached; what was answered" in said
        assert slow.requests == len(read_samples(tmp_path / "run")) < 48


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["limits.dollars=1"], "limits.dollars=1 needs the price of m, which is unknown; give"),
        (["limits.tokens=0"], "limits.tokens must be a number above 0, or null; found 0"),
        (["limits.hours=soon"], "limits.hours must be a number above 0, or null; found 'soon'"),
        (["limits.euros=1"], "limits.euros is not a key"),
        (["price.models={m: {dollars_in: 1}}"], "'m' has dollars_in; it needs dollars_in and"),
    ],
)
def test_bad_limits_are_refused_before_anything_is_asked(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, more: list[str], said: str
) -> None:
    code, err = tsbench(*own(endpoint, sums, *more))
    assert code == 2
    assert said in err
    assert endpoint.requests == 0


def test_a_table_of_the_user_s_own_prices_a_sweep(
    tsbench: Tsbench, endpoint: Endpoint, sums: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "price").mkdir(parents=True)
    (tmp_path / "mine" / "price" / "list.yaml").write_text(
        "_target_: tsbench.cost.PriceTable\ndate: '2026-11-24'\nsource: a made-up list\n"
        "models:\n  m: {dollars_in: 1000000, dollars_out: 2000000}\n"
    )
    found = [f"hydra.searchpath=[file://{tmp_path / 'mine'}]", "price=list"]
    assert tsbench(*own(endpoint, sums, *found))[0] == 0
    outcomes = pd.concat(map(pd.read_parquet, (tmp_path / "run/outcomes").glob("*.parquet")))
    one = outcomes[outcomes["budget"] == 1]
    assert one["dollars"].to_numpy() == pytest.approx(
        (one["prompt_tokens"] + 2 * one["tokens"]).to_numpy()
    )
