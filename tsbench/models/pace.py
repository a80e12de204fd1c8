"""How long an endpoint may take, from how long it took."""

from __future__ import annotations

KNOWN = 8
"""Answers after which the rate of an endpoint is known."""
LEAST = 60.0
"""Seconds that every request gets: an endpoint may queue it, or load a model."""
GAIN, SPREAD_GAIN, SPREADS = 1 / 8, 1 / 4, 4.0


class Pace:
    """Seconds a token of one endpoint, smoothed over its answers, and the timeout that follows.

    Of an answer that took t seconds for m tokens, s = t / m: its prompt and its time in a queue
    are in it. The mean S of s and the mean deviation D are running ones with gains of 1/8 and 1/4,
    and a request for up to M tokens gets (S + 4 D) M seconds, at least `LEAST` and at most `most`;
    before `KNOWN` answers, `most`. An answer that was late doubles S, since it tells no s. All as
    TCP estimates its timeouts: Jacobson and Karels 1988, and RFC 6298.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self.answers = 0
        self.mean = self.spread = 0.0

    def saw(self, seconds: float, tokens: int) -> None:
        """Take in an answer, or nothing where it has no tokens or they are not known."""
        if tokens < 1:
            return
        each = seconds / tokens
        if not self.answers:
            self.mean, self.spread = each, each / 2
        else:
            self.spread += SPREAD_GAIN * (abs(each - self.mean) - self.spread)
            self.mean += GAIN * (each - self.mean)
        self.answers += 1

    def late(self) -> None:
        """Take in that an answer did not come in time."""
        self.mean *= 2

    def timeout(self, tokens: int) -> float:
        """Return the seconds that a request for up to so many tokens gets."""
        if self.answers < KNOWN:
            return self.most
        return min(self.most, max(LEAST, (self.mean + SPREADS * self.spread) * tokens))
