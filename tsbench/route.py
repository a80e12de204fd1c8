"""The command `tsbench route`: measured curves in; a policy, and what it would save, out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tsbench import manifest, words
from tsbench.arm import SINGLE, Arm
from tsbench.arms import Visits, joined, others, pooled
from tsbench.cells import ALL, Cells, cells_of_outcomes
from tsbench.contest import BOUND, ROUTED, Contest, Economy
from tsbench.cost import Price, Prices
from tsbench.difficulty import KINDS, estimates, measured
from tsbench.estimates import MAJORITY, ORACLE
from tsbench.fit import batches, checked_outcomes, one_source
from tsbench.limits import limit_table, limits
from tsbench.policy import Part, Policy
from tsbench.pools import AXES, READ, Reading, pools

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST = 10
"""The fewest problems of a class that a policy is fitted to."""
SHOWN = {
    "accuracy": ("change", "spared", "saving"),
    "spend": ("change", "gain"),
    "value": ("saving", "gain"),
}
"""Figures of a goal's table for the terminal, in points or in %."""


@dataclass(frozen=True)
class Route:
    """Fit a router to a run folder, a samples file or an outcomes file: just one of them.

    `run`, `samples`, `outcomes`, `columns`, `constants`, `blank` and `scored_by` as in
    `tsbench.fit.Fit`. `axis` is the spend that is saved. `targets` are uniform budgets whose
    accuracy, and whose spend, every policy is fitted to; policy.json has the one for the first
    target's accuracy, or for `value` and limits where those are given. `difficulty` names columns
    of the table that say how hard a problem is, `pilots` are numbers of pilot draws, `without` are
    kinds of estimates not to use, since whoever applies the policy lacks them. `grade_known` says
    that a draw's grade is known when it is made. `value` is what a right answer is worth in units
    of `price`, the price of one unit of the axis; `latency` the seconds within which 95 % of
    problems must be done; `qps` the requests a second and `capacity` the units of the axis a second
    that there are for them. `out` is the folder for the results: by default the run's own, else
    runs/route.
    """

    run: str | None = None
    samples: str | None = None
    outcomes: str | None = None
    columns: Mapping[str, str] | None = None
    constants: Mapping[str, Any] | None = None
    axis: str = "tokens"
    targets: Sequence[int] = (8, 32)
    difficulty: Sequence[str] = ()
    pilots: Sequence[int] = (2, 4, 8)
    without: Sequence[str] = ()
    calibration: str = "logistic"
    blank: str = "drop"
    scored_by: str | None = None
    grade_known: bool = False
    value: float | None = None
    price: float = 1.0
    latency: float | None = None
    qps: float | None = None
    capacity: float | None = None
    seed: int = 0
    out: str | None = None

    def __post_init__(self) -> None:
        one_source("route", run=self.run, samples=self.samples, outcomes=self.outcomes)
        if self.axis not in AXES:
            raise ValueError(f"axis {self.axis!r} is unknown; allowed are {', '.join(AXES)}.")
        if self.calibration not in ("logistic", "isotonic"):
            raise ValueError(
                f"calibration is {self.calibration!r}; allowed are 'logistic' and 'isotonic'."
            )
        if self.blank not in ("drop", "vote"):
            raise ValueError(f"blank is {self.blank!r}; allowed are 'drop' and 'vote'.")
        for name in ("targets", "pilots"):
            numbers = getattr(self, name)
            if isinstance(numbers, int) or not all(type(k) is int and k >= 1 for k in numbers):
                raise ValueError(f"{name} is {numbers!r}; give a list of whole numbers, 1 or more.")
        if not self.targets:
            raise ValueError("targets is empty; give a uniform budget to be matched.")
        if isinstance(self.difficulty, str):
            raise ValueError(f"difficulty is {self.difficulty!r}; give a list of columns.")
        for name in self.without:
            if name not in KINDS:
                raise ValueError(f"without has {name!r}; allowed are {', '.join(KINDS)}.")
        for name in ("value", "price", "latency", "qps", "capacity"):
            number = getattr(self, name)
            if number is not None and not number > 0.0:
                raise ValueError(f"{name} is {number}; allowed is above 0.")
        if (self.qps is None) != (self.capacity is None):
            raise ValueError("qps and capacity go together: requests a second, and units a second.")

    def __call__(self) -> pd.DataFrame:
        """Write policy.json and the tables (docs/files.md), print and return the policies."""
        with threadpool_limits(1, user_api="blas"):  # the matrices are small: threads only wait
            return self._route()

    def _route(self) -> pd.DataFrame:
        routes, parts, judged, reliable, verdicts, silent = [], [], [], [], [], []
        for contest, coverage in self.contests():
            if len(contest.problems) < LEAST:
                silent.append(
                    f"{contest.task_class}, {contest.model}: {len(contest.problems)} problems, and "
                    f"a policy needs {LEAST}"
                )
                continue
            table, found = contest.run(self.targets)
            difficulty, reliability = judgement(contest)
            routes.append(table)
            parts.append(found[0])
            judged.append(difficulty)
            reliable.append(reliability)
            verdicts.append(limits(contest, table, difficulty, coverage))
        if not routes:
            raise ValueError(f"no class has a policy: {'; '.join(silent) or 'no draw was found'}.")
        tables = {
            "routes": pd.concat(routes, ignore_index=True),
            "difficulty": pd.concat(judged, ignore_index=True),
            "reliability": pd.concat(reliable, ignore_index=True),
            "limits": limit_table(verdicts),
        }
        self.write(tables, parts, silent)
        return tables["routes"]

    def write(
        self, tables: Mapping[str, pd.DataFrame], parts: Sequence[Part], silent: Sequence[str]
    ) -> None:
        """Write every file and print what was found."""
        folder = Path(self.out or self.run or "runs/route")
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        policy = Policy(self.axis, tuple(parts), Arm(SINGLE, 1), version("tsbench"))
        policy.save(folder / "policy.json")
        console = Console(width=None if sys.stdout.isatty() else 120)
        for line in silent:
            console.print(line)
        for printed in printed_tables(tables["routes"]):
            console.print(printed)
        for row in tables["limits"].to_dict("records"):
            who = f"{row['task_class']}, {row['model']}"
            console.print(f"{who}: more {row['axis']} pay: {row['pays']}; {row['reason']}.")
            console.print(f"{who}: routing pays: {row['routing_pays']}; {row['routing_reason']}.")
        console.print(f"Policy: {folder / 'policy.json'}")

    def contests(self) -> Iterator[tuple[Contest, Array | None]]:
        """Yield each class and model with the chance that any of its draws is right."""
        cells = self.cells()
        if self.outcomes:
            yield from self.of_outcomes(cells)
            return
        table = self.draws()
        axis = self.known_axis(table)
        prices = self.prices(table)
        reading = Reading(
            axis, prices, self.scored_by, self.grade_known, self.difficulty, self.blank
        )
        for task_class, model, pool in pools(table, reading):
            plain = {arm.strategy for arm in pooled(Visits.of(pool, 0)).arms}
            rest = {
                n: c
                for n, c in cells.items()
                if n[3] not in plain and n[3] not in (ORACLE, SINGLE, MAJORITY)
            }
            extra = list(others(rest, axis, task_class, model, pool.problems.index))
            kept = complete(extra, len(pool.problems))
            extra = [(arm, Z[kept], C[kept], S[kept]) for arm, Z, C, S in extra]
            pool = pool.at(kept)
            visits = Visits.of(pool, self.seed)
            menu = joined(pooled(visits, tuple(self.targets)), visits.problem, extra)
            found = estimates(pool.problems, visits, self.difficulty, self.pilots, self.without)
            yield (
                self.contest(task_class, model, axis, pool.problems, visits, menu, found),
                pool.right.max(axis=1),
            )

    def draws(self) -> pd.DataFrame:
        """Return the table of draws, with each problem's prompt where a run has kept it."""
        source = self.samples or f"{self.run}/samples"
        wanted = {*READ, *self.difficulty}
        read = batches(source, self.columns or {}, self.constants or {}, wanted)
        table = pd.concat(read, ignore_index=True)
        prompts = Path(self.run or "", "problems.parquet")
        if self.run and prompts.is_file():
            known = pd.read_parquet(prompts, columns=["task", "problem_id", "prompt"])
            table = table.merge(known, on=["task", "problem_id"], how="left")
        self.check(table)
        return table

    def check(self, table: pd.DataFrame) -> None:
        """Raise ValueError where a column that should say how hard a problem is is not there."""
        for name in self.difficulty:
            if name not in table:
                found = ", ".join(map(str, table.columns))
                raise ValueError(f"difficulty has {name!r}, which is no column; found {found}.")

    def contest(
        self,
        task_class: str,
        model: str,
        axis: str,
        problems: pd.DataFrame,
        visits: Visits | None,
        menu: Any,
        found: Any,
    ) -> Contest:
        """Return a class's contest with the limits of this command."""
        labels = problems.get("cluster")
        clusters = np.arange(len(problems))
        if labels is not None and labels.notna().any():
            names = labels.astype("string").fillna(pd.Series(problems.index, problems.index))
            clusters = pd.factorize(names)[0].astype(np.int64)
        spend = None if self.qps is None else self.capacity / self.qps  # type: ignore[operator]
        return Contest(
            task_class,
            model,
            axis,
            problems,
            visits,
            menu,
            found,
            clusters,
            self.calibration,  # type: ignore[arg-type]
            Economy(self.value, self.price, self.latency, spend),
            self.seed,
        )

    def cells(self) -> Cells:
        """Return the curves of a run's outcomes, or of the outcomes file; none of samples."""
        source = self.outcomes or (f"{self.run}/outcomes" if self.run else None)
        if source is None:
            return {}
        read = batches(source, self.columns or {}, self.constants or {})
        return cells_of_outcomes(checked_outcomes(pd.concat(read, ignore_index=True)))

    def of_outcomes(self, cells: Cells) -> Iterator[tuple[Contest, Array | None]]:
        """Yield the contests of an outcomes file: one visit a problem, columns as estimates."""
        read = batches(str(self.outcomes), self.columns or {}, self.constants or {})
        table = pd.concat(read, ignore_index=True)
        self.check(table)
        names = table["problem_id"].astype(str)
        table["name"] = (table["task"].astype(str) if "task" in table else "") + "/" + names
        for task_class, model in dict.fromkeys((n[0], n[2]) for n in cells if n[1] == ALL):
            mine = {n: c for n, c in cells.items() if n[:3] == (task_class, ALL, model)}
            every = pd.Index(dict.fromkeys(p for cell in mine.values() for p in cell.problems))
            rest = list(others(mine, self.axis, task_class, model, every))
            if not rest:
                raise ValueError(
                    f"{task_class}, {model}: no strategy that can be deployed has known "
                    f"{self.axis}."
                )
            kept = complete(rest, len(every))
            rest = [(arm, Z[kept], C[kept], S[kept]) for arm, Z, C, S in rest]
            first = table[table["task_class"].astype(str) == task_class].drop_duplicates("name")
            labels = [c for c in ("stratum", "cluster", "prompt", *self.difficulty) if c in table]
            problems = first.set_index("name")[labels].reindex(every[kept])
            menu = joined(None, np.arange(kept.size), rest)
            found = estimates(problems, None, self.difficulty, self.pilots, self.without)
            oracle, top = mine.get((task_class, ALL, model, ORACLE)), None
            if oracle is not None:
                rows = oracle.problems.get_indexer(every[kept])
                top = oracle.Z[rows[rows >= 0], -1]
            yield self.contest(task_class, model, self.axis, problems, None, menu, found), top

    def known_axis(self, table: pd.DataFrame) -> str:
        """Return the axis, or "asks" where the table has no tokens at all."""
        tokens = [c for c in ("completion_tokens", "tokens") if c in table]
        if self.axis == "tokens" and not any(table[c].notna().any() for c in tokens):
            return "asks"
        return self.axis

    def prices(self, table: pd.DataFrame) -> Prices | None:
        """Return what a run's tokens cost, by its manifest; None for a table."""
        if not self.run:
            return None
        read = manifest.read(Path(self.run))
        known = list(dict.fromkeys(table["model"].dropna())) if "model" in table else []
        params = [read.get("models", {}).get(str(m), {}).get("params") for m in known]
        jobs = [job.get("model", {}) for job in read.get("jobs", {}).values()]
        paid = {(job.get("dollars_in"), job.get("dollars_out")) for job in jobs}
        if len(known) != 1 or len(paid) != 1:
            return None
        dollars_in, dollars_out = next(iter(paid))
        judges = {
            name: Price(judge.get("params"), None, None)
            for name, judge in read.get("judges", {}).items()
        }
        return Prices(Price(params[0], dollars_in, dollars_out), judges)


