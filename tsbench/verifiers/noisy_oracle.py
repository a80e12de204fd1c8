"""A verifier of a chosen quality, for studies of imperfect verifiers: it sees the grade."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsbench.types import Judge, Problem, VerifierCall, VerifierReply


@dataclass(frozen=True)
class NoisyOracle:
    """1 for a right reply with probability `true_accept`, for a wrong one `false_accept`; else 0.

    It cannot be deployed: what it selects is called an oracle's in every output. Its error is a
    property of the reply, drawn once from `seed` and the reply's key, as a real verifier's is.
    None where the reply has no grade.
    """

    true_accept: float = 1.0
    false_accept: float = 0.1
    seed: int = 0
    name: str = "noisy_oracle"
    oracle: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("true_accept", "false_accept"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be from 0 to 1, found {getattr(self, name)}")

    def request(self, problem: Problem, ask: Judge) -> Sequence[VerifierCall]:
        """Need no call of a model."""
        return ()

    def score(
        self, problem: Problem, ask: Judge, verdicts: Sequence[VerifierReply]
    ) -> float | None:
        """Accept or not, by the reply's correctness and its own luck."""
        if not verdicts:
            return None
        right = verdicts[0].scores[0] > 0.5
        luck = random.Random(f"{self.seed}/{ask.reply.key}").random()
        return float(luck < (self.true_accept if right else self.false_accept))
