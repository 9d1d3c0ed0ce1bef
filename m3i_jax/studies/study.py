"""An ablation: cases trained with equal compute and several seeds, beside what a paper reports.

A study is a table of a paper, a case one of its rows: a config. Every run has a work directory of
its own, `WORKDIR/<case>/seed_<n>`, and its results lie there, in results.jsonl; what is finished is
not repeated. `comparison` makes a table and a picture of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax

from m3i_jax.analysis.gallery import drawing
from m3i_jax.build import ConfigError, nearest
from m3i_jax.evaluation import datasets, models, results, run, tasks
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops
from m3i_jax.training.session import train

TRAINED = ("ema", "online")
PROBES = (tasks.linear(), tasks.knn(k=20))
MEASURES = {task.title: task.metric for task in PROBES}


class Case(NamedTuple):
    """What is compared with others; several studies may have a case in common.

    name: in commands and folders.  title: in words.
    paper: what the paper reports, percents or words, ImageNet's top-1 first; None = nothing.
    config: of its run, but for length and seed.
    baselines: folder of the results of its encoder untrained, and of raw pixels.
    """

    name: str
    title: str
    paper: tuple[float | str | None, ...]
    config: Config
    baselines: str = "baselines"


class Study(NamedTuple):
    """A table of a paper, and of ours.

    paper: what its columns are called.  measures: our columns, and the metric, a share, of each.
    """

    title: str
    cases: tuple[Case, ...]
    paper: tuple[str, ...] = ("ImageNet, paper", "COCO, paper")
    measures: Mapping[str, str] = MappingProxyType(MEASURES)


class Job(NamedTuple):
    """One run.  tera: 10¹² model FLOPs of the whole of it."""

    case: Case
    seed: int
    config: Config
    steps: int
    tera: float
    workdir: Path


class Collected(NamedTuple):
    """All results of a work directory: by case, and by folder and branch of baselines."""

    cases: dict[str, list[results.Result]]
    baselines: dict[tuple[str, str], list[results.Result]]


def choose(studies: Sequence[Study], names: Sequence[str]) -> list[Study]:
    """The studies with the cases of these names only; all of them where there are no names."""
    there = [case.name for study in studies for case in study.cases]
    for name in names:
        if name not in there:
            raise ConfigError(f"there is no case '{name}' to compare{nearest(name, there)}")
    kept = (
        study._replace(cases=tuple(c for c in study.cases if not names or c.name in names))
        for study in studies
    )
    return [study for study in kept if study.cases]


def step_flops(config: Config) -> float:
    """Model FLOPs of one step: forward, backward and targets of a whole batch."""
    # Lengths do not matter here, so the data set need not be opened for them.
    run = assemble(replace(config, duration="1 steps", warmup="0 steps"), images=config.batch)
    return flops.per_image(run).model * config.batch


def equal_steps(cost: float, *, reference: float, steps: int) -> int:
    """Steps of `cost` FLOPs that come closest to `steps` steps of `reference` FLOPs."""
    return max(1, round(steps * reference / cost))


def cases(studies: Sequence[Study]) -> list[Case]:
    """Every case once, in the order of the studies."""
    return list({case.name: case for study in studies for case in study.cases}.values())


def plan(
    cases: Sequence[Case],
    workdir: str | Path,
    *,
    reference: Case,
    steps: int,
    seeds: int,
    budget: str = "compute",
    pictured: bool = False,
) -> list[Job]:
    """Every run, seed by seed, so that what is finished early can be compared already.

    budget: "compute" gives every run the model FLOPs of `steps` steps of the reference, "images"
      gives it `steps` steps.
    pictured: whether the first seed's runs keep what a page shows of them: curves of the whole
      length, pictures of the step, nearest neighbours on the way.
    """
    unit, jobs = step_flops(reference.config), []
    for case in cases:
        cost = step_flops(case.config)
        count = steps if budget == "images" else equal_steps(cost, reference=unit, steps=steps)
        for seed in range(seeds):
            config = _lasting(case.config, count, seed)
            config = _pictured(config, count) if pictured and not seed else config
            folder = Path(workdir) / case.name / f"seed_{seed}"
            jobs.append(Job(case, seed, config, count, cost * count / 1e12, folder))
    return sorted(jobs, key=lambda job: job.seed)


def _lasting(config: Config, steps: int, seed: int) -> Config:
    """A config of a run that long; nothing is drawn or probed on the way."""
    return replace(
        config,
        seed=seed,
        duration=f"{steps} steps",
        warmup="10 percent",
        log=dict(every=50, images=0),
        checkpoint=dict(every=250, keep=2),
        monitor=dict(every=0),
    )


def _pictured(config: Config, steps: int) -> Config:
    """The same run with some sixty lines in its log, three sets of pictures and four monitors."""
    quarter = max(1, steps // 4)
    log = dict(every=max(1, steps // 60), images=2 * quarter, report=False)
    return replace(config, log=log, monitor=dict(every=quarter, bank=1000, queries=500, most=0))


def finished(job: Job) -> bool:
    """Whether both branches of the run have been measured at its last step."""
    there = {r.branch for r in results.read(job.workdir) if r.step == job.steps}
    return there >= set(TRAINED)


def sweep(
    jobs: Sequence[Job],
    perform: Callable[[Job], int],
    *,
    leave: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Performs what is not finished, one after another; ends early with a status that is not 0.

    leave: asked before every run for a status to leave with, 0 to go on.
    """
    left = [job for job in jobs if not finished(job)]
    done, start = len(jobs) - len(left), clock()
    for i, job in enumerate(left):
        if status := leave():
            return status
        spent = clock() - start
        eta = f", about {spent / i * (len(left) - i) / 60:.0f} min left" if i else ""
        where = f"run {done + i + 1} of {len(jobs)}"
        print(f"{where}: {job.case.name}, seed {job.seed}, {job.steps} steps{eta}", flush=True)
        if status := perform(job):
            return status
    return 0