def complete(arms: Sequence[tuple[Arm, Array, Array, Array]], problems: int) -> Counts:
    """Return the problems that every arm has."""
    known = np.ones(problems, dtype=bool)
    for _, Z, _, _ in arms:
        known &= ~np.isnan(Z)
    return np.flatnonzero(known)


def judgement(contest: Contest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return each estimate's row: what it tells and what it costs; and its reliability by bin.

    `over_one_pass` is what it adds to one pass's spend, `charged` to that of the arm that reuses
    most of it.
    """
    rows, bins = [], [pd.DataFrame(columns=["task_class", "model", "estimate"])]
    for estimate in contest.estimates:
        figures, found = measured(
            estimate,
            contest.right(estimate),
            contest.problem,
            contest.fold,
            contest.kind,
            seed=contest.seed,
        )
        label = {
            "task_class": contest.task_class,
            "model": contest.model,
            "axis": contest.axis,
            "estimate": estimate.name,
            "calibration": contest.kind,
        }
        charge = contest.charge(estimate).mean(axis=0)
        first = contest.one_pass(np.arange(len(contest.menu.arms)))
        rows.append(
            label
            | {"pilot": estimate.pilot, "features": ", ".join(map(str, estimate.table))}
            | {"over_one_pass": float(charge[first]), "charged": float(charge.min())}
            | figures
            | {"n_problems": len(contest.problems)}
        )
        bins.append(found.assign(**label))
    return pd.DataFrame(rows), pd.concat(bins, ignore_index=True)


def printed_tables(found: pd.DataFrame) -> Iterator[Table]:
    """Yield a table for the terminal for each class, model and target."""
    keys = ["task_class", "model", "target", "matched"]
    for (task_class, model, target, matched), rows in found.groupby(keys, sort=False):
        what = {"accuracy": "at the accuracy of", "spend": "at the spend of", "value": "by"}
        table = Table(
            title=f"{task_class}, {model}: policies {what[str(matched)]} {target}",
            box=box.SIMPLE_HEAD,
            title_justify="left",
            pad_edge=False,
            collapse_padding=True,
        )
        for heading in ("policy", "estimate", "correct", "spend", *SHOWN[str(matched)]):
            table.add_column(heading, no_wrap=True)
        for row in shortened(rows).to_dict("records"):
            table.add_row(
                str(row["policy"]),
                str(row["estimate"]),
                f"{row['accuracy']:.1%}",
                words.human(row["spend"]),
                *(
                    f"{100 * row[name]:.1f} ({100 * row[f'{name}_low']:.1f} to "
                    f"{100 * row[f'{name}_high']:.1f})"
                    for name in SHOWN[str(matched)]
                ),
            )
        yield table


def shortened(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that fit a terminal: of each policy the best and the worst estimate.

    Which is best is seen on the problems that are shown, so it flatters; `routed` does not.
    """
    by = {"accuracy": "saving", "spend": "gain", "value": "gain"}[str(rows["matched"].iloc[0])]
    order = rows.sort_values(by, kind="stable")
    ends = pd.concat([order.drop_duplicates("policy", keep=end) for end in ("last", "first")])
    return rows.loc[rows.index.isin(ends.index) | rows["policy"].isin((ROUTED, BOUND))]
