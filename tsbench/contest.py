"""All policies on one class of problems, at equal accuracy and at equal spend, held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.arm import ADAPTIVE, SINGLE, VERIFIED, Arm
from tsbench.arms import Menu, Visits, charged, waited
from tsbench.calibration import Calibration
from tsbench.difficulty import Estimate, Kind, fitted, one_pass
from tsbench.estimates import BEST, MAJORITY, ORACLE, WEIGHTED
from tsbench.policies import Family, Rule, Tiers, binned, posterior, prices, uniform
from tsbench.policy import Part, digest
from tsbench.savings import (
    ENOUGH,
    FIGURES,
    Bench,
    Held,
    Savings,
    Target,
    Uniform,
    held_out,
    saved,
    savings,
)

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

ROUTED = "routed"
"""The policy that is chosen among all others, and written to policy.json."""
BOUND = "oracle"
UNIFORM = "uniform"
SEARCH = ("beam", "dvts", "ab-mcts")
"""Strategies of the third tier."""
TIERS = ("one pass", "best-of-n", "search")
SLOW = 0.95
"""The share of problems that must be done within the latency limit."""
COLUMNS = [
    *("task_class", "model", "axis", "target", "matched", "policy", "estimate"),
    *("accuracy", "accuracy_low", "accuracy_high", "spend", "spend_low", "spend_high"),
    *("estimate_spend", "saving", "saving_low", "saving_high", "gain", "gain_low", "gain_high"),
    *("change", "change_low", "change_high", "spared", "spared_low", "spared_high"),
    *("in_sample_saving", "beyond", "n_problems", "arms", "flags"),
]


@dataclass(frozen=True)
class Economy:
    """Value and limits: what a right answer is worth in units of `price`, the price of a unit of
    the axis, seconds for 95 % of problems, and the mean spend that the load leaves; None is free.
    """

    value: float | None = None
    price: float = 1.0
    latency: float | None = None
    spend: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is anything to maximise but accuracy at a spend."""
        return self.value is not None or self.spend is not None

    def target(self) -> Target:
        """Return the target: value of right answers less cost, within the load."""
        cost = 0.0 if self.value is None else self.price / self.value
        return Target("price", price=cost, spend=np.inf if self.spend is None else self.spend)


@dataclass(frozen=True)
class Goal:
    """What policies are fitted for: a label, what is equal, the target by what is learnt.

    `arm` is the uniform budget that is matched, None where it is none.
    """

    label: str
    matched: str
    target: Callable[[Flags], Target]
    arm: int | None = None


