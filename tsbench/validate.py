"""The command `tsbench validate`: the estimator, and the usual ones, on data of known truth."""

from __future__ import annotations

import json
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from pyarrow import ArrowInvalid
from rich.console import Console
from rich.progress import track

from tsbench.knee import locate
from tsbench.rivals import RIVALS, locator
from tsbench.simulate import Scenario, scenarios
from tsbench.validation_page import OURS, write_page

Array = NDArray[np.float64]

OTHER_QUERIES = (100, 300)
"""Numbers of queries at which the other numbers of draws are run,"""
OTHER_SHARE = 4
"""on one dataset in so many."""
CHUNK = 20
"""Datasets of one job."""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
"""What each worker's linear algebra may use: its rounding depends on the number of threads."""


@dataclass(frozen=True)
class Chunk:
    """Some datasets of one cell, the work of one job."""

    scenario: Scenario
    Q: int
    n: int
    numbers: range
    delta: float
    seed: int
    rivals: bool


@dataclass(frozen=True)
class Validate:
    """Study the estimator on simulated data: every scenario, many datasets, a page of figures.

    `datasets` are drawn for each scenario and number of `queries` at the first of `draws`; the
    other numbers of draws are run at 100 and 300 queries on a quarter of them, and without the
    rivals. `scenarios` are names, by default all. `delta` is the accuracy that a doubling must
    buy. A dataset depends on `seed` and its own place alone (see `draw`), not on `jobs`, the
    processes, as joblib counts them. `rivals` runs the usual methods on the same data. `out` is
    the folder for validation.parquet, a row per dataset and method, validation.md and figures/,
    both made from that file; `results` is such a file, to write its page without running.
    """

    datasets: int = 240
    queries: Sequence[int] = (30, 100, 300, 1000)
    draws: Sequence[int] = (8, 1, 4, 16, 64)
    scenarios: Sequence[str] | None = None
    delta: float = 0.01
    seed: int = 0
    jobs: int = -1
    rivals: bool = True
    out: str = "runs/validation"
    results: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("datasets", 2), ("seed", 0), ("queries", 2), ("draws", 1)):
            given = getattr(self, name)
            single = name in ("datasets", "seed")
            numbers = [given] if single else given
            if not (
                isinstance(numbers, Sequence)
                and numbers
                and all(type(number) is int and number >= least for number in numbers)
                and len(set(numbers)) == len(numbers)
            ):
                kind = "a whole number" if single else "a list of different whole numbers"
                raise ValueError(f"{name} is {given}; give {kind}, {least} or more.")
        if isinstance(self.scenarios, str):
            raise ValueError(f"scenarios is {self.scenarios!r}; give a list of names.")
        known = [scenario.name for scenario in scenarios()]
        for name in self.scenarios or ():
            if name not in known:
                raise ValueError(f"scenarios has {name!r}; allowed are {'; '.join(known)}.")
        if not 0.0 <= self.delta < 1.0:
            raise ValueError(f"delta is {self.delta}; allowed is 0 to below 1.")
        if self.results is not None and not Path(self.results).is_file():
            raise ValueError(f"results is {self.results}, which is not there.")
        if self.jobs == 0:
            raise ValueError("jobs is 0; give 1 or more, or -1 for every core.")

    def __call__(self) -> pd.DataFrame:
        """Run the study, write validation.parquet and its page, and return the rows."""
        folder = Path(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "validation.parquet"
        if self.results is None:
            self._study().to_parquet(file, index=False)
        rows = _read(self.results or str(file))
        page = write_page(rows, folder)
        print(f"{len(rows):,} results; {page}")
        return rows

    def _study(self) -> pd.DataFrame:
        if self.rivals:
            locator()
        chosen = [s for s in scenarios() if self.scenarios is None or s.name in self.scenarios]
        chunks = [
            Chunk(
                scenario, Q, n, range(first, min(first + CHUNK, count)), self.delta, self.seed,
                self.rivals and n == self.draws[0],
            )
            for scenario in chosen
            for Q, n, count in self._cells()
            for first in range(0, count, CHUNK)
        ]  # fmt: skip
        console = Console(stderr=True)
        total = sum(len(chunk.numbers) for chunk in chunks)
        console.print(f"validate: {len(chosen)} scenarios, {total:,} datasets")
        workers = get_reusable_executor(effective_n_jobs(self.jobs), env=ONE_THREAD)
        parts = track(
            workers.map(results, chunks),
            "",
            len(chunks),
            console=console,
            disable=not console.is_terminal,
        )
        rows = pd.DataFrame([row for part in parts for row in part])
        truths = pd.DataFrame(
            {
                "scenario": scenario.name,
                "kind": " ".join(sorted(scenario.kind)),
                "truth": scenario.knee(self.delta),
                "end": scenario.x[-1],
                "depth": scenario.fall,
            }
            for scenario in chosen
        )
        rows = rows.merge(truths, how="left", on="scenario")
        rows.attrs = {"command": self._command(), "delta": self.delta, "draws": self.draws[0]}
        return rows

    def _cells(self) -> list[tuple[int, int, int]]:
        """Return (queries, draws, datasets) of each cell of a scenario."""
        main, *others = self.draws
        fewer = max(2, self.datasets // OTHER_SHARE)
        side = [Q for Q in self.queries if Q in OTHER_QUERIES]
        return [(Q, main, self.datasets) for Q in self.queries] + [
            (Q, n, fewer) for n in others for Q in side
        ]

    def _command(self) -> str:
        """Return the command line that runs this study again."""
        said = ["tsbench", "validate"]
        for field in fields(self):
            value, default = (
                json.dumps(item, separators=(",", ":")).strip('"')
                for item in (getattr(self, field.name), field.default)
            )
            if field.name not in ("jobs", "results") and value != default:
                said.append(f"{field.name}={value}")
        return shlex.join(said)


def _read(file: str) -> pd.DataFrame:
    try:
        rows = pd.read_parquet(file)
    except ArrowInvalid as error:
        raise ValueError(f"results is {file}, which is not a parquet file.") from error
    if "command" not in rows.attrs:
        raise ValueError(f"results is {file}, which no study wrote.")
    return rows


def draw(scenario: Scenario, Q: int, n: int, dataset: int, seed: int = 0) -> Array:
    """Return Z (Q, J), the data of one dataset of the study, from its place and the seed alone."""
    place = [seed, zlib.crc32(scenario.name.encode()), Q, n, dataset]
    return scenario.sample(Q, n, np.random.default_rng(place))


def results(chunk: Chunk) -> list[dict[str, Any]]:
    """Return a row for each dataset of the chunk and each method run on it."""
    rows = []
    for dataset in chunk.numbers:
        Z = draw(chunk.scenario, chunk.Q, chunk.n, dataset, chunk.seed)
        found = [_ours(Z, chunk)]
        if chunk.rivals:
            found += [_rival(name, Z, chunk) for name in RIVALS]
        place = {
            "scenario": chunk.scenario.name,
            "queries": chunk.Q,
            "draws": chunk.n,
            "dataset": dataset,
        }
        rows += [place | result for result in found]
    return rows


def _ours(Z: Array, chunk: Chunk) -> dict[str, Any]:
    spend, end = chunk.scenario.spend, float(chunk.scenario.x[-1])
    knee = locate(Z, spend, delta=chunk.delta, seed=chunk.seed)

    def doublings(at: float | None, missing: float) -> float:
        return missing if at is None else log2(at / spend[0])

    return {
        "method": OURS,
        "knee": doublings(knee.knee, end),
        "low": doublings(knee.low, 0.0),
        "high": doublings(knee.high, end),
        "falls": float(knee.verdict == "falls"),
        "verdict": knee.verdict,
        "p_fall": knee.p_fall,
        "p_value": knee.p_value,
        "p_beyond": knee.p_beyond,
    }


def _rival(name: str, Z: Array, chunk: Chunk) -> dict[str, Any]:
    found = RIVALS[name](Z, chunk.scenario.x, chunk.delta, np.random.default_rng(chunk.seed))
    numbers = {k: np.nan if value is None else float(value) for k, value in vars(found).items()}
    return {"method": name} | numbers
