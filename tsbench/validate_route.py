"""The command `tsbench validate_route`: what a router is said to save, and what it then saves."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import logit
from threadpoolctl import threadpool_limits

from tsbench.arm import Arm
from tsbench.arms import Menu
from tsbench.contest import Contest, Economy, Entrant
from tsbench.difficulty import Estimate
from tsbench.pool import coverage
from tsbench.rocs import area
from tsbench.savings import Held
from tsbench.simulate import Difficulty

Array = NDArray[np.float64]

CLASSES = {
    "even": Difficulty(((1.0, 0.4, 0.6),)),
    "hard": Difficulty(((1.0, 0.3, 0.9),)),
}
"""Beta difficulties: the chance that one draw is right."""
BUDGETS = (1, 2, 4, 8, 16, 32, 64)
POOL = 128
"""Draws of a problem that budgets are read off."""
FRESH = 40_000
"""New problems on which the policy that was fitted is used."""
SURE = 1e-6


@dataclass(frozen=True)
class Score:
    """A guess at difficulty: logit(p), standardised, plus normal noise of so many deviations."""

    mean: float
    sd: float
    noise: float
    auc: float

    def sample(self, p: Array, rng: np.random.Generator) -> Array:
        """Return the scores of problems (Q,)."""
        found: Array = (_logit(p) - self.mean) / self.sd + self.noise * rng.standard_normal(p.size)
        return found


@dataclass(frozen=True)
class ValidateRoute:
    """Fit routers to simulated problems and use each on 40,000 new ones.

    Draws are verified: an arm of k draws is right where one of them is, pass@k. Each of `datasets`
    has `queries` problems with a pool of 128 draws and a score that tells right from wrong draws
    with one of `aucs`; policies are to be as accurate as a uniform budget of each of `targets`
    draws. `jobs` are processes, as joblib counts them. `out` is the folder for
    validate_route.parquet, a row per dataset, target and policy.
    """

    datasets: int = 40
    queries: Sequence[int] = (300, 1000)
    aucs: Sequence[float] = (0.62, 0.75, 0.85, 0.9)
    targets: Sequence[int] = (8, 32)
    seed: int = 0
    jobs: int = 1
    out: str = "runs/validate_route"

    def __post_init__(self) -> None:
        if not (type(self.datasets) is int and self.datasets >= 2):
            raise ValueError(f"datasets is {self.datasets!r}; give a whole number, 2 or more.")
        for auc in self.aucs:
            if not 0.5 < auc <= 0.9:
                raise ValueError(f"aucs has {auc}; allowed is above 0.5, up to 0.9.")
        for k in self.targets:
            if k not in BUDGETS:
                raise ValueError(f"targets has {k}; allowed are {', '.join(map(str, BUDGETS))}.")

    def __call__(self) -> pd.DataFrame:
        """Write the rows, print what they come to, and return them."""
        cells = list(product(CLASSES, self.aucs, self.queries, range(self.datasets)))
        work = (delayed(results)(*cell, tuple(self.targets), self.seed) for cell in cells)
        rows = pd.DataFrame([row for part in Parallel(n_jobs=self.jobs)(work) for row in part])
        folder = Path(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / "validate_route.parquet", index=False)
        console = Console(width=120)
        console.print(summary(rows).to_string(index=False))
        return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return bias and spread of the estimated saving in points, and how often it is covered."""
    error = 100.0 * (rows["saving"] - rows["truth"])
    table = rows.assign(
        error=error,
        inside=rows["truth"].between(rows["low"], rows["high"]),
        optimism=100.0 * (rows["in_sample"] - rows["truth"]),
        true=100.0 * rows["truth"],
    )
    keys = ["queries", "policy", "difficulty", "auc", "target"]
    found = table.groupby(keys, sort=False).agg(
        true_saving=("true", "mean"),
        bias=("error", "mean"),
        spread=("error", "std"),
        covered=("inside", "mean"),
        optimism=("optimism", "mean"),
        datasets=("error", "size"),
    )
    return found.round(
        {"true_saving": 1, "bias": 1, "spread": 1, "covered": 3, "optimism": 1}
    ).reset_index()


