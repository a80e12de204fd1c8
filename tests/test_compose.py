from collections.abc import Callable

import pytest
from scripted import PROBLEM, Said, play

from tsbench.strategies import Composed, Effort, Forced
from tsbench.strategies.compose import Judged, together
from tsbench.types import Ask, Draw, Judge, Reply, Steps


def thinks(*answers: str | None) -> Callable[[Ask, int], Said]:
    """Think to every cut, and then give these answers in turn; a judge likes "b"."""
    turn = iter(range(10_000))

    def say(ask: Ask, index: int) -> Said:
        if isinstance(ask, Judge):
            return Said(score=float(ask.reply.answer == "b"))
        if ask.partial:
            return Said(f" so{index}", finish="length", tokens=8)
        answer = answers[next(turn) % len(answers)]
        return Said(answer or "", answer)

    return say


def test_chains_go_side_by_side_and_vote() -> None:
    run = play(Composed(3, Forced(16)), thinks("a", "b", "b"))
    assert [len(batch) for batch in run.batches] == [3, 3, 3], "8 tokens, 16 tokens, the answers"
    assert run.picked is not None
    assert run.picked.answer == "b"
    assert {draw.thinking_budget for draw in run.draws if not draw.partial} == {16}


def test_a_verifier_chooses_among_the_chains_that_answered() -> None:
    run = play(Composed(3, Forced(8), "v"), thinks("a", None, "b"))
    assert [judge.reply.answer for judge in run.judges] == ["a", "b"]
    assert run.picked is not None
    assert run.picked.answer == "b"


def test_its_units_in_step_ask_what_it_asks() -> None:
    strategy = Composed(3, Forced(16), "v")
    assert isinstance(strategy.unit, Judged)
    chains: list[Steps] = [strategy.unit.run(PROBLEM) for _ in range(3)]

    class Units:
        name, budget = "units", 3

        def run(self, problem: object) -> Steps:
            picked = yield from together(chains)
            return picked[0]

    whole, parts = (play(s, thinks("a", "b", None)) for s in (strategy, Units()))
    assert whole.asked == parts.asked


def test_its_name_says_how_it_thinks_and_selects() -> None:
    assert Composed(2, Forced(32)).name == "maj@k (forced 32)"
    assert Composed(2, Effort("high"), "v").name == "best-of-n:v (effort 3)"
    with pytest.raises(ValueError, match="no chain is the last"):
        Composed(2, Forced(8), "last")


def test_runs_of_unequal_length_end_each_by_itself() -> None:
    def asking(times: int) -> Steps:
        reply: Reply | None = None
        for _ in range(times):
            (reply,) = yield [Draw()]
        return reply

    ended: list[str | None] = []

    class Three:
        name, budget = "three", 3

        def run(self, problem: object) -> Steps:
            picked = yield from together([asking(0), asking(2), asking(1)])
            ended.extend(reply and reply.text for reply in picked)
            return picked[1]

    run = play(Three(), lambda ask, index: Said(f"{index}"))
    assert [len(batch) for batch in run.batches] == [2, 1]
    assert ended == [None, "2", "1"]


def test_a_chain_whose_step_failed_ends_and_the_others_go_on() -> None:
    def say(ask: Ask, index: int) -> Said:
        assert isinstance(ask, Draw)
        failed = ask.partial and not ask.prefix and index == 0
        return Said(f" so{index}", "a", "length", status="error" if failed else "ok", tokens=8)

    run = play(Composed(3, Forced(16)), say)
    assert [len(batch) for batch in run.batches] == [3, 2, 2]
    assert run.picked is not None
