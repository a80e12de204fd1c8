"""Dialects, what is read of answers, and how long an endpoint may take."""

from __future__ import annotations

import asyncio
import email.utils
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from endpoint import Endpoint, serve
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st

from tsbench.cli import CONF, main
from tsbench.compliance import compliance
from tsbench.keys import SHORTEST
from tsbench.models import native, pace, retry
from tsbench.models.base import Request, Response
from tsbench.models.choices import read
from tsbench.models.dialect import OPENAI, Dialect, got, put
from tsbench.models.faults import Garbage, retry_after
from tsbench.models.openai import OpenAI
from tsbench.models.pace import Pace
from tsbench.store import read_samples
from tsbench.types import Message

DIALECTS = ("openai", "vllm", "sglang", "llamacpp", "openrouter")
ASKED = (Message("user", "What is 1 + 2?"),)


def dialect(name: str) -> Dialect:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("sweep", overrides=["model=openai", f"model/dialect={name}"])
    made: Dialect = instantiate(config.model.dialect, _convert_="all")
    return made


def answer(*choices: dict[str, Any], **usage: Any) -> dict[str, Any]:
    found = [{"index": i, "finish_reason": "stop", **choice} for i, choice in enumerate(choices)]
    return {"model": "m", "choices": found, "usage": usage}


def said(content: str | None, **more: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}}


class Listening(Endpoint):
    """Keeps the last body."""

    body: dict[str, Any]

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.body = body
        return super().reply(path, body)


def asked(endpoint: Endpoint, request: Request, **given: Any) -> Response:
    async def go() -> Response:
        async with OpenAI(endpoint.base_url, "m", **given).connect() as connection:
            return await connection.complete(request)

    return asyncio.run(go())


def test_the_default_of_the_class_is_that_of_the_config() -> None:
    made = dialect("openai")
    assert replace(made, thoughts=tuple(made.thoughts), tags=tuple(made.tags)) == OPENAI


@pytest.mark.parametrize(
    ("name", "effort", "budget"),
    [
        ("openai", {"reasoning_effort": "high"}, None),
        ("vllm", {"reasoning_effort": "high"}, {"thinking_token_budget": 99}),
        ("sglang", {"reasoning_effort": "high"}, None),
        (
            "llamacpp",
            {"chat_template_kwargs": {"reasoning_effort": "high"}},
            {"thinking_budget_tokens": 99},
        ),
        ("openrouter", {"reasoning": {"effort": "high"}}, {"reasoning": {"max_tokens": 99}}),
    ],
)
def test_effort_and_budget_go_where_the_dialect_says(
    name: str, effort: dict[str, Any], budget: dict[str, Any] | None
) -> None:
    with serve(Listening()) as endpoint:
        assert isinstance(endpoint, Listening)
        given = {"dialect": dialect(name)}
        plain = Request(ASKED, "", 20, (), 1, 0)
        assert asked(endpoint, plain, **given).status == "ok"
        before = endpoint.body
        thinking = Request(ASKED, "", 20, (), 1, 0, effort="high")
        assert asked(endpoint, thinking, **given).status == "ok"
        assert endpoint.body == before | effort
        bounded = Request(ASKED, "", 20, (), 1, 0, thinking_budget=99)
        response = asked(endpoint, bounded, **given)
        if budget is None:
            assert response.status == "error"
            assert "no parameter for thinking_budget" in str(response.reason)
        else:
            assert endpoint.body == before | budget
        bound = "max_tokens" if name in ("sglang", "openrouter") else "max_completion_tokens"
        assert before[bound] == 20
        assert before.get("separate_reasoning") == (True if name == "sglang" else None)


def test_a_prefix_is_continued_where_the_dialect_can() -> None:
    prefixed = Request(ASKED, "It is", 20, (), 1, 0)
    with serve(Listening(lambda prompt, rng: " three")) as endpoint:
        assert isinstance(endpoint, Listening)
        assert asked(endpoint, prefixed, dialect=dialect("vllm")).text == " three"
        assert endpoint.body["messages"][-1] == {"role": "assistant", "content": "It is"}
        assert endpoint.body["continue_final_message"] is True
        assert endpoint.body["add_generation_prompt"] is False
        response = asked(endpoint, prefixed)
        assert response.status == "error"
        assert "cannot continue a prefix" in str(response.reason)
    for name in DIALECTS:
        model = OpenAI("http://127.0.0.1:1/v1", "m", dialect=dialect(name))
        assert model.continues == (name in ("vllm", "sglang", "llamacpp"))