def perform(
    job: Job,
    workdir: str | Path,
    *,
    train_limit: int = 0,
    test_limit: int = 0,
    also: Callable[[Job], Mapping[str, float]] = lambda job: {},
) -> int:
    """Trains and measures one run; returns the status of `session.train`.

    workdir: of the ablation, with the folders of the baselines: raw pixels and, for each seed, the
      untrained encoder. Cases have them in common, as an encoder starts from the same parameters
      whatever predicts it.
    train_limit, test_limit: images that probes are fitted and tested on; 0 = all.
    also: further metrics of a run, written beside those of its online branch.
    """
    baselines = Path(workdir) / job.case.baselines
    limits = dict(train_limit=train_limit, test_limit=test_limit)
    watch = lambda context: [*monitor(context), *drawing(context)]  # noqa: E731
    if status := train(job.config, job.workdir, watch=watch):
        return status
    trained = [models.restore(job.workdir, branch=branch) for branch in TRAINED]
    compared = [models.untrained(trained[0]), models.pixels(trained[0])]
    known = {(r.branch, r.protocol["seed"]) for r in results.read(baselines)}
    for model, seed in zip(compared, (job.seed, 0), strict=True):
        if (model.branch, seed) not in known:
            results.write(baselines, [measure(model, **limits, seed=seed)])
    # Last, since this is what makes the run finished.
    measured = [measure(model, **limits, seed=job.seed, tera=job.tera) for model in trained]
    measured[-1].metrics.update(also(job))
    results.write(job.workdir, measured)
    jax.clear_caches()  # programs of this case are of no use to the next one
    return 0


def measure(
    model: models.Model, *, train_limit: int = 0, test_limit: int = 0, **protocol
) -> results.Result:
    """All `PROBES` of one encoder as one result; `protocol` is written beside them."""
    limits = dict(train_limit=train_limit, test_limit=test_limit)
    found = run.measure(PROBES, Evaluation(model, datasets.of_run(model), **limits))
    metrics = {name: value for one in found for name, value in one.metrics.items()}
    intervals = {name: ends for one in found for name, ends in one.intervals.items()}
    protocol = {**protocol, **{key: value for one in found for key, value in one.protocol.items()}}
    protocol |= {"jax": jax.__version__, "device": jax.devices()[0].device_kind}
    # Cases may read something beside the images, such as captions: the data are the same.
    said = dict(data=found[-1].data.partition(":")[0], task="")
    return found[-1]._replace(metrics=metrics, intervals=intervals, protocol=protocol, **said)


def collect(workdir: str | Path, studies: Sequence[Study], *, branch: str = "ema") -> Collected:
    """What has been measured so far, the newest result of every run.

    Raises:
      ConfigError: nothing has.
    """
    workdir = Path(workdir)

    def newest(folder: Path, branch: str) -> list[results.Result]:
        latest = {r.protocol["seed"]: r for r in results.read(folder) if r.branch == branch}
        return [latest[seed] for seed in sorted(latest)]

    chosen = cases(studies)
    runs = {
        case.name: [r for run in _runs(workdir / case.name) for r in newest(run, branch)]
        for case in chosen
    }
    if not any(runs.values()):
        raise ConfigError(f"'{workdir}' has no results of an ablation to make a table of")
    folders = [(case.baselines, b) for case in chosen for b in ("untrained", "pixels")]
    return Collected(runs, {key: newest(workdir / key[0], key[1]) for key in folders})


def _runs(folder: Path) -> list[Path]:
    """Work directories of a case in the order of their seeds."""
    return sorted(folder.glob("seed_*"), key=lambda path: int(path.name.removeprefix("seed_")))
