"""The contract that every strategy keeps; it finds the strategies by itself."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hydra.utils import get_class, instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Said, Say, configs, play

import tsbench.strategies as package
from tsbench.strategies.base import rounds
from tsbench.types import Ask, Draw, Judge, Strategy

WORDS = st.sampled_from(["a", "b", "2", "Reply 1", "one and\n\ntwo", None])
SCORES = st.sampled_from([0.0, 0.25, 1.0, None])
FINISHES = st.sampled_from(["stop", "length"])
STATUSES = st.sampled_from(["ok", "ok", "ok", "truncated", "unparsed", "error"])


def script(moves: list[tuple[str | None, str, float | None, str]]) -> Say:
    """Say these one after the other, and then again: text, ending, score and status."""
    turn = iter(range(10**6))

    def say(ask: Ask, index: int) -> Said:
        text, finish, score, status = moves[next(turn) % len(moves)]
        answer = text if status == "ok" else None
        return Said(text or "", answer, finish, score, status)  # type: ignore[arg-type]

    return say


def counted(say: Say) -> Say:
    """Have a reply that was cut use all the tokens that it had, as endpoints count them."""

    def cut(ask: Ask, index: int) -> Said:
        said = say(ask, index)
        bound = ask.max_tokens if isinstance(ask, Draw) else None
        return replace(said, tokens=bound) if bound and said.finish == "length" else said

    return cut


MOVES = st.lists(st.tuples(WORDS, FINISHES, SCORES, STATUSES), min_size=1, max_size=7)
CONFIGS = configs()


def test_every_strategy_of_the_package_has_a_config() -> None:
    classes = {c for _, c in inspect.getmembers(package, inspect.isclass) if hasattr(c, "run")}
    assert classes == {get_class(config["_target_"]) for config in CONFIGS.values()}


def test_no_two_strategies_share_a_name() -> None:
    names = [instantiate(config).name for config in CONFIGS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
class TestContract:
    """Replies of any kind: what holds then is what a sweep relies on."""

    def test_names_its_budget(self, config: Any) -> None:
        strategy: Strategy = instantiate(config)
        assert strategy.name
        assert strategy.budget >= 0

    def test_repr_round_trips(self, config: Any) -> None:
        strategy = instantiate(config)
        assert eval(repr(strategy), vars(package)) == strategy

    def test_is_frozen_and_hashable(self, config: Any) -> None:
        strategy = instantiate(config)
        assert hash(strategy) == hash(instantiate(config))

    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_is_deterministic_given_the_replies(self, config: Any, moves: list[Any]) -> None:
        strategy = instantiate(config)
        assert play(strategy, script(moves)) == play(strategy, script(moves))

    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_picks_an_answer_that_it_was_given_or_none(self, config: Any, moves: list[Any]) -> None:
        run = play(instantiate(config), script(moves))  # an empty ask or a stranger raises
        assert run.picked is None or run.picked in run.replies

    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_spends_at_most_what_it_says(self, config: Any, moves: list[Any]) -> None:
        strategy = instantiate(config)
        run = play(strategy, script(moves))
        steps = [draw for draw in run.draws if draw.partial]
        assert len(run.draws) - len(steps) <= strategy.budget + 1, "replies: the budget, one to end"
        thinking = getattr(strategy, "thinking", None)
        each = thinking.budget if thinking else getattr(strategy, "steps", 1)
        assert len(steps) <= strategy.budget * each
        assert len(run.judges) <= len(run.draws)

    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_asks_in_at_most_the_rounds_that_it_says(self, config: Any, moves: list[Any]) -> None:
        strategy = instantiate(config)
        assert len(play(strategy, counted(script(moves))).batches) <= rounds(strategy)

    def test_survives_replies_without_answers(self, config: Any) -> None:
        run = play(instantiate(config), lambda ask, index: Said())
        assert run.asked
        assert run.picked is None or run.picked.answer is None

    @settings(max_examples=25, deadline=None)
    @given(moves=MOVES)
    def test_equal_asks_are_numbered_apart(self, config: Any, moves: list[Any]) -> None:
        asked = play(instantiate(config), script(moves)).asked
        assert len(set(asked)) == len(asked)

    def test_continues_a_prefix_only_where_it_says_so(self, config: Any) -> None:
        strategy = instantiate(config)
        run = play(strategy, lambda ask, index: Said("text", "text", "length", 0.5))
        prefixed = any(draw.prefix for draw in run.draws)
        assert prefixed == getattr(strategy, "continues", False)

    def test_judges_by_the_verifier_that_it_names(self, config: Any) -> None:
        strategy = instantiate(config)
        run = play(strategy, lambda ask, i: Said(f"text {i}", f"text {i}", "stop", 0.5))
        named = {getattr(strategy, "verifier", None)} - {None}
        assert {judge.verifier for judge in run.judges} == named


def test_a_strategy_that_asks_nothing_breaks_the_contract() -> None:
    class Silent:
        name, budget = "silent", 1

        def run(self, problem: Any) -> Any:
            yield []

    with pytest.raises(ValueError, match="yielded no ask"):
        play(Silent(), lambda ask, index: Said())


@pytest.mark.parametrize(
    ("asked", "pick"),
    [
        ([Draw(partial=True)], lambda replies: replies[0]),
        ([Draw()], lambda replies: Judge(replies[0], "v")),
    ],
    ids=["a step", "a verdict"],
)
def test_a_step_or_a_verdict_is_no_pick(asked: list[Ask], pick: Callable[..., Any]) -> None:
    class Wrong:
        name, budget = "wrong", 1

        def run(self, problem: Any) -> Any:
            found = pick((yield asked))
            if isinstance(found, Judge):
                (found,) = yield [found]
            return found

    with pytest.raises(ValueError, match="a reply that it was not given"):
        play(Wrong(), lambda ask, index: Said())
