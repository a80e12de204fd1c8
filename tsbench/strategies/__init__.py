"""Ways to spend compute: generators that yield asks and receive replies, and do no I/O."""

from tsbench.strategies.budget import Effort, Forced, Native, Prompted, Truncated
from tsbench.strategies.combine import Fuse, UniversalSelfConsistency
from tsbench.strategies.compose import Composed
from tsbench.strategies.revise import Grid, Revise
from tsbench.strategies.routed import Routed
from tsbench.strategies.search import Beam, DiverseBeam, TreeSearch
from tsbench.strategies.select import BestOf, MinimumBayesRisk, Tournament
from tsbench.strategies.suite import Suite
from tsbench.strategies.vote import (
    AdaptiveVote,
    Coverage,
    Majority,
    Single,
    WeightedVote,
    WindowVote,
)

__all__ = [
    "AdaptiveVote",
    "Beam",
    "BestOf",
    "Composed",
    "Coverage",
    "DiverseBeam",
    "Effort",
    "Forced",
    "Fuse",
    "Grid",
    "Majority",
    "MinimumBayesRisk",
    "Native",
    "Prompted",
    "Revise",
    "Routed",
    "Single",
    "Suite",
    "Tournament",
    "TreeSearch",
    "Truncated",
    "UniversalSelfConsistency",
    "WeightedVote",
    "WindowVote",
]