def test_the_page_has_the_tables_and_the_bounds() -> None:
    page = (Path(__file__).parents[1] / "docs" / "endpoints.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert rows[0] == list(DIALECTS)
    assert {file.stem for file in (CONF / "model" / "dialect").glob("*.yaml")} == set(DIALECTS)
    for row in [line for line in page.splitlines() if line.startswith(("| effort", "| thinking"))]:
        name, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells == [getattr(dialect(each), name) or "" for each in DIALECTS]
    assert f"| {retry.OWN} such faults of one request" in page
    assert page.count(f"{retry.PAID} attempts in all") == 3
    assert f"from {retry.FIRST:g} s to {retry.LONGEST:g} s" in page
    assert f"a line after {retry.QUIET:g} s" in page
    assert f"at least {pace.LEAST:g} and at most model.timeout" in page
    assert f"until {pace.KNOWN} answers" in page
    assert f"fewer than {SHORTEST} characters" in page


@pytest.mark.parametrize(
    ("message", "text", "thoughts"),
    [
        (said("4", reasoning_content="2 + 2"), "4", "2 + 2"),
        (said("4", reasoning="2 + 2"), "4", "2 + 2"),
        (said("<think>\n2 + 2\n</think>\n\n4"), "4", "2 + 2"),
        (said("2 + 2</think>4"), "4", "2 + 2"),
        (said("<think>2 + 2 is"), "", "2 + 2 is"),
        (said("4"), "4", None),
        (said(None), "", None),
    ],
)
def test_thoughts_are_found_where_they_are(
    message: dict[str, Any], text: str, thoughts: str | None
) -> None:
    (response,) = read(answer(message), 1, dialect("vllm"))
    assert (response.text, response.thoughts) == (text, thoughts)


def test_tags_that_are_not_declared_are_text() -> None:
    (response,) = read(answer(said("<think>a</think>4")), 1, OPENAI)
    assert response.text == "<think>a</think>4"


def test_what_the_usage_does_not_say_is_unknown() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 7}}
    cached = {"prompt_tokens_details": {"cached_tokens": 3}}
    whole = answer(said("4"), prompt_tokens=5, completion_tokens=9, **details, **cached)
    usage = read(whole, 1, OPENAI)[0].usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (5, 3)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (9, 7)
    for part in (None, {}, {"completion_tokens": 0}, {"completion_tokens": "many"}):
        (response,) = read({**answer(said("4")), "usage": part}, 1, OPENAI)
        assert response.usage.completion_tokens is None
        assert response.counted_by == "none"
    zero = {"completion_tokens_details": {"reasoning_tokens": 0}}
    thought = answer(said("4", reasoning="so"), completion_tokens=9, **zero)
    assert read(thought, 1, OPENAI)[0].usage.reasoning_tokens is None
    plain = answer(said("4"), completion_tokens=9, **zero)
    assert read(plain, 1, OPENAI)[0].usage.reasoning_tokens == 0


def test_of_several_choices_each_counts_its_own_tokens_and_an_empty_one_none() -> None:
    several = answer(
        {"text": "so it", "logprobs": {"token_logprobs": [-0.1, -0.2]}},
        {"text": ""},
        {"text": "so it"},
        prompt_tokens=9,
        completion_tokens=2,
    )
    replies = read(several, 3, OPENAI)
    assert [reply.usage.completion_tokens for reply in replies] == [2, 0, None]
    assert [reply.counted_by for reply in replies] == ["server", "server", "none"]
    assert [reply.usage.cached_tokens for reply in replies] == [None, 9, 9]


