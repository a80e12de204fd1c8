"""What grades open-ended replies: a model of its own, whose cost is no strategy's."""

from tsbench.judges.base import Judge
from tsbench.judges.pairwise import Pairwise
from tsbench.judges.rubric import Rubric

__all__ = ["Judge", "Pairwise", "Rubric"]
