"""The official client talks to a policy in front of a real endpoint on loopback."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openai
import pandas as pd
import pytest
import uvicorn
from endpoint import Endpoint, serve
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scripted import PROBLEM, in_turn, play

from tsbench.arm import Arm
from tsbench.cli import CONF
from tsbench.difficulty import fitted
from tsbench.policy import Part, Policy
from tsbench.serve import Serve, Watched
from tsbench.strategies import Routed

ARMS = (Arm("maj@k", 6), Arm("single", 1))


def uneven(prompt: str, rng: random.Random) -> str:
    """Say what "A + B" makes: always right where A is odd, else anything."""
    asked = prompt.split("What is ")[-1].split("?")[0]
    a, b = (int(part) for part in asked.split(" + "))
    return f"The answer is {a + b if a % 2 else rng.randint(0, 999)}."


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A pilot of two: what agrees ends with it, what does not votes among six."""
    x = pd.DataFrame({"agreement": np.repeat([0.5, 1.0], 50)})
    calibration = fitted(x, np.repeat([0.1, 0.9], 50), np.ones(100), "logistic")
    part = Part(
        "math", "m", "bins", "agreement of 2", 2, None, calibration, (0.5,), ARMS,
        Arm("maj@k", 3), "accuracy of maj@k @ 6", 100, "sha256:0",
    )  # fmt: skip
    path = tmp_path / "policy.json"
    Policy("tokens", (part,), Arm("single", 1), "0.1.0").save(path)
    return str(path)


@contextmanager
def served(policy: str, endpoint: Endpoint, *more: str) -> Iterator[str]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"policy={policy}", f"model.base_url={endpoint.base_url}", "model.name=m"]
        config = compose("serve", overrides=[*words, "model.slots=64", "task=math", *more])
    made = instantiate(config, _convert_="all")
    assert isinstance(made, Serve)
    server = uvicorn.Server(uvicorn.Config(made.app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


def ask(client: openai.OpenAI, question: str, **more: object):  # type: ignore[no-untyped-def]
    return client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": question}], **more
    )


@contextmanager
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def test_easy_and_hard_take_different_ways_and_usage_adds_up(policy: str) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        easy = ask(c, "What is 3 + 4?")
        assert easy.headers["x-tsbench-route"] == "single @ 1"
        assert easy.headers["x-tsbench-asks"] == "2"
        assert endpoint.requests == 2
        found = easy.parse()
        assert found.choices[0].message.content == "The answer is 7."
        assert found.usage.prompt_tokens == 2 * 5
        assert found.usage.completion_tokens == 2 * 4
        hard = ask(c, "What is 4 + 4?")
        assert hard.headers["x-tsbench-route"] == "maj@k @ 6"
        assert hard.headers["x-tsbench-asks"] == "6"
        assert float(hard.headers["x-tsbench-chance"]) < 0.5
        assert hard.parse().usage.completion_tokens == 6 * 4
        assert endpoint.requests == 8
        assert [m.id for m in c.models.list()] == ["m"]


def test_no_request_is_answered_by_an_earlier_one(policy: str) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        for _ in range(3):
            ask(c, "What is 3 + 4?")
        assert endpoint.requests == 6
        assert len(endpoint.asked) == 6, "no two draws have one seed"


def test_an_unknown_class_falls_back_and_what_is_not_heeded_is_said(policy: str) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        found = ask(
            c, "What is 4 + 4?", temperature=0.0, extra_headers={"x-tsbench-class": "poetry"}
        )
        assert "class 'poetry' is not one of" in found.headers["x-tsbench-fallback"]
        assert found.headers["x-tsbench-route"] == "single @ 1"
        assert found.headers["x-tsbench-ignored"] == "temperature"
        assert endpoint.requests == 1


def test_errors_of_the_endpoint_pass_through(policy: str) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        endpoint.fails = 2
        with pytest.raises(openai.BadRequestError, match="refused for the test"):
            ask(c, "What is 3 + 4?")
        endpoint.fault, endpoint.rate = "401", 1.0
        with pytest.raises(openai.AuthenticationError):
            ask(c, "What is 3 + 4?")
        endpoint.fault = None
        assert ask(c, "What is 3 + 4?").parse().choices[0].message.content == "The answer is 7."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"n": 2}, "n is 2; allowed is 1"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools cannot be routed"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "must end with a turn of the user"),
        ({"messages": []}, "must end with a turn of the user"),
    ],
)
def test_what_cannot_be_routed_is_refused_unasked(
    policy: str, body: dict[str, object], said: str
) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        with pytest.raises(openai.BadRequestError, match=said):
            c.chat.completions.create(
                **{"model": "m", "messages": [{"role": "user", "content": "x"}], **body}  # type: ignore[call-overload]
            )
        assert endpoint.requests == 0


def test_a_stream_is_the_answer_in_one_piece(policy: str) -> None:
    with serve(Endpoint(uneven)) as endpoint, served(policy, endpoint) as url, client(url) as c:
        stream = c.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "What is 3 + 4?"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content for chunk in stream]
        assert pieces == ["The answer is 7."]


def test_sixty_four_clients_at_once(policy: str) -> None:
    async def crowd(url: str) -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as many:

            async def one(i: int) -> tuple[str, str]:
                raw = await many.chat.completions.with_raw_response.create(
                    model="m", messages=[{"role": "user", "content": f"What is {i} + 1?"}]
                )
                answer = raw.parse()
                assert answer.usage is not None
                asks = int(raw.headers["x-tsbench-asks"])
                assert answer.usage.completion_tokens == 4 * asks
                return raw.headers["x-tsbench-route"], str(answer.choices[0].message.content)

            return await asyncio.gather(*(one(i) for i in range(64)))

    with serve(Endpoint(uneven, latency=0.02)) as endpoint, served(policy, endpoint) as url:
        found = asyncio.run(crowd(url))
        assert endpoint.most_flying > 16
    for i, (way, answer) in enumerate(found):
        if i % 2:
            assert (way, answer) == ("single @ 1", f"The answer is {i + 1}.")
        else:
            assert way in ("maj@k @ 6", "single @ 1")
    assert sum(way == "maj@k @ 6" for way, _ in found) >= 28
    assert endpoint.requests == sum(6 if way == "maj@k @ 6" else 2 for way, _ in found)


def test_a_policy_s_verifier_must_be_there(tmp_path: Path, policy: str) -> None:
    part = Policy.load(policy).parts[0]
    arm = Arm("best-of-n:mine", 4, verifier="mine")
    path = tmp_path / "other.json"
    Policy("tokens", (type(part)(**{**vars(part), "fallback": arm}),), ARMS[1], "0.1.0").save(path)
    with (
        serve(Endpoint(uneven)) as endpoint,
        pytest.raises(Exception, match="verifier 'mine'"),
        served(str(path), endpoint),
    ):
        pass


def test_what_is_served_is_what_is_measured(policy: str) -> None:
    """The server and a sweep make the same asks, of one strategy, by one runner."""
    routed = Routed(policy)
    watched = Watched(routed)
    for answers in (["7", "7"], ["7", "8", "8", "8", "7", "9"]):
        one, two = play(routed, in_turn(*answers)), play(watched, in_turn(*answers), PROBLEM)
        assert one == two
    assert [choice.arm for choice in watched.choices] == [ARMS[1], ARMS[0]]