def test_the_native_route_counts_the_tokens_of_a_stop_string_too() -> None:
    def said(index: int, text: str, predicted: int, stop: str) -> dict[str, Any]:
        listed = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in text.split()]
        return {
            **{"index": index, "content": text, "tokens_predicted": predicted, "stop_type": stop},
            **{"tokens_evaluated": 13, "timings": {"cache_n": 4}, "model": "m"},
            "completion_probabilities": listed,
        }

    found = [said(1, "", 3, "word"), said(0, "so it", 5, "word"), said(2, "so it is", 3, "limit")]
    replies = read(native.answer(found), 3, OPENAI)
    assert [reply.text for reply in replies] == ["so it", "", "so it is"]
    assert [reply.usage.completion_tokens for reply in replies] == [5, 3, 3]
    assert [reply.usage.cached_tokens for reply in replies] == [4, 13, 13]
    assert [reply.status for reply in replies] == ["ok", "ok", "truncated"]
    assert [reply.logprob_sum for reply in replies] == [-1.0, None, -1.5]
    (single,) = read(native.answer(said(0, "so", 4, "eos")), 1, OPENAI)
    assert (single.usage.prompt_tokens, single.usage.completion_tokens) == (13, 4)
    for garbage in ([], {}, [3], {"error": {"code": 500}}):
        with pytest.raises(Garbage):
            read(native.answer(garbage), 1, OPENAI)


def test_a_repeated_prefix_is_no_part_of_the_reply() -> None:
    prefixed = Request(ASKED, "It is", 20, (), 1, 0)
    with serve(Endpoint(lambda prompt, rng: "It is three")) as endpoint:
        assert asked(endpoint, prefixed, dialect=dialect("llamacpp")).text == " three"
        assert asked(endpoint, prefixed, dialect=dialect("vllm")).text == "It is three"


def test_how_an_answer_ended_is_its_status() -> None:
    ends = {"stop": "ok", "length": "truncated", "content_filter": "refused"}
    for finish, status in ends.items():
        (response,) = read(answer({**said("4"), "finish_reason": finish}), 1, OPENAI)
        assert response.status == status
    (response,) = read(answer(said(None, refusal="I will not")), 1, OPENAI)
    assert (response.status, response.reason) == ("refused", "I will not")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "text", "content", "usage", "model", "index"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_garbage_is_garbage_whatever_its_shape(found: Any) -> None:
    try:
        (response,) = read(found, 1, OPENAI)
    except Garbage:
        return
    assert isinstance(response.text, str)
    assert response.thoughts is None or isinstance(response.thoughts, str)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers())
def test_a_path_leads_back_to_what_was_put(names: list[str], value: int) -> None:
    body: dict[str, Any] = {}
    put(body, ".".join(names), value)
    assert got(body, ".".join(names)) == value
    assert got(body, "d.e") is None


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "0.5"}) == 0.5
    soon = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert retry_after({"retry-after": soon}) == pytest.approx(60, abs=2)
    assert retry_after({"retry-after": email.utils.formatdate(0, usegmt=True)}) == 0
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}):
        assert retry_after(nothing) is None


def test_a_timeout_follows_the_rate_within_its_bounds() -> None:
    rate = Pace(600.0)
    assert rate.timeout(10) == 600.0, "unknown yet"
    for _ in range(pace.KNOWN):
        rate.saw(1.0, 10)
    assert rate.mean == pytest.approx(0.1)
    assert rate.timeout(10) == pace.LEAST
    for _ in range(100):
        rate.saw(1.0, 10)
    assert rate.timeout(4000) == pytest.approx(400, rel=0.01), "0.1 s a token, and no spread"
    assert rate.timeout(10**6) == 600.0
    rate.late()
    assert rate.timeout(2000) == pytest.approx(400, rel=0.01), "twice as slow"
    rate.saw(9.0, 0)
    assert rate.timeout(2000) == pytest.approx(400, rel=0.01), "no tokens say nothing"


def test_one_pool_has_as_many_connections_as_slots() -> None:
    async def go(endpoint: Endpoint) -> None:
        async with OpenAI(endpoint.base_url, "m", slots=5).connect() as connection:
            requests = [Request(ASKED, "", 20, (), seed, 0) for seed in range(40)]
            found = await asyncio.gather(*(connection.complete(each) for each in requests))
            assert {response.status for response in found} == {"ok"}

    with serve(Endpoint(latency=0.01)) as endpoint:
        asyncio.run(go(endpoint))
        assert endpoint.most_flying == 5


