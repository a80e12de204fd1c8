"""What a sweep would ask and spend, found without asking anything.

Every strategy is driven over the replies that are stored and, beyond them, over imagined ones.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tsbench.asks import Asks, as_reply, joined, judging, oracle
from tsbench.cost import Price
from tsbench.driver import Run
from tsbench.models.base import Identity, Model, Request, Served
from tsbench.progress import clock
from tsbench.runner import Job
from tsbench.samples import Samples
from tsbench.schema import SCHEMA, Row
from tsbench.spend import bound
from tsbench.strategies.base import rounds
from tsbench.types import ANSWERED, Ask, Draw, Judge, Problem, Reply, Usage

Manner = Literal["cut", "silent", "agreed"]
"""How imagined replies look: all at their bound and different, without an answer, or the same."""
Kind = tuple[str, str, bool, str, int, bool, bool]
"""Task, verifier, partial, thinking kind, max_tokens, has a prefix, has turns."""
ABSENT = "absent"
"""The endpoint of a model whose weights are not here."""
MEASURES = ("tokens", "flops", "dollars", "seconds")


class Planned(NamedTuple):
    """An ask with its key, and whether its reply is stored."""

    key: str
    ask: Ask
    stored: bool


class Estimate(NamedTuple):
    """A total to expect with its 95 % interval; of a bound only `high` is known, NaN of nothing."""

    mean: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether it is a bound alone."""
        return math.isnan(self.mean)


@dataclass
class Load:
    """Asks to make: how many of each kind for each problem, and what they take at most."""

    asks: defaultdict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    most: defaultdict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    served: dict[Kind, Served] = field(default_factory=dict)

    def add(self, problem: Problem, ask: Ask, served: Served, most: Mapping[str, Any]) -> None:
        """Count one ask."""
        kind = kind_of(problem, ask)
        self.asks[kind][problem.id] += 1
        self.most[kind].update(most)
        self.served[kind] = served

    def join(self, other: Load) -> None:
        """Add another load to this one."""
        for kind, problems in other.asks.items():
            self.asks[kind].update(problems)
            self.most[kind].update(other.most[kind])
        self.served.update(other.served)

    @property
    def total(self) -> int:
        """The number of asks."""
        return sum(each.total() for each in self.asks.values())


@dataclass
class Line:
    """What one strategy on one task, or everything, would ask."""

    name: str
    exact: bool = True
    asks: int = 0
    stored: int = 0
    shared: int = 0
    load: Load = field(default_factory=Load)


@dataclass
class Walk:
    """The asks of a job in their order, in how many rounds, and how many in the widest of them."""

    planned: list[Planned] = field(default_factory=list)
    rounds: int = 0
    widest: int = 0

    @property
    def known(self) -> bool:
        """Whether all replies are stored."""
        return all(each.stored for each in self.planned)


def walk(job: Job, asks: Asks, rows: Mapping[str, Row], manner: Manner) -> Walk:
    """Return what a job asks where the replies that are not stored are imagined."""
    seen: Counter[Ask] = Counter()
    runs = [Run(job.strategy, job.problem, seen) for _ in range(job.repeats)]
    found = Walk()
    while any(run.wanted for run in runs):
        batch = [(run, wanted) for run in runs for wanted in run.wanted]
        found.rounds, found.widest = found.rounds + 1, max(found.widest, len(batch))
        answers: dict[int, list[Reply]] = defaultdict(list)
        for run, (ask, index) in batch:
            key = asks.key(job.problem, ask, index)
            row = rows.get(key)
            found.planned.append(Planned(key, ask, row is not None))
            made = imagined(job.problem, ask, key, manner) if row is None else as_reply(row)
            answers[id(run)].append(made)
        for run in runs:
            if run.wanted:
                run.advance(answers[id(run)])
    return found


def imagined(problem: Problem, ask: Ask, key: str, manner: Manner) -> Reply:
    """Return a reply to an ask that was not made.

    One at its bound has a letter for each token, so that what reads it reads no fewer tokens.
    """
    if isinstance(ask, Judge):
        return Reply(key, "", score=0.5, usage=Usage())
    tokens = ask.max_tokens or problem.max_tokens
    if manner == "cut":
        text, answer, finish, used = "x" * tokens, key, "length", tokens
    elif manner == "silent":
        text, answer, finish, used = "", "", "stop", 0
    else:
        text, answer, finish, used = "x", "x", "stop", 1
    given = None if ask.partial or not answer else answer
    return Reply(key, ask.prefix + text, given, "ok", finish, usage=Usage(0, 0, used, 0))


