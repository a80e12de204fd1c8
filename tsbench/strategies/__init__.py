"""Ways to spend compute: generators that yield asks and receive replies, and do no I/O."""

from tsbench.strategies.budget import Forced
from tsbench.strategies.select import BestOf, MinimumBayesRisk
from tsbench.strategies.suite import Suite
from tsbench.strategies.vote import Coverage, Majority, Single

__all__ = ["BestOf", "Coverage", "Forced", "Majority", "MinimumBayesRisk", "Single", "Suite"]