def test_a_bound_that_the_endpoint_ignores_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Endpoint(lambda prompt, rng: "word " * 50)) as endpoint:
        asked(endpoint, Request(ASKED, "", 20, (), 1, 0))
    (record,) = caplog.records
    assert "made 50 tokens where 20 were allowed" in record.getMessage()


class Thinking(Endpoint):
    """Thinks for as long as it may, in a field of its own, or for as long as it likes."""

    def __init__(self, obeys: bool) -> None:
        super().__init__()
        self.obeys = obeys

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, payload = super().reply(path, body)
        wanted = 40 + body["seed"] % 7
        spent = min(wanted, body["thinking_token_budget"]) if self.obeys else wanted
        payload["choices"][0]["message"]["reasoning"] = "hm " * spent
        payload["usage"]["completion_tokens"] += spent
        payload["usage"]["completion_tokens_details"] = {"reasoning_tokens": spent}
        return status, payload


Cli = Callable[..., None]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run `tsbench sweep` as a user would, against an endpoint that speaks vLLM's dialect."""
    rows = [
        {"id": f"q{i}", "prompt": f"What is {i} + {i + 3}?", "target": str(2 * i + 3)}
        for i in range(8)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)

    def call(endpoint: Endpoint, *words: str) -> None:
        fixed = ["task=jsonl", "task.path=rows.jsonl", "task.task_class=math", "run=run", "jobs=1"]
        model = ["model=openai", f"model.base_url={endpoint.base_url}", "model.name=m"]
        monkeypatch.setattr("sys.argv", ["tsbench", "sweep", *fixed, *model, *words])
        main()

    return call


@pytest.mark.parametrize("obeys", [True, False])
def test_a_native_budget_is_swept_and_checked(obeys: bool, sweep: Cli, tmp_path: Path) -> None:

    with serve(Thinking(obeys)) as endpoint:
        native = "_target_: tsbench.strategies.Native, thinking_budget: "
        rungs = ",".join(f"{{{native}{budget}}}" for budget in (8, 16, 32))
        words = ["strategy=suite", f"strategy.math=[{rungs}]", "analyse=false"]
        sweep(endpoint, "model/dialect=vllm", *words)
    samples = read_samples(tmp_path / "run")
    assert len(samples) == 3 * 8 * 2
    assert set(samples["thinking_kind"]) == {"native"}
    assert set(samples["thinking_budget"]) == {8, 16, 32}
    assert samples["thoughts"].str.startswith("hm ").all()
    if obeys:
        assert (samples["reasoning_tokens"] == samples["thinking_budget"]).all()
    found = compliance(pd.concat(map(pd.read_parquet, Path("run/outcomes").glob("*.parquet"))))
    assert set(found["bound"]) == {"yes" if obeys else "no"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=native"], "needs the parameter thinking_budget, which .* it takes effort"),
        (["strategy=native", "model/dialect=sglang"], "needs the parameter thinking_budget"),
        (
            ["strategy=effort", "model.api=completions", "model/dialect=vllm"],
            "needs the parameter effort, .* it takes none",
        ),
        (["strategy=single", "model/dialect=vlm"], "model/dialect=vlm is unknown; .*vllm"),
        (["strategy=single", "model.dialect=vllm"], "is a table, chosen by model/dialect=NAME"),
        (["strategy=single", "model.dialect.tags=[a]"], "dialect.tags must be none, or the two"),
        (["strategy=single", "model.patience=0"], "model.patience must be above 0, found 0"),
    ],
)
def test_a_dialect_that_does_not_fit_is_one_sentence(
    words: list[str], said: str, sweep: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Endpoint()) as endpoint:
        with pytest.raises(SystemExit) as stop:
            sweep(endpoint, *words)
        assert stop.value.code == 2
        err = capsys.readouterr().err.strip()
        assert len(err.splitlines()) == 1

        assert re.search(said, err), err
        assert endpoint.requests == 0