def kind_of(problem: Problem, ask: Ask) -> Kind:
    """Return what an ask has in common with others that take about as much."""
    if isinstance(ask, Judge):
        return (problem.task, ask.verifier, False, "none", 0, False, False)
    most = ask.max_tokens or problem.max_tokens
    shape = (most, bool(ask.prefix), bool(ask.turns))
    return (problem.task, "", ask.partial, ask.thinking_kind, *shape)


def kind_of_row(row: Row) -> Kind:
    """Return the kind of a stored reply."""
    if row["kind"] != "draw":
        return (row["task"], row["verifier"] or "", False, "none", 0, False, False)
    params = json.loads(row["params"])
    shape = (params["max_tokens"], bool(params["prefix"]), "turns" in params)
    return (row["task"], "", row["partial"], row["thinking_kind"], *shape)


@dataclass(frozen=True)
class Pilot:
    """Means over stored replies of each kind: a value a problem, for each measure."""

    means: Mapping[Kind, pd.DataFrame]

    @classmethod
    def of(cls, rows: Iterable[Row], model: str, prices: Mapping[str, Price]) -> Pilot:
        """Return what the answered rows of a model show; `prices` are by endpoint."""
        found: dict[Kind, list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows:
            if row["status"] in ANSWERED and row["model"] == model and row["endpoint"] in prices:
                found[kind_of_row(row)].append((row["problem_id"], *spent(row, prices)))
        frames = {
            kind: pd.DataFrame(each, columns=["problem", *MEASURES]).groupby("problem").mean()
            for kind, each in found.items()
        }
        return cls(frames)

    def estimate(self, load: Load, measure: str) -> Estimate:
        """Return the total of a measure over a load, with a 95 % interval for new problems.

        Each problem of the pilot counts once. The variance is that of the pilot's mean and that of
        the problems to come, as if none of them were in the pilot; Student's t has as many degrees
        of freedom as the kind with the fewest problems. A kind with fewer than two problems in the
        pilot counts as much as it can at most, and makes the whole a bound.
        """
        total = variance = bounds = 0.0
        fewest, bounded = math.inf, False
        for kind, problems in load.asks.items():
            values = self.values(kind, measure)
            if values.size < 2:
                bounds += load.most[kind].get(measure, math.nan)
                bounded = True
                continue
            n = np.array(list(problems.values()), dtype=float)
            total += n.sum() * values.mean()
            spread = n.sum() ** 2 / values.size + float(n @ n)
            variance += values.var(ddof=1) * spread
            fewest = min(fewest, values.size)
        margin = stats.t.ppf(0.975, fewest - 1) * math.sqrt(variance) if variance else 0.0
        if bounded:
            return Estimate(math.nan, math.nan, total + margin + bounds)
        return Estimate(total, max(0.0, total - margin), total + margin)

    def values(self, kind: Kind, measure: str) -> NDArray[np.float64]:
        """Return a mean for each problem, of those where the measure is known."""
        frame = self.means.get(kind)
        return np.empty(0) if frame is None else frame[measure].dropna().to_numpy(float)


def spent(row: Row, prices: Mapping[str, Price]) -> tuple[float, ...]:
    """Return the measures of a stored reply, NaN where unknown."""
    read, made = (number(row[name]) for name in ("prompt_tokens", "completion_tokens"))
    cached, price = float(row["cached_tokens"] or 0), prices[row["endpoint"]]
    wasted = float(row.get("wasted_tokens") or 0)
    costs = priced(price, read, cached, made)
    return (read + made + wasted, costs["flops"], costs["dollars"], float(row["seconds"]))


def priced(price: Price, read: float, cached: float, made: float) -> dict[str, float]:
    """Return FLOPs and dollars; where no token was read or made, none were spent at any price."""
    if not (read or made):
        return {"flops": 0.0, "dollars": 0.0}
    return {"flops": price.flops(read, cached, made), "dollars": price.dollars(read, made, cached)}


def number(count: int | None) -> float:
    """Return a count, NaN where it is unknown."""
    return math.nan if count is None else float(count)


@dataclass(frozen=True)
class Forecast:
    """What a sweep would ask: a line for each strategy of each task, and one for all."""

    lines: Sequence[Line]
    pilot: Pilot
    slots: Mapping[Served, int]

    @property
    def whole(self) -> Line:
        """Everything together."""
        whole = Line("all", all(line.exact for line in self.lines))
        for line in self.lines:
            whole.asks += line.asks
            whole.stored += line.stored
            whole.shared += line.shared
            whole.load.join(line.load)
        return whole

    def seconds(self, load: Load) -> Estimate:
        """Return the time of the endpoint that takes longest, if all its slots are used."""
        parts: dict[Served, Load] = defaultdict(Load)
        for kind, problems in load.asks.items():
            parts[load.served[kind]].asks[kind] = problems
        each = [
            Estimate(
                *(value / self.slots[served] for value in self.pilot.estimate(part, "seconds"))
            )
            for served, part in parts.items()
        ]
        if any(estimate.bounded for estimate in each):
            return Estimate(math.nan, math.nan, math.nan)
        return max(each, default=Estimate(0.0, 0.0, 0.0))

    def text(self) -> str:
        """Return the table, and what must be known to read it."""
        return "\n".join([self.table().to_string(index=False), *self.notes()])

    def notes(self) -> list[str]:
        """Return sentences on what the numbers rest on."""
        load, said = self.whole.load, ["Nothing was asked."]
        if any(line.shared for line in self.lines):
            said.append("An ask that strategies share is counted for the first of them.")
        if not self.whole.exact:
            said.append("Where the asks of a strategy depend on replies, at most so many are made.")
        if any(served.endpoint == ABSENT for served in self.slots):
            said.append("The weights are not here yet, so no stored reply can be recognized.")
        if load.total and self.pilot.estimate(load, "tokens").bounded:
            said.append(
                "Of some asks no reply to two problems is stored, so tokens are bounds: max_tokens "
                "for a reply, and for a prompt a token a byte, the endpoint's template aside. The "
                "same command with limit=10 first gives an estimate with an interval."
            )
        elif load.total:
            said.append(
                "Estimates and their 95 % intervals are from the stored replies of the same model "
                "and task; time is with every slot in use, at the seconds that a reply took there."
            )
        for name, key in (("dollars", "price"), ("flops", "number of parameters")):
            estimate = self.pilot.estimate(load, name)
            if estimate.bounded and math.isnan(estimate.high):
                who = ", ".join(sorted({served.model for served in self.slots}))
                said.append(f"Unknown {name}: no known {key} of {who}.")
        return said

    def table(self) -> pd.DataFrame:
        """Return the lines as text."""
        return pd.DataFrame([self.row(line) for line in [*self.lines, self.whole]])

    def row(self, line: Line) -> dict[str, str]:
        """Return one line as text."""
        load, most = line.load, "" if line.exact else "at most "
        exact = line.exact or not load.total
        estimates = {name: self.pilot.estimate(load, name) for name in MEASURES}
        return {
            "strategy": line.name,
            "asks": f"{most}{line.asks:,}",
            "stored": f"{line.stored:,}",
            "shared": f"{line.shared:,}",
            "to ask": f"{'' if exact else most}{load.total:,}",
            "tokens": said(estimates["tokens"], whole_number, exact),
            "FLOPs": said(estimates["flops"], scientific, exact),
            "dollars": said(estimates["dollars"], cents, exact),
            "time": said(self.seconds(load), clock, exact),
        }


def identity(model: Model, params: float | None) -> Identity:
    """Return a model's identity, with its number of parameters where only a run has told it.

    A model whose weights are not here yet has no stored replies that could be recognized.
    """
    found = model.identity() or Identity(Served(ABSENT, model.name, None), {})
    served = replace(found.served, params=found.served.params or params)
    return replace(found, served=served)


def stored(folder: Path) -> dict[str, Row]:
    """Return the stored replies of a run folder by their key, none where there is no folder."""
    with closing(Samples(folder)) as samples:
        if not samples.folder.is_dir():
            return {}
        samples.look()
        return {row["key"]: row for row in samples.rows(SCHEMA.names)}


def forecast(
    jobs: Iterable[Job],
    name: Callable[[Job], str],
    asks: Asks,
    rows: Mapping[str, Row],
    prices: Mapping[Served, Price],
    slots: Mapping[Served, int],
) -> Forecast:
    """Return what jobs would ask beyond `rows`, the stored replies by their key.

    An ask that two jobs share is counted for the first of them, as when they run. What a strategy
    asks after replies that are not stored may depend on them: then its numbers are those of the
    imagined replies that make it ask most, and of all the rounds that it says it may take.
    """
    lines: dict[tuple[int, int], Line] = {}
    planned: set[str] = set()
    for job in jobs:
        line = lines.setdefault(job.label[:2], Line(name(job)))
        found, exact = longest(job, asks, rows)
        line.exact = line.exact and exact
        line.asks += len(found.planned)
        for key, ask, stored in found.planned:
            if stored:
                line.stored += 1
            elif key in planned:
                line.shared += 1
            else:
                planned.add(key)
                served = asks.asked(ask).served
                line.load.add(job.problem, ask, served, most(asks, job.problem, ask, prices))
    pilot = Pilot.of(
        rows.values(),
        asks.model.served.model,
        {served.endpoint: price for served, price in prices.items()},
    )
    return Forecast([lines[place] for place in sorted(lines)], pilot, slots)


def fresh(jobs: Iterable[Job], asks: Asks) -> dict[Any, int]:
    """Return the most asks of each job that no job before it makes, by the places in its label.

    The jobs are those of one problem a task, and stand for those of any other.
    """
    planned: set[str] = set()
    found: dict[Any, int] = {}
    for job in jobs:
        keys = {each.key for each in longest(job, asks, {})[0].planned}
        found[job.label[:2]] = len(keys - planned)
        planned |= keys
    return found


def longest(job: Job, asks: Asks, rows: Mapping[str, Row]) -> tuple[Walk, bool]:
    """Return the walk with the most asks, and whether a job asks so many whatever is replied."""
    found = walk(job, asks, rows, "cut")
    if found.known:
        return found, True
    walks = [found] + [walk(job, asks, rows, manner) for manner in get_args(Manner)[1:]]
    found = max(walks, key=lambda each: len(each.planned))
    more = padding(found, rounds(job.strategy))
    found.planned += more
    return found, not more and len(
        {len(each.planned) for each in walks} | {len(found.planned)}
    ) == 1


def padding(found: Walk, rounds: int) -> list[Planned]:
    """Return as many draws more as the rounds that a strategy may take beyond those of a walk."""
    draws = [(key, ask) for key, ask, _ in found.planned if isinstance(ask, Draw)]
    if rounds <= found.rounds or not draws:
        return []
    key, longest = max(draws, key=lambda each: len(each[1].prefix))
    count = (rounds - found.rounds) * found.widest
    return [Planned(f"{key}+{i}", longest, False) for i in range(count)]


def most(asks: Asks, problem: Problem, ask: Ask, prices: Mapping[Served, Price]) -> dict[str, Any]:
    """Return the most that an ask takes, NaN where not even that is known."""
    price = prices[asks.asked(ask).served]
    try:
        bounds = [bound(request) for request in requests(asks, problem, ask)]
    except Exception:  # a verifier that cannot read an imagined reply
        return dict.fromkeys(MEASURES[:3], math.nan)
    total = sum(bounds, Usage())
    read, made = number(total.prompt_tokens), number(total.completion_tokens)
    return {"tokens": read + made, **priced(price, read, 0.0, made)}


def requests(asks: Asks, problem: Problem, ask: Ask) -> list[Request]:
    """Return the requests of an ask, as far as they bound it."""
    if isinstance(ask, Draw):
        most = ask.max_tokens or problem.max_tokens
        return [Request(joined(problem.messages, ask.turns), ask.prefix, most, (), 0, 0)]
    verifier = asks.verifiers[ask.verifier]
    if oracle(verifier):
        return []
    return [judging(call, 0) for call in verifier.request(problem, replace(ask))]


def said(estimate: Estimate, text: Callable[[float], str], exact: bool) -> str:
    """Return an estimate in words."""
    if estimate.high == 0:
        return "0"
    if not estimate.bounded:
        low, high = text(estimate.low), text(estimate.high)
        interval = "" if low == high else f" ({low} to {high})"
        return f"{'' if exact else 'at most '}{text(estimate.mean)}{interval}"
    if math.isnan(estimate.high):
        return "unknown"
    return f"at most {text(estimate.high)}"


def whole_number(value: float) -> str:
    """Return tokens."""
    return f"{value:,.0f}"


def scientific(value: float) -> str:
    """Return FLOPs."""
    return f"{value:.2g}"


def cents(value: float) -> str:
    """Return dollars."""
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.2g}"
