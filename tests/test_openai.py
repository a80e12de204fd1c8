from types import SimpleNamespace

from tsbench.models.openai import Choice, read


def test_of_several_choices_each_counts_its_own_tokens_and_an_empty_one_none() -> None:
    said = Choice("so it", "stop", {"token_logprobs": [-0.1, -0.2]})
    uncounted = Choice("so it", "stop", None)
    usage = SimpleNamespace(prompt_tokens=9, completion_tokens=2)
    replies = read([said, Choice("", "stop", None), uncounted], usage, "m", 1)
    assert [reply.usage.completion_tokens for reply in replies] == [2, 0, None]
    assert [reply.counted_by for reply in replies] == ["server", "server", "none"]
    assert [reply.usage.cached_tokens for reply in replies] == [None, 9, 9]
