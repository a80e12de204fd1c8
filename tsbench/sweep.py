"""tsbench sweep: ask, remember, grade, and hand over to the analysis."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from tsbench import judging, kernels, manifest, problems, processes, sandbox
from tsbench.asks import Asks
from tsbench.cost import Price, Prices, PriceTable
from tsbench.fit import Fit
from tsbench.forecast import Forecast, forecast, fresh, identity, stored
from tsbench.grading import grade, read
from tsbench.halt import LIMIT, Halt, Halted, signals
from tsbench.judges import Judge
from tsbench.ledger import POOLED, save, tables
from tsbench.models.base import Model, Request, Response, Served
from tsbench.plan import Plan, by_run, queue
from tsbench.progress import Progress
from tsbench.recipe import remade
from tsbench.report import Report
from tsbench.runner import Grader, Job, Runner
from tsbench.spend import Limits, Spend
from tsbench.store import ANALYSED, Store
from tsbench.strategies import Composed
from tsbench.strategies import Suite as StrategySuite
from tsbench.tasks.suite import Suite as TaskSuite
from tsbench.types import Grade, Item, Outcome, Problem, Strategy, Task, Verifier


@dataclass(frozen=True)
class Sweep:
    """Run every strategy on every task, into one folder that is log, cache and resume file.

    Parameters
    ----------
    run : the folder.
    task, strategy : one of each, or a suite.
    verifiers : by the name that strategies call them.
    seed : of the problems and of the draws.
    limit : problems a task; None takes the task's own number.
    replicates : runs of a strategy that no pool of draws can stand in for.
    jobs : processes that grade, as joblib counts them.
    analyse : fit and report at the end.
    delta : accuracy that one doubling of spend must buy at the knee.
    price : what tokens cost where a model's own config does not say.
    limits : what this call may spend.
    dry_run : say what would be asked, and ask nothing.
    judge : grades the replies that no reference can; its cost is no strategy's.
    """

    run: str
    task: Task | TaskSuite
    model: Model
    strategy: Strategy | StrategySuite
    verifiers: Mapping[str, Verifier]
    seed: int
    limit: int | None
    replicates: int
    jobs: int
    analyse: bool
    delta: float
    price: PriceTable
    limits: Limits
    dry_run: bool
    judge: Judge | None = None

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("replicates", self.replicates)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, found {self.seed!r}")

    def __call__(self) -> None:
        """Sweep; the same call on the same folder resumes, and asks nothing that is answered."""
        plan = self.plan()
        folder = Path(self.run)
        self.check(folder, plan)
        self.check_prices(plan)
        if self.dry_run:
            print(self.forecast(folder, plan).text())
            return
        box = probed([task for task, _, _ in plan])
        self.end(asyncio.run(self.ask(folder, plan, box)))
        if self.analyse:
            Fit(run=self.run, delta=self.delta, seed=self.seed)()
            print(f"Report: {Report(run=self.run)()}")

    def forecast(self, folder: Path, plan: Plan) -> Forecast:
        """Return what this call would ask and spend, without a word to any model."""
        known = manifest.read(folder).get("models", {}).get(self.model.name, {})
        model = identity(self.model, known.get("params"))
        judges = {name: identity(judge, None) for name, judge in self.judges().items()}
        slots = {judges[name].served: judge.slots for name, judge in self.judges().items()}
        return forecast(
            chain(queue(plan, self.replicates), self.foreseen(plan)),
            lambda job: f"{job.task.name} · {self.named(plan, job)}",
            Asks(model, self.referees(), judges, self.seed),
            stored(folder),
            self.prices(model.served, {name: judge.served for name, judge in judges.items()}),
            {**slots, model.served: self.model.slots},
        )

    def foreseen(self, plan: Plan) -> Iterator[Job]:
        """Yield what the judge would be asked, by what is drawn."""
        for place, (task, items, _) in enumerate(plan):
            if self.judge is not None and judging.is_judged(task):
                jobs = [job for job in queue(plan, self.replicates) if job.label[0] == place]
                yield from judging.foreseen(self.judge, items, jobs)

    def named(self, plan: Plan, job: Job) -> str:
        """Return what a line of the forecast is called."""
        task, strategy, _ = job.label
        if strategy == judging.LAST and self.judge is not None:
            return self.judge.name
        return labelled(plan[task][2][strategy])

    def end(self, halt: Halt) -> None:
        """Raise Halted where the sweep was ended before its end."""
        if halt.at_limit:
            raise Halted(
                f"{halt.reason}; what was answered is graded and in {self.run}, "
                f"`tsbench fit run={self.run}` analyses it, and the same command with a higher "
                "limit goes on",
                halt.code,
            )
        if halt:
            raise Halted(
                f"{halt.reason}; what was answered is in {self.run}, and the same command goes on "
                "from there",
                halt.code,
            )

    def plan(self) -> Plan:
        """Return each task with its problems and strategies; ValueError where one is unusable."""
        tasks = self.task.tasks.values() if isinstance(self.task, TaskSuite) else [self.task]
        chosen = [task for task in tasks if task is not None]
        plan = [
            (task, unique(task.items(self.seed, self.limit)), self.strategies(task))
            for task in chosen
        ]
        judging.check(self.judge, self.model, self.verifiers, plan)
        return plan

    def strategies(self, task: Task) -> list[Strategy]:
        """Return a task's strategies; a suite leaves out, aloud, what the model cannot do."""
        if not isinstance(self.strategy, StrategySuite):
            if continues(self.strategy) and not self.model.continues:
                raise ValueError(
                    f"strategy: {self.strategy.name} continues a prefix, which model.api=chat "
                    "cannot; use model.api=completions with a template, or a model/dialect that can"
                )
            chosen: Sequence[Strategy] = [self.strategy]
        else:
            chosen = self.strategy.of(task.task_class)
            if not self.model.continues and any(map(continues, chosen)):
                left_out = ", ".join(dict.fromkeys(s.name for s in chosen if continues(s)))
                print(f"{task.name}: {left_out} left out, since model.api=chat continues no prefix")
                chosen = [s for s in chosen if not continues(s)]
        for strategy in chosen:
            parameter = getattr(getattr(strategy, "thinking", strategy), "parameter", None)
            if parameter is not None and parameter not in self.model.takes:
                raise ValueError(
                    f"strategy: {strategy.name} needs the parameter {parameter}, which the model's "
                    "endpoint does not take; it takes "
                    f"{', '.join(sorted(self.model.takes)) or 'none'} (see model/dialect, and "
                    "model.api=chat)"
                )
            verifier = getattr(strategy, "verifier", None)
            for named in getattr(strategy, "verifiers", (verifier,)):
                if named is not None and named not in self.verifiers:
                    raise ValueError(
                        f"strategy.verifier {named!r} is unknown; allowed: "
                        f"{', '.join(self.verifiers)}"
                    )
            if verifier is not None and compares(self.verifiers[verifier]) != compares(strategy):
                fit = [n for n, v in self.verifiers.items() if compares(v) == compares(strategy)]
                needs = "two replies compared" if compares(strategy) else "a score for each reply"
                raise ValueError(
                    f"strategy.verifier {verifier!r} does not suit {strategy.name}, which needs "
                    f"{needs}; allowed: {', '.join(fit) or 'none of those configured'}"
                )
        return list(chosen)

    def check(self, folder: Path, plan: Plan) -> None:
        """Refuse a folder of another config."""
        known = manifest.read(folder).get("jobs", {})
        for task, _, strategies in plan:
            for strategy in strategies:
                label, config = self.job(task, strategy)
                manifest.check_same(folder, known, label, config)

    def check_prices(self, plan: Plan) -> None:
        """Refuse a limit of dollars where the price of a model that would be asked is unknown."""
        if self.limits.dollars is None:
            return
        used = {getattr(s, "verifier", None) for _, _, strategies in plan for s in strategies}
        used |= {self.judge.name} if self.judge else set()
        judges = [model for name, model in self.judges().items() if name in used]
        for model in (self.model, *judges):
            if not self.price.of(None, model).known:
                raise ValueError(
                    f"limits.dollars={self.limits.dollars:g} needs the price of {model.name}, "
                    "which is unknown; give model.dollars_in and model.dollars_out, or a table "
                    "(price=NAME)"
                )

    def job(self, task: Task, strategy: Strategy) -> tuple[str, dict[str, Any]]:
        """Return the label and the config of one task and strategy."""
        used = getattr(strategy, "verifier", None)
        config = {
            "seed": self.seed,
            "replicates": self.replicates,
            "task": described(task),
            "model": described(self.model),
            "strategy": described(strategy),
            "verifiers": {used: described(self.verifiers[used])} if used else {},
            **({"judge": described(self.judge)} if judging.is_judged(task) else {}),
        }
        return f"{task.name} with {self.model.name} by {labelled(strategy)}", config

    async def ask(self, folder: Path, plan: Plan, box: Mapping[str, Any] | None) -> Halt:
        """Ask everything in one queue, then grade it; return why it ended before its end, if so."""
        halt = Halt()
        with signals(halt):
            try:
                await self.asked(folder, plan, box, halt)
            except asyncio.CancelledError:
                if not halt:
                    raise
        return halt

    async def asked(
        self, folder: Path, plan: Plan, box: Mapping[str, Any] | None, halt: Halt
    ) -> None:
        """Ask and grade until all is done, or until the halt."""
        began = time.time()
        async with AsyncExitStack() as stack:
            store = stack.enter_context(Store(folder))
            model = await stack.enter_async_context(self.model.connect())
            judges = {
                name: await stack.enter_async_context(judge.connect())
                for name, judge in self.judges().items()
            }
            served = {name: judge.served for name, judge in judges.items()}
            spend = Spend(self.limits, self.prices(model.served, served))
            progress = stack.enter_context(Progress(self.run, lambda: spend.dollars))
            runner = Runner(
                model,
                store,
                self.referees(),
                run=self.run,
                seed=self.seed,
                slots=self.model.slots,
                judges=judges,
                grade=grader(plan),
                on_reply=progress.count,
                on_spent=lambda *call: charge(spend, halt, *call),
            )
            halt.stops(runner.stop)
            stack.enter_context(hours(halt, self.limits))
            asks = Asks(model, self.referees(), judges, self.seed)
            ones = [(task, items[:1], strategies) for task, items, strategies in plan]
            jobs = Counter(job.label[:2] for job in queue(plan, self.replicates))
            progress.expect(fresh(queue(ones, self.replicates), asks), jobs)
            self.finish(folder, plan, model.served, served, [], box)
            problems.keep(folder, (item.problem for _, items, _ in plan for item in items))
            processes.begin()
            gc.freeze()  # what is loaded by now need not be walked again and again
            stack.callback(gc.unfreeze)
            done = await self.work(runner, plan, progress)
            loading = asyncio.create_task(asyncio.to_thread(kernels.begin))
            for place, (task, items, strategies) in enumerate(plan):
                if self.judge is not None and judging.is_judged(task):
                    await self.assess(runner, progress, task, items)
                elif not halt.by_signal:
                    await asyncio.to_thread(
                        grade, task, items, store, self.jobs, lambda: halt.by_signal
                    )
                await loading
                if not halt.by_signal:
                    ran = [(s, done.get((place, i), [])) for i, s in enumerate(strategies)]
                    self.record(folder, task, items, store, ran, model.served, served)
            seconds = time.time() - began
            call = {"started": began, "seconds": seconds, "calls": runner.calls}
            self.finish(folder, plan, model.served, served, [call], box)
        progress.summary()

    async def assess(
        self, runner: Runner, progress: Progress, task: Task, items: Sequence[Item]
    ) -> None:
        """Ask the judge about every reply to a task, and grade them by what it said."""
        assert self.judge is not None
        judge, store = self.judge, runner.store
        jobs = judging.assessments(judge, task, items, store, self.run, runner.model.served)
        progress.expect({task.name: judging.most(judge, jobs)}, {task.name: len(jobs)})
        await runner.work(jobs, lambda job, outcomes: progress.solved(task.name))
        judging.grade(judge, runner.judges[judge.name].served.endpoint, task.name, store)

    async def work(
        self, runner: Runner, plan: Plan, progress: Progress
    ) -> dict[tuple[int, int], list[Outcome]]:
        """Run every strategy on every problem; return the outcomes by task and strategy."""
        found: dict[tuple[int, int], dict[int, list[Outcome]]] = {}

        def on_done(job: Job, outcomes: list[Outcome]) -> None:
            task, strategy, problem = job.label
            done = found.setdefault((task, strategy), {})
            if not done or by_run(job.strategy):
                done[problem] = [light(outcome) for outcome in outcomes]
            progress.solved((task, strategy))

        await runner.work(queue(plan, self.replicates), on_done)
        return {
            place: [outcome for problem in sorted(done) for outcome in done[problem]]
            for place, done in found.items()
        }

    def referees(self) -> dict[str, Verifier]:
        """Return whatever is asked about replies: the verifiers and the judge, by name."""
        return {**self.verifiers, **({self.judge.name: self.judge} if self.judge else {})}

    def judges(self) -> dict[str, Model]:
        """Return the models of the verifiers that have one of their own, and of the judge."""
        models = {name: getattr(v, "model", None) for name, v in self.verifiers.items()}
        if self.judge is not None:
            models[self.judge.name] = self.judge.model
        return {name: model for name, model in models.items() if model is not None}

    def record(
        self,
        folder: Path,
        task: Task,
        items: Sequence[Item],
        store: Store,
        ran: Sequence[tuple[Strategy, list[Outcome]]],
        served: Served,
        judges: Mapping[str, Served],
    ) -> None:
        """Write the outcomes of one task, a file for each strategy and model."""
        ids = {item.problem.id for item in items}
        samples = store.frame(ANALYSED, task=task.name, model=served.model)
        asked = [judges.get(name, served).endpoint for name in samples["verifier"]]
        mine = (samples["endpoint"] == asked) & samples["problem_id"].isin(ids)
        samples = samples[mine].reset_index(drop=True)
        done = [(strategy, outcomes) for strategy, outcomes in ran if outcomes]
        if samples.empty or not done:
            return
        known = self.prices(served, judges)
        prices = Prices(known[served], {name: known[judge] for name, judge in judges.items()})
        save(folder, task.name, served.model, tables(samples, done, prices))

    def prices(self, served: Served, judges: Mapping[str, Served]) -> dict[Served, Price]:
        """Return what the tokens of each model cost."""
        models = self.judges()
        return {served: self.price.of(served.params, self.model)} | {
            judge: self.price.of(judge.params, models[name]) for name, judge in judges.items()
        }

    def made(self, known: manifest.Manifest, task: Task, problems: int) -> dict[str, Any]:
        """Return what makes a task's problems again: how, with which seed, and how many."""
        before = known.get("tasks", {}).get(task.name, {"problems": 0})
        most = max(problems, before["problems"])
        judge = self.judge if judging.is_judged(task) else None
        return {
            "recipe": remade(task),
            "seed": self.seed,
            "problems": most,
            **({"judge": judging.remembered(judge)} if judge else {}),
        }

    def finish(
        self,
        folder: Path,
        plan: Plan,
        served: Served,
        judges: Mapping[str, Served],
        calls: Sequence[Mapping[str, Any]],
        box: Mapping[str, Any] | None,
    ) -> None:
        """Write the manifest: what is run, with what, and what this call asked."""
        jobs = dict(self.job(task, s) for task, _, strategies in plan for s in strategies)
        prices = self.prices(served, judges)
        priced = {each: {**asdict(each), "price": prices[each].row()} for each in prices}
        with manifest.changing(folder) as known:
            tasks = {task.name: self.made(known, task, len(items)) for task, items, _ in plan}
            known |= {
                "schema_version": 1,
                "versions": manifest.versions(),
                "models": {**known.get("models", {}), served.model: priced[served]},
                "judges": {
                    **known.get("judges", {}),
                    **{name: priced[judge] for name, judge in judges.items()},
                },
                "price_table": {"date": self.price.date, "source": self.price.source},
                "jobs": {**known.get("jobs", {}), **jobs},
                "tasks": {**known.get("tasks", {}), **tasks},
                "sandbox": box or known.get("sandbox"),
                "command": " ".join(["tsbench sweep", *sys.argv[1:]]),
                "seed": self.seed,
                "calls": [*known.get("calls", []), *calls],
            }


