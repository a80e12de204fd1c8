"""Search with a verifier: step-wise beams, independent subtrees, and a wider-or-deeper tree."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar

from tsbench.strategies.base import Draws, answered, judged
from tsbench.strategies.checks import positive
from tsbench.strategies.revise import INSTRUCTION, revision
from tsbench.types import Draw, Problem, Reply, Steps


@dataclass(frozen=True)
class Path:
    """A partial reply, the score of its last step, and whether the model ended it."""

    text: str = ""
    score: float = -math.inf
    ended: bool = False


@dataclass(frozen=True)
class Beam:
    """Grow `width` paths step by step: `branching` extensions of each, of which the best stay.

    Snell et al. 2024, arXiv 2408.03314: the process score of a path is `verifier`'s of its last
    step. A step ends at `separator` or after `tokens` tokens; where the separator ends the
    problem's whole reply, only the latter parts steps, and a path ends where the model stops.
    Else an endpoint does not say which of both stopped it, so a path ends where the model adds
    nothing after a separator. After `steps` steps, or once all paths have ended, one draw
    each turns them into replies; the reply of the best path that gave an answer is returned.
    """

    width: int
    branching: int
    steps: int
    verifier: str
    tokens: int = 32
    separator: str = "\n\n"
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("width", "branching", "steps", "tokens"):
            positive(name, getattr(self, name))
        if not self.separator:
            raise ValueError("separator must not be empty")

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"beam:{self.verifier}"

    @property
    def budget(self) -> int:
        """The number of paths that grow side by side."""
        return self.width * self.branching

    @property
    def rounds(self) -> int:
        """Extensions and judges of every step, and the replies."""
        return 2 * self.steps + 1

    def run(self, problem: Problem) -> Steps:
        """Yield the steps of all paths at once, their judges, and last the replies."""
        stop = None if self.separator in problem.stop else (self.separator, *problem.stop)
        beams = [Path()] * self.width
        for _ in range(self.steps):
            growing = [beam for beam in beams if not beam.ended for _ in range(self.branching)]
            if not growing:
                break
            steps = yield [Draw(beam.text, self.tokens, stop, partial=True) for beam in growing]
            scored = [step for beam, step in zip(growing, steps, strict=True) if grew(beam, step)]
            scores = yield from judged(scored, self.verifier)
            by_key = {step.key: score for step, score in zip(scored, scores, strict=True)}
            paths = [
                extended(beam, step, by_key.get(step.key), None if stop is None else self.separator)
                for beam, step in zip(growing, steps, strict=True)
            ]
            beams = self.kept(beams, paths)
        replies = yield [Draw(beam.text) for beam in beams]
        return next(iter(answered(replies)), None)

    def kept(self, beams: Sequence[Path], paths: Sequence[Path]) -> list[Path]:
        """Return the `width` best of the new paths and of those that had ended, best first."""
        return ranked([*(beam for beam in beams if beam.ended), *paths])[: self.width]


@dataclass(frozen=True)
class DiverseBeam(Beam):
    """Grow `width` paths that do not compete: each keeps the best of its own extensions.

    Diverse verifier tree search; Beeching, Tunstall and Rush 2024, "Scaling test-time compute
    with open models". The fields are those of `Beam`.
    """

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"dvts:{self.verifier}"

    def kept(self, beams: Sequence[Path], paths: Sequence[Path]) -> list[Path]:
        """Return the best extension of each path, and those that had ended, best first."""
        new = iter(paths)
        return ranked(
            [b if b.ended else ranked(list(islice(new, self.branching)))[0] for b in beams]
        )


def ranked(paths: Sequence[Path]) -> list[Path]:
    """Return the paths, the highest score first; equal ones keep their order."""
    return sorted(paths, key=lambda path: -path.score)


def grew(beam: Path, step: Reply) -> bool:
    """Return whether a step added anything but white space."""
    return step.text.strip() != beam.text.strip()


def extended(beam: Path, step: Reply, score: float | None, separator: str | None) -> Path:
    """Return a path after a step; one whose call failed, or that has no score, ranks last."""
    if step.status in ("error", "timeout"):
        return Path(beam.text)
    if not grew(beam, step):
        return Path(beam.text, beam.score, ended=True)
    cut, rank = step.finish == "length", -math.inf if score is None else score
    if cut or separator is None:
        return Path(step.text, rank, ended=not cut)
    return Path(step.text + separator, rank)


@dataclass
class Node:
    """A reply in a tree with its score in [0, 1]; the root has no reply."""

    reply: Reply | None = None
    score: float = 0.0
    children: list[Node] = field(default_factory=list)

    def below(self) -> list[float]:
        """Return the scores of all descendants."""
        return [score for child in self.children for score in (child.score, *child.below())]


def sampled(scores: Sequence[float], rng: random.Random) -> float:
    """Return a draw from the Beta posterior of a mean score under Jeffreys' prior."""
    return rng.betavariate(0.5 + sum(scores), 0.5 + len(scores) - sum(scores))


def wider_or_deeper(node: Node, rng: random.Random) -> Node:
    """Return the node of the tree that gets the next child, by Thompson sampling on the way down.

    At each node a new child (scored as its children were) competes with going deeper (scored as
    its grandchildren and their descendants were), and then the children compete.
    """
    while node.children:
        wider = sampled([child.score for child in node.children], rng)
        deeper = sampled([score for child in node.children for score in child.below()], rng)
        if wider >= deeper:
            break
        node = max(node.children, key=lambda child: sampled([child.score, *child.below()], rng))
    return node


@dataclass(frozen=True)
class TreeSearch(Draws):
    """Draw `k` replies one by one, each either new or a revision of one before; return the best.

    AB-MCTS-A with Beta posteriors; Inoue et al. 2025, arXiv 2503.04412. `verifier` scores in
    [0, 1]; a reply without an answer or a score counts 0. The sampling is seeded by the
    problem's id, so it is the same for the same replies.
    """

    verifier: str
    instruction: str = INSTRUCTION

    @property
    def name(self) -> str:
        """The strategy with its verifier."""
        return f"ab-mcts:{self.verifier}"

    @property
    def rounds(self) -> int:
        """A draw and a judge for each reply."""
        return 2 * self.k

    def run(self, problem: Problem) -> Steps:
        """Yield one draw at a time and its judge. Raises ValueError for a score out of range."""
        rng, root, made = random.Random(problem.id), Node(), list[Node]()
        while len(made) < self.k:
            at = wider_or_deeper(root, rng)
            ask = Draw() if at.reply is None else revision(at.reply, self.instruction)
            (reply,) = yield [ask]
            score = ((yield from judged(answered([reply]), self.verifier)) or [None])[0] or 0.0
            if not 0 <= score <= 1:
                raise ValueError(f"ab-mcts needs scores from 0 to 1, found {score:g}")
            made.append(Node(reply, score))
            at.children.append(made[-1])
        given = [node for node in made if node.reply and node.reply.answer is not None]
        return max(given, key=lambda node: node.score, default=Node()).reply