@dataclass(frozen=True)
class Entrant:
    """A policy that takes part: its name, its estimate, and the arms that its limits leave."""

    policy: str
    estimate: Estimate | None
    family: Family
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contest:
    """One class and model: problems in rows, arms on every visit, and estimates of difficulty.

    `clusters` (problems,) numbers what is not independent. `kind` is how scores are calibrated.
    """

    task_class: str
    model: str
    axis: str
    problems: pd.DataFrame
    visits: Visits | None
    menu: Menu
    estimates: Sequence[Estimate]
    clusters: Counts
    kind: Kind
    economy: Economy
    seed: int = 0

    @cached_property
    def problem(self) -> Counts:
        """Each visit's problem."""
        return np.arange(len(self.problems)) if self.visits is None else self.visits.problem

    @cached_property
    def bench(self) -> Bench:
        """What policies are compared on."""
        return Bench(
            self.problem, self.clusters, self.menu.Z, self.menu.C, self.allowed(None, fixed=True)
        )

    @cached_property
    def fold(self) -> Counts:
        """Each problem's fold."""
        return self.bench.folds(self.seed)

    @cached_property
    def against(self) -> Uniform:
        """The best uniform budget at every spend."""
        return Uniform.of(self.bench, self.fold)

    def allowed(self, estimate: Estimate | None, *, fixed: bool | None = None) -> Counts:
        """Return the arms within the latency limit, only uniform budgets or only others."""
        arms = np.arange(len(self.menu.arms)) if fixed is None else self.menu.where(fixed=fixed)
        if self.economy.latency is None:
            return arms
        wait = waited(self.menu, self.visits, 0 if estimate is None else estimate.pilot)
        slowest = np.quantile(wait[:, arms], SLOW, axis=0)
        return arms[~(slowest > self.economy.latency)]

    def goals(self, budgets: Sequence[int]) -> list[Goal]:
        """Return the goals: by uniform budget its accuracy and its spend, then value and limits.

        A budget stands for the most accurate strategy that was run at it.
        """
        found = []
        for budget in budgets:
            mine = [
                i
                for i in self.bench.fixed
                if self.menu.arms[i].budget == budget
                and (self.menu.arms[i].pooled or self.visits is None)
            ]
            if not mine:
                continue
            best = mine[int(self.menu.Z[:, mine].mean(axis=0).argmax())]
            label = self.menu.arms[best].name
            found += [
                Goal(label, "accuracy", partial(self._equal, best, "accuracy"), best),
                Goal(label, "spend", partial(self._equal, best, "spend"), best),
            ]
        if self.economy.bounded:
            found.insert(0, Goal("value and limits", "value", lambda _: self.economy.target()))
        return found

    def _equal(self, arm: int, kind: str, learnt: Flags) -> Target:
        if kind == "accuracy":
            return Target("accuracy", accuracy=float(self.menu.Z[learnt, arm].mean()))
        return Target("spend", spend=float(self.menu.C[learnt, arm].mean()))

    def entrants(self) -> Iterator[Entrant]:
        """Yield every policy with every estimate."""
        yield Entrant(UNIFORM, None, uniform(self.bench.fixed))
        stops = self.allowed(None, fixed=False)
        for policy, kind in (("early stop", ADAPTIVE), ("stop when verified", VERIFIED)):
            mine = np.array([i for i in stops if self._kind(i) == kind], dtype=np.int64)
            if mine.size:
                yield Entrant(policy, None, uniform(mine))
        for estimate in self.estimates:
            fixed, every = self.allowed(estimate, fixed=True), self.allowed(estimate)
            if not fixed.size:
                continue
            tiers, remarks = self.tiers(fixed)
            yield Entrant("three tiers", estimate, tiers, remarks)
            yield Entrant("bins", estimate, binned(fixed))
            yield Entrant("greedy", estimate, posterior(fixed))
            if every.size > fixed.size:
                yield Entrant("greedy + stops", estimate, posterior(every))

    def tiers(self, arms: Counts) -> tuple[Tiers, tuple[str, ...]]:
        """Return the essay's three tiers over `arms`, and what is not there to fill them."""
        kinds = {int(i): self._kind(i) for i in arms}
        easy = [self.one_pass(arms)]
        verified = [i for i, kind in kinds.items() if kind in (BEST, WEIGHTED, ORACLE)]
        middle = verified or [i for i, kind in kinds.items() if kind == MAJORITY]
        hard = [i for i, kind in kinds.items() if kind in SEARCH]
        remarks = []
        if not middle:
            middle = [int(i) for i in arms if i not in (*easy, *hard)]
        if not verified:
            remarks.append("no verifier: the middle tier votes")
        if not hard:
            remarks.append("no search was run: that tier is dropped")
        first, second, third = (np.array(part, dtype=np.int64) for part in (easy, middle, hard))
        return Tiers(first, second, third), tuple(remarks)

    def one_pass(self, arms: Counts) -> int:
        """Return which of `arms` is a plain draw, the cheapest where none is."""
        plain = [int(i) for i in arms if self._kind(int(i)) == SINGLE]
        return plain[0] if plain else int(arms[self.menu.C[:, arms].mean(axis=0).argmin()])

    def _kind(self, arm: int) -> str:
        return self.menu.arms[arm].strategy.partition(" (")[0].partition(":")[0]

    def scored(self, estimate: Estimate | None) -> Callable[[Flags], Array]:
        """Return what scores all visits by an estimate calibrated on some; NaN for no estimate."""
        if estimate is None:
            return lambda _: np.full(self.problem.size, np.nan)

        def chance(learnt: Flags) -> Array:
            key = estimate.name, learnt.tobytes()
            if key not in self.chances:
                self.chances[key] = self.calibrated(estimate, learnt).chance(
                    estimate.table.to_numpy(float)
                )
            return self.chances[key]

        return chance

    @cached_property
    def chances(self) -> dict[tuple[str, bytes], Array]:
        """What estimates said of all visits, by what they had learnt from."""
        return {}

    def calibrated(self, estimate: Estimate, learnt: Flags) -> Calibration:
        """Return an estimate calibrated on the visits that may be learnt from."""
        weight = 1.0 / np.bincount(self.problem)[self.problem]
        table = estimate.table[learnt]
        return fitted(table, self.right(estimate)[learnt], weight[learnt], self.kind)

    def right(self, estimate: Estimate | None) -> Array:
        """Return each visit's chance that one pass is right, by draws that no estimate saw."""
        if self.visits is not None:
            return one_pass(self.visits, 0 if estimate is None else estimate.pilot)
        return self.menu.Z[:, self.one_pass(np.arange(len(self.menu.arms)))]

    def held_out(self, entrants: Sequence[Entrant], goals: Sequence[Goal]) -> list[list[Held]]:
        """Return each entrant's policy for each goal, valued where it was not fitted."""
        return [
            held_out(
                self.bench,
                entrant.family,
                [goal.target for goal in goals],
                self.scored(entrant.estimate),
                self.charge(entrant.estimate),
                self.fold,
            )
            for entrant in entrants
        ]

    def charge(self, estimate: Estimate | None) -> Array:
        """Return what an estimate adds to each arm's spend."""
        pilot, verifier = (0, None) if estimate is None else (estimate.pilot, estimate.verifier)
        return charged(self.menu, self.visits, pilot, verifier)

    def run(self, budgets: Sequence[int]) -> tuple[pd.DataFrame, list[Part]]:
        """Return a row per goal and policy, and the routed policy of each goal for export."""
        if not self.bench.fixed.size:
            wait = np.quantile(self.menu.seconds, SLOW, axis=0).min()
            raise ValueError(
                f"latency is {self.economy.latency:g} s, and no budget of {self.task_class} keeps "
                f"within it for 95 % of problems; the fastest takes {wait:.3g} s."
            )
        goals = self.goals(budgets)
        if not goals:
            known = sorted({self.menu.arms[i].budget for i in self.bench.fixed})
            raise ValueError(
                f"targets are {', '.join(map(str, budgets))}, and {self.task_class} has none of "
                f"these; its budgets are {', '.join(f'{b:g}' for b in known)}."
            )
        entrants = list(self.entrants())
        held = self.held_out(entrants, goals)
        rows, parts = [], []
        for g, goal in enumerate(goals):
            mine = [found[g] for found in held]
            rows += [self.row(goal, e, h) for e, h in zip(entrants, mine, strict=True)]
            best, routed = self.routed(goal, mine)
            entrant = entrants[best]
            chosen = Entrant(ROUTED, entrant.estimate, entrant.family, (f"is {entrant.policy}",))
            rows += [self.row(goal, chosen, routed), self.bound(goal)]
            row = rows[-2]
            parts.append(self.part(goal, entrant, routed, row))
        return pd.DataFrame(rows, columns=COLUMNS), parts

    def routed(self, goal: Goal, held: Sequence[Held]) -> tuple[int, Held]:
        """Return which policy is best, and what choosing it comes to, the choice held out too.

        On each fold stands the policy that saves most (at equal spend: gains most; by value: is
        worth most) on the other folds.
        """
        arrays = [np.empty(self.fold.size) for _ in range(3)]
        arm = np.empty(self.problem.size, dtype=np.int64)
        refits = []
        for part in range(int(self.fold.max()) + 1):
            here = self.fold == part
            best = self._best(goal, held, ~here if self.fold.max() else here)
            mine = held[best]
            for array, values in zip(arrays, (mine.accuracy, mine.spend, mine.charge), strict=True):
                array[here] = values[here]
            arm[here[self.problem]] = mine.arm[here[self.problem]]
            refits.append(mine.refits[part])
        best = self._best(goal, held, np.ones(self.fold.size, dtype=bool))
        mine = held[best]
        found = Held(
            arrays[0],
            arrays[1],
            mine.inside,
            np.array(refits),
            mine.rule,
            mine.price,
            arm,
            arrays[2],
        )
        return best, found

    def _best(self, goal: Goal, held: Sequence[Held], kept: Flags) -> int:
        UZ, UC = self.against.Z[kept].mean(axis=0), self.against.C[kept].mean(axis=0)
        worth = []
        target = goal.target(kept[self.problem])
        for h in held:
            A, C = float(h.accuracy[kept].mean()), float(h.spend[kept].mean())
            saving, gain = saved(A, C, UZ, UC)
            value = A - target.price * C
            worth.append({"accuracy": saving, "spend": gain, "value": value}[goal.matched])
        return int(np.argmax(worth))

    def row(self, goal: Goal, entrant: Entrant, held: Held) -> dict[str, object]:
        """Return a policy's row."""
        found = self.savings(goal, held.accuracy, held.spend, held.refits)
        inside = saved(
            float(held.inside[0].mean()),
            float(held.inside[1].mean()),
            self.against.Z.mean(axis=0),
            self.against.C.mean(axis=0),
        )
        flags = [*entrant.remarks, *self.tiers_used(entrant, held.rule), *self.cautions(found)]
        return self.labelled(goal, entrant.policy, entrant.estimate, found) | {
            "estimate_spend": float(held.charge.mean()),
            "in_sample_saving": inside[0],
            "arms": said(held.rule, self.menu.arms),
            "flags": "; ".join(flags),
        }

    def savings(self, goal: Goal, accuracy: Array, spend: Array, refits: Array | None) -> Savings:
        """Return a policy beside the best uniform budget and the goal's."""
        target = None
        if goal.arm is not None:
            Z, C = (self.bench.mean(t[:, goal.arm]) for t in (self.menu.Z, self.menu.C))
            target = Z, C
        return savings(accuracy, spend, self.against, self.clusters, refits, target, seed=self.seed)

    def bound(self, goal: Goal) -> dict[str, object]:
        """Return the row of the oracle, which knows every problem's own curve."""
        Z, C = (self.bench.mean(table[:, self.bench.fixed]) for table in (self.menu.Z, self.menu.C))
        every = np.ones(self.problem.size, dtype=bool)
        target, price = goal.target(every), prices(C)
        if target.kind == "price":
            price = np.unique(np.append(price, target.price))
        best = (Z - price[:, None, None] * C).argmax(axis=2)
        rows = np.arange(len(Z))
        met = np.array([(Z[rows, b].mean(), C[rows, b].mean()) for b in best])
        chosen = best[target.pick(met[:, 0], met[:, 1], price)]
        found = self.savings(goal, Z[rows, chosen], C[rows, chosen], None)
        flags = "no policy: it sees each problem's own curve, with the noise in it"
        return self.labelled(goal, BOUND, None, found) | {
            "estimate_spend": 0.0,
            "in_sample_saving": found.saving.value,
            "arms": "",
            "flags": flags,
        }

    def labelled(
        self, goal: Goal, policy: str, estimate: Estimate | None, found: Savings
    ) -> dict[str, object]:
        figures = {
            f"{name}{end}": getattr(getattr(found, name), part)
            for name in FIGURES
            for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        return {
            "task_class": self.task_class,
            "model": self.model,
            "axis": self.axis,
            "target": goal.label,
            "matched": goal.matched,
            "policy": policy,
            "estimate": "" if estimate is None else estimate.name,
            "beyond": found.beyond,
            "n_problems": len(self.problems),
            **figures,
        }

    def cautions(self, found: Savings) -> Iterator[str]:
        """Yield what to know of a row's figures."""
        if found.beyond > 0.025:
            yield (
                f"no uniform budget is as accurate in {found.beyond:.0%} of resamples: the saving "
                "is against the most accurate one"
            )
        if np.isnan(found.saving.low):
            yield "no interval: one problem or cluster"
        elif len(self.problems) < ENOUGH:
            count = len(self.problems)
            yield f"interval of {count} problems: below {ENOUGH:,} it may be too narrow"

    def tiers_used(self, entrant: Entrant, rule: Rule) -> Iterator[str]:
        """Yield which tiers earned their place, for the tiers alone."""
        if isinstance(entrant.family, Tiers):
            family, used = entrant.family, set(rule.arms[:-1])
            sets = (family.easy, family.middle, family.hard)
            names = [n for n, arms in zip(TIERS, sets, strict=True) if used & set(map(int, arms))]
            left = [n for n, arms in zip(TIERS, sets, strict=True) if arms.size and n not in names]
            yield f"tiers kept: {', '.join(names)}"
            if left:
                yield f"tiers dropped, as they gain no more than their error: {', '.join(left)}"

    def part(self, goal: Goal, entrant: Entrant, held: Held, row: dict[str, object]) -> Part:
        """Return the routed policy of a goal, as policy.json has it."""
        every = np.ones(self.problem.size, dtype=bool)
        estimate = entrant.estimate
        calibration = None if estimate is None else self.calibrated(estimate, every)
        score = self.scored(estimate)(every)
        rows, bins = np.arange(score.size), held.rule.bins(score)
        arm, C = held.rule.choose(score), self.menu.C + self.charge(estimate)
        each = [
            {
                "share": float((bins == b).mean()),
                "in_sample_accuracy": float(self.menu.Z[rows, arm][bins == b].mean()),
                "in_sample_spend": float(C[rows, arm][bins == b].mean()),
            }
            for b in range(len(held.rule.edges) + 1)
            if (bins == b).any()
        ]
        expected = {
            name: {end: float(row[name + tail]) for end, tail in  # type: ignore[arg-type]
                   (("value", ""), ("low", "_low"), ("high", "_high"))}
            for name in FIGURES
        }  # fmt: skip
        arms = [self.menu.arms[i] for i in held.rule.arms[:-1]]
        if estimate is None:
            arms = [self.menu.arms[held.rule.arms[-1]]]
        return Part(
            task_class=self.task_class,
            model=self.model,
            family=entrant.policy,
            estimate="" if estimate is None else estimate.name,
            pilot=0 if estimate is None else estimate.pilot,
            verifier=None if estimate is None else estimate.verifier,
            calibration=calibration,
            edges=() if estimate is None else held.rule.edges,
            arms=tuple(arms),
            fallback=self.menu.arms[held.rule.arms[-1]],
            target=f"{goal.matched} of {goal.label}" if goal.matched != "value" else goal.label,
            problems=len(self.problems),
            fingerprint=self.fingerprint(),
            baseline=None if goal.arm is None else self.menu.arms[goal.arm],
            seen=tuple(digest(*str(name).rsplit("/", 1)) for name in self.problems.index),
            expected=expected,
            bins=tuple(each),
            remarks=tuple(filter(None, str(row["flags"]).split("; "))),
        )

    def fingerprint(self) -> str:
        """Return a hash of the problems and of what every arm did on them."""
        digest = hashlib.sha256("\n".join(map(str, self.problems.index)).encode())
        for table in (self.menu.Z, self.menu.C):
            digest.update(np.ascontiguousarray(np.round(table, 9)).tobytes())
        return f"sha256:{digest.hexdigest()[:32]}"


def said(rule: Rule, arms: Sequence[Arm]) -> str:
    """Return a rule in words, hardest first: "maj@k @ 32 < 0.31 < single @ 1"."""
    words = [arms[rule.arms[0]].name]
    for edge, arm in zip(rule.edges, rule.arms[1:-1], strict=True):
        words.append(f"< {edge:.3g} < {arms[arm].name}")
    return " ".join(words)