def charge(spend: Spend, halt: Halt, served: Served, request: Request, response: Response) -> None:
    """Count a call, and end where a limit is reached."""
    spend.add(served, request, response)
    if (reached := spend.reached()) is not None:
        halt.now(reached, LIMIT)


def light(outcome: Outcome) -> Outcome:
    """Return an outcome without the text of its reply, which is in the store."""
    return replace(outcome, reply=outcome.reply and replace(outcome.reply, text=""))


@contextmanager
def hours(halt: Halt, limits: Limits) -> Iterator[None]:
    """End where the limit of hours is reached."""
    if limits.hours is None:
        yield
        return
    reason = f"limits.hours={limits.hours:g} is reached"
    loop = asyncio.get_running_loop()
    timer = loop.call_later(3600.0 * limits.hours, halt.now, reason, LIMIT)
    try:
        yield
    finally:
        timer.cancel()


def grader(plan: Plan) -> Grader:
    """Return what grades a reply at once, in a worker process, for declared oracles."""
    by_id = {
        (item.problem.task, item.problem.id): (task, item)
        for task, items, _ in plan
        for item in items
    }

    async def one(problem: Problem, text: str) -> Grade:
        work = [delayed(read)(*by_id[problem.task, problem.id], text)]
        (found,) = await asyncio.to_thread(Parallel(n_jobs=2, backend="loky"), work)
        return found.grade  # type: ignore[no-any-return]

    return one


