"""An ablation: cases trained with equal compute and several seeds, beside what a paper reports.

A study is a table of a paper, a case one of its rows: a config. Every run has a work directory of
its own, `WORKDIR/<case>/seed_<n>`, and its results lie there, in results.jsonl; what is finished is
not repeated. `comparison` makes a table and a picture of them.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax

from m3i_jax import jsonfile, ordinary
from m3i_jax.analysis.gallery import drawing
from m3i_jax.build import ConfigError, UserError, nearest
from m3i_jax.evaluation import datasets, models, results, run, tasks
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops
from m3i_jax.training.session import train

COSTS = "costs.json"  # of a step of each config, in model FLOPs
FAILED = 1  # status of a sweep of which not every run could be done
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
    frozen: Mapping[str, str] = MappingProxyType({})


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


class Further(NamedTuple):
    """What is made of a run beside its probes.

    perform: makes it, once; a status as `session.train` has.
    of_run: the result of its online branch, with what was made.  of_untrained: the same of the
      encoder as it was drawn.
    """

    perform: Callable[[Job], int] = lambda job: 0
    of_run: Callable[[Job, results.Result], results.Result] = lambda job, result: result
    of_untrained: Callable[[Job, results.Result], results.Result] = lambda job, result: result


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


def with_frozen(chosen: Sequence[Case], everything: Sequence[Case]) -> list[Case]:
    """The chosen cases, each behind those that its frozen towers are of."""
    by_name, ordered = {case.name: case for case in everything}, {}

    def take(case: Case) -> None:
        for name in case.frozen.values():
            take(by_name[name])
        ordered[case.name] = case

    for case in chosen:
        take(case)
    return list(ordered.values())


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
    cost_of = _remembered(Path(workdir))
    unit, jobs = cost_of(reference.config), []
    for case in cases:
        cost = cost_of(case.config)
        count = steps if budget == "images" else equal_steps(cost, reference=unit, steps=steps)
        for seed in range(seeds):
            config = _lasting(case.config, count, seed)
            config = _pictured(config, count) if pictured and not seed else config
            config = _with_towers(config, case, Path(workdir), seed)
            folder = _folder(workdir, case.name, seed)
            jobs.append(Job(case, seed, config, count, cost * count / 1e12, folder))
    return sorted(jobs, key=lambda job: job.seed)


def _folder(workdir: str | Path, name: str, seed: int) -> Path:
    """Work directory of a run."""
    return Path(workdir) / name / f"seed_{seed}"


def _with_towers(config: Config, case: Case, workdir: Path, seed: int) -> Config:
    """The same run with the frozen towers of other runs of the study."""
    weights = dict(config.weights)
    for tower, name in case.frozen.items():
        weights[tower] = {**weights[tower], "path": str(_folder(workdir, name, seed))}
    return replace(config, weights=weights)


def _remembered(workdir: Path) -> Callable[[Config], float]:
    """`step_flops`, which traces a step for seconds, once for each config of a work directory."""
    path = workdir / COSTS
    known = jsonfile.read(path) if path.is_file() else {}

    def cost(config: Config) -> float:
        text = json.dumps(config.to_dict(), sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if key not in known:
            known[key] = step_flops(config)
            path.parent.mkdir(parents=True, exist_ok=True)
            ordinary.written(path, (json.dumps(known, indent=1) + "\n").encode())
        return known[key]

    return cost


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

    A run that fails is said, and those behind it are performed; the status is then `FAILED`.

    leave: asked before every run for a status to leave with, 0 to go on.
    """
    left = [job for job in jobs if not finished(job)]
    done, start, failed = len(jobs) - len(left), clock(), 0
    for i, job in enumerate(left):
        if status := leave():
            return status
        spent = clock() - start
        eta = f", about {spent / i * (len(left) - i) / 60:.0f} min left" if i else ""
        where = f"run {done + i + 1} of {len(jobs)}"
        print(f"{where}: {job.case.name}, seed {job.seed}, {job.steps} steps{eta}", flush=True)
        try:
            if status := perform(job):
                return status
        except UserError as error:
            failed += 1
            print(f"{job.case.name}, seed {job.seed}, failed: {error}", flush=True)
    return FAILED if failed else 0


def perform(
    job: Job,
    workdir: str | Path,
    *,
    train_limit: int = 0,
    test_limit: int = 0,
    further: Further = Further(),
) -> int:
    """Trains and measures one run; returns the status of `session.train`.

    workdir: of the ablation, with the folders of the baselines: raw pixels and, for each seed, the
      untrained encoder. Cases have them in common, as an encoder starts from the same parameters
      whatever predicts it.
    train_limit, test_limit: images that probes are fitted and tested on; 0 = all.
    further: what is made beside the probes.
    """
    baselines = Path(workdir) / job.case.baselines
    limits = dict(train_limit=train_limit, test_limit=test_limit)
    watch = lambda context: [*monitor(context), *drawing(context)]  # noqa: E731
    if status := train(job.config, job.workdir, watch=watch) or further.perform(job):
        return status
    trained = [models.restore(job.workdir, branch=branch) for branch in TRAINED]
    compared = [models.untrained(trained[0]), models.pixels(trained[0])]
    known = {(r.branch, r.protocol["seed"]) for r in results.read(baselines)}
    for model, seed in zip(compared, (job.seed, 0), strict=True):
        if (model.branch, seed) not in known:
            measured = measure(model, **limits, seed=seed)
            drawn = model.branch != models.PIXELS
            measured = further.of_untrained(job, measured) if drawn else measured
            results.write(baselines, [measured])
    # Last, since this is what makes the run finished.
    measured = [measure(model, **limits, seed=job.seed, tera=job.tera) for model in trained]
    measured[-1] = further.of_run(job, measured[-1])
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
