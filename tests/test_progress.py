"""What the line says is true of many strategies at a time."""

from typing import Any

import pytest

from tsbench.progress import Progress, clock


def row(tokens: int | None = 10, status: str = "ok") -> dict[str, Any]:
    return {"completion_tokens": tokens, "status": status}


def test_it_counts_replies_tokens_failures_and_what_comes_at_most() -> None:
    progress = Progress("run")
    with progress:
        progress.expect({"votes": 4, "chain": 3}, {"votes": 10, "chain": 5})
        assert progress.left == 55
        for _ in range(3):
            progress.count(row())
        progress.count(row(None, "error"))
        progress.solved("votes")
        assert progress.left == 51
        assert progress.spend().startswith("4 replies, 30 tokens, ")
        assert progress.spend().endswith("tok/s, 1 failed")
        assert progress.ahead() == "; at most 51 more", "too few replies to say how long"
        for _ in range(30):
            progress.count(row())
        assert progress.ahead().startswith("; at most 51 more, ")
        for group, jobs in (("votes", 9), ("chain", 5)):
            for _ in range(jobs):
                progress.solved(group)
        assert progress.ahead() == ""


def test_dollars_are_said_where_they_are_known() -> None:
    assert Progress("run", lambda: 1.234).spend().endswith(", 1.23 dollars")
    assert "dollars" not in Progress("run").spend()


def test_the_line_is_drawn_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("run")
    with progress:
        progress.expect({"votes": 4}, {"votes": 500})
        for _ in range(2000):
            progress.count(row())
    assert len(capsys.readouterr().err.splitlines()) == 1, "not a line for each reply"
    progress.summary()
    assert "Asked now: 2,000 replies, 20,000 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"), [(9.4, "9 s"), (99, "99 s"), (150, "2 min"), (7200, "2.0 h")]
)
def test_a_time_is_said_in_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert clock(seconds) == said
