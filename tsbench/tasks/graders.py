"""The graders by name, as a task's config says them."""

from __future__ import annotations

from tsbench.tasks.evalplus import Function
from tsbench.tasks.exact import Choice, Exact
from tsbench.tasks.expression import Expression
from tsbench.tasks.game24 import Game24
from tsbench.tasks.grader import Grader
from tsbench.tasks.ifeval import Instructions
from tsbench.tasks.judged import Judged
from tsbench.tasks.mbpp import Asserts
from tsbench.tasks.number import Number

GRADERS: dict[str, type[Grader]] = {
    "number": Number,
    "expression": Expression,
    "exact": Exact,
    "choice": Choice,
    "game24": Game24,
    "function": Function,
    "asserts": Asserts,
    "instructions": Instructions,
    "judge": Judged,
}


def grader_of(grader: str | Grader | None, task_class: str) -> Grader:
    """Return the grader of a config: an object of one, a name, or None for that of the class.

    In the class math it is a number, else the reply must equal the target. Raises ValueError for
    an unknown name, and for the class code, whose tests need a grader that runs them.
    """
    if grader is None and task_class == "code":
        raise ValueError(
            "task.task_class: code needs tests, which this file has no column for; use "
            "task=humaneval, task=mbpp, or task.grader=function or asserts"
        )
    name = grader or ("number" if task_class == "math" else "exact")
    if not isinstance(name, str):
        return name
    if name not in GRADERS:
        raise ValueError(f"grader is {name!r}; allowed are {', '.join(GRADERS)}")
    return GRADERS[name]()