def probed(tasks: Sequence[Task]) -> Mapping[str, Any] | None:
    """Return the sandbox that code tasks will be graded in, None where there are none.

    Raises SandboxUnavailable before anything is spent where none works.
    """
    code = [task for task in tasks if getattr(task, "sandboxed", False)]
    return sandbox.probe(any(getattr(task, "unsafe", False) for task in code)) if code else None


def unique(items: list[Item]) -> list[Item]:
    """Return the items; ValueError where two have one id."""
    seen: set[str] = set()
    for item in items:
        if item.problem.id in seen:
            raise ValueError(f"task: two problems have the id {item.problem.id!r}")
        seen.add(item.problem.id)
    return items


def labelled(strategy: Strategy) -> str:
    """Return a strategy's name, with its budget where no pool gives every budget."""
    pooled = type(strategy) in POOLED or isinstance(strategy, Composed)
    return strategy.name if pooled else f"{strategy.name}@{strategy.budget}"


def continues(strategy: Strategy) -> bool:
    """Say whether a strategy asks for continuations of a prefix, which a chat cannot give."""
    return bool(getattr(strategy, "continues", False))


def compares(part: Strategy | Verifier) -> bool:
    """Say whether a strategy or a verifier has replies compared in pairs."""
    return bool(getattr(part, "pairs", False))


def described(part: object) -> dict[str, Any]:
    """Return a config object's class and fields, and so on for the objects in them."""
    if not is_dataclass(part) or isinstance(part, type):
        return {"class": repr(part)}
    inner = {name: described(value) for name, value in vars(part).items() if is_dataclass(value)}
    return {"class": type(part).__name__, **asdict(part), **inner}