def results(
    name: str, auc: float, Q: int, dataset: int, targets: tuple[int, ...], seed: int
) -> list[dict[str, Any]]:
    """Return a row for each target and policy on one dataset, from its place and the seed alone."""
    with threadpool_limits(1, user_api="blas"):
        place = [seed, zlib.crc32(name.encode()), round(1000 * auc), Q, dataset]
        rng = np.random.default_rng(place)
        score = scored(name, auc)
        contest = simulated(name, score, Q, rng, seed=dataset)
        p = CLASSES[name].sample(FRESH, rng)
        fresh = pd.DataFrame({"score": score.sample(p, rng)})
        true = 1.0 - (1.0 - p[:, None]) ** np.array(BUDGETS)
        label = {"difficulty": name, "auc": auc, "queries": Q, "dataset": dataset}
        goals = [goal for goal in contest.goals(targets) if goal.matched == "accuracy"]
        entrants = list(contest.entrants())
        held = contest.held_out(entrants, goals)
        rows = []
        for g, goal in enumerate(goals):
            mine = [found[g] for found in held]
            best, routed = contest.routed(goal, mine)
            chosen = Entrant("routed", entrants[best].estimate, entrants[best].family)
            pairs = [*zip(entrants, mine, strict=True), (chosen, routed)]
            for entrant, h in pairs:
                row = contest.row(goal, entrant, h)
                rows.append(
                    label
                    | {
                        "target": contest.menu.arms[goal.arm or 0].budget,
                        "policy": entrant.policy,
                        "saving": row["saving"],
                        "low": row["saving_low"],
                        "high": row["saving_high"],
                        "in_sample": row["in_sample_saving"],
                        "truth": used(contest, entrant, h, fresh, true),
                    }
                )
        return rows


def used(contest: Contest, entrant: Entrant, held: Held, fresh: pd.DataFrame, true: Array) -> float:
    """Return what the policy fitted on all problems saves on new ones, of `true` accuracies."""
    chance = np.full(len(fresh), np.nan)
    if entrant.estimate is not None:
        every = np.ones(contest.problem.size, dtype=bool)
        chance = contest.calibrated(entrant.estimate, every).chance(fresh.to_numpy(float))
    arm = held.rule.choose(chance)
    budgets = np.array(BUDGETS, dtype=np.float64)
    accuracy = float(true[np.arange(arm.size), arm].mean())
    return 1.0 - float(budgets[arm].mean()) / float(np.interp(accuracy, true.mean(axis=0), budgets))


def simulated(name: str, score: Score, Q: int, rng: np.random.Generator, seed: int) -> Contest:
    """Return a contest over Q new problems, each with the exact pass@k of its pool."""
    p = CLASSES[name].sample(Q, rng)
    Z = _passes()[rng.binomial(POOL, p)][:, np.array(BUDGETS) - 1]
    C = np.tile(np.array(BUDGETS, dtype=np.float64), (Q, 1))
    arms = tuple(Arm("pass@k", k) for k in BUDGETS)
    menu = Menu(arms, Z, C, np.tile(np.array(BUDGETS), (Q, 1)), np.full(Z.shape, np.nan))
    estimate = Estimate("score", pd.DataFrame({"score": score.sample(p, rng)}))
    problems = pd.DataFrame(index=pd.RangeIndex(Q))
    return Contest(
        name, "simulated", "draws", problems, None, menu, [estimate], np.arange(Q), "logistic",
        Economy(), seed,
    )  # fmt: skip


@lru_cache(maxsize=32)
def scored(name: str, auc: float) -> Score:
    """Return the score whose AUC for one draw is `auc`, by bisection on its noise."""
    rng = np.random.default_rng(0)
    p = CLASSES[name].sample(FRESH, rng)
    noise = rng.standard_normal(p.size)
    mean, sd = float(_logit(p).mean()), float(_logit(p).std())
    low, high, reached = 0.0, 64.0, np.nan
    right = np.repeat([True, False], p.size)
    for _ in range(30):
        middle = (low + high) / 2.0
        given = (_logit(p) - mean) / sd + middle * noise
        weight, problem = np.concatenate([p, 1.0 - p]), np.tile(np.arange(p.size), 2)
        reached = area(np.tile(given, 2), right, weight, problem)[0]
        low, high = (middle, high) if reached > auc else (low, middle)
    return Score(mean, sd, (low + high) / 2.0, float(reached))


@lru_cache(maxsize=1)
def _passes() -> Array:
    return coverage(np.full(POOL + 1, POOL), np.arange(POOL + 1))


def _logit(p: Array) -> Array:
    found: Array = logit(np.clip(p, SURE, 1.0 - SURE))
    return found
