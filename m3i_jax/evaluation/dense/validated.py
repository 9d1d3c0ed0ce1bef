"""The question that a dense head is asked: what every pixel, or every joint, of a split is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import annotation_names
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.unreadable import Robust
from m3i_jax.data.views import annotated
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.evaluation.dense import goals, persons, posed, tested
from m3i_jax.evaluation.dense.goals import Goal
from m3i_jax.evaluation.dense.persons import Persons
from m3i_jax.evaluation.dense.predictor import Predictor, of_method
from m3i_jax.evaluation.dense.tested import Way
from m3i_jax.evaluation.detection import found
from m3i_jax.evaluation.detection import judged as objects
from m3i_jax.evaluation.question import Question, Reply, is_frozen, refuse_untracked, test_split
from m3i_jax.evaluation.tracking import followed
from m3i_jax.evaluation.tracking.followed import Search
from m3i_jax.evaluation.tracking.judged import judged, videos_of
from m3i_jax.training import schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.session import RunContext

TASKS = {"mask": "segmentation", "depth": "depth", "points": "pose", "objects": "detection"}
TASKS |= {"track": "tracking"}
LONG = 4  # times the short side is how long an image may be (ADE20K: 2048, 512)


class Left(Exception):
    """Somebody wants to leave in the middle of a pass."""


def opened(
    run: Run, wanted: schema.Validation, train: Source, workdir: Path, *, view: str
) -> Robust:
    """The test split, which says of pixels what the head is held against.

    view: as of `Method.says`.

    Raises:
      ConfigError: no test split, or it says nothing of that, or has no videos, or other categories
        of objects than training; a head that answers
        about a whole batch; a setting that is of classifiers alone; AP of data that do not say who
        all is there.
    """
    refuse_untracked(run, [_predictor(run, view).decoder])
    for name in ("ratio", "predictions"):
        if getattr(wanted, name) not in (None, "none"):
            raise ConfigError(
                f"config.validation.{name} is {getattr(wanted, name)!r}, which is of a "
                f"classifier; leave it out where '{TASKS[view]}' is validated"
            )
    test = test_split(run, train, workdir)
    if view == "track":
        videos_of(test)
    else:
        annotated.require(test, Wanted.of(test, view))
    if view == "objects":
        annotation_names.require_same_objects(train, test)
    if view == "points":
        count, known = run.method.said(view), len(Persons.of(test).skeleton.names)
        if count != known:
            raise ConfigError(f"config.objective.points is {count}, but '{test.name}' has {known}")
        if wanted.metric in schema.PoseScores._fields and not getattr(test, "truth", None):
            raise ConfigError(
                f"config.validation.metric is {wanted.metric}, but '{test.name}' does not say who "
                "all is in an image; take oks"
            )
    return test


def question(
    context: RunContext, wanted: schema.Validation, source: Source, *, view: str
) -> Question:
    """How good the head is that says `view` of pixels, by `wanted.metric`, the first if None."""
    run = context.run
    ways = run.mesh.shape["data"] * run.mesh.shape["fsdp"]
    rows = len(videos_of(source).videos if view == "track" else source)
    batch = -(-min(wanted.batch, rows) // ways) * ways  # every device has as many rows
    metric = wanted.metric or schema.MEASURES[view][0]
    if view == "points":
        ask, how = _of_points(context, source, batch)
    elif view == "objects":
        ask, how = _of_objects(context, source, batch)
    elif view == "track":
        ask, how = _of_tracks(context, source, batch)
    else:
        ask, how = _of_pixels(context, source, batch, view, _way(run, wanted))
    protocol = {"head": "own", "encoder": "frozen" if is_frozen(run) else "trained", **how}
    return Question(source, metric, metric in schema.ERRORS, ask, TASKS[view], protocol)


def _predictor(run: Run, view: str, params: Any = None) -> Predictor:
    """The head of a run, of given weights."""
    return of_method(run.method, run.network, params, view)


def _way(run: Run, wanted: schema.Validation) -> Way:
    """How images are shown: fitted to a size, where the validation or the crops name one."""
    if wanted.size:
        return Way(base=(LONG * wanted.size, wanted.size))
    return Way(base=tested.base_of(run.config))


def _goal(run: Run, view: str) -> Goal:
    """What the head of a run is judged by."""
    if view == "mask":
        return goals.of_categories(run.method.said(view))
    head = run.config.decoders[_predictor(run, view).decoder]
    return goals.of_depth(maximum=head.get("max_depth", 10.0))


def _of_pixels(
    context: RunContext, source: Source, batch: int, view: str, way: Way
) -> tuple[Callable[[Any], Reply | None], dict[str, Any]]:
    """What is asked about categories and depths, and the protocol."""
    run, goal = context.run, _goal(context.run, view)
    program = tested.compiled(_predictor(run, view), way, mesh=run.mesh)
    how = dict(way=way, batch=batch, program=program, seen=_until_asked(context, batch))

    def ask(params):
        try:
            found = tested.tested(_predictor(run, view, params), source, goal, **how)
        except Left:
            return None
        return Reply.of(found.numbers, found.intervals, found.images)

    return ask, way._asdict()


def _of_points(
    context: RunContext, source: Source, batch: int
) -> tuple[Callable[[Any], Reply | None], dict[str, Any]]:
    """What is asked about key points, and the protocol."""
    run, who = context.run, Persons.of(source)
    size = _predictor(run, "points").size
    shown = dict(size=size, flip=True, swapped=who.skeleton.swapped)
    program = posed.compiled(_predictor(run, "points"), **shown, mesh=run.mesh)
    how = dict(batch=batch, program=program, rows=_until_asked(context, 1), **shown)

    def ask(params):
        try:
            found = posed.posed(_predictor(run, "points", params), source, **how)
        except Left:
            return None
        return Reply.of(*persons.measured(who, source, found), len(found.number))

    return ask, {"image": size, "flip": True}


def _of_objects(
    context: RunContext, source: Source, batch: int
) -> tuple[Callable[[Any], Reply | None], dict[str, Any]]:
    """What is asked about objects, and the protocol."""
    run = context.run
    predictor = _predictor(run, "objects")
    program = found.compiled(predictor, mesh=run.mesh)
    how = dict(batch=batch, program=program, seen=_until_asked(context, batch))
    scored = dict(kinds=run.method.said("objects"), masks=run.method.outlined)

    def ask(params):
        try:
            pairs = found.found(_predictor(run, "objects", params), source, **how)
            numbers, images, *_ = objects.judged(pairs, **scored)
        except Left:
            return None
        return Reply.of(numbers, {}, images)

    return ask, {"image": predictor.size}


def _of_tracks(
    context: RunContext, source: Source, batch: int
) -> tuple[Callable[[Any], Reply | None], dict[str, Any]]:
    """What is asked about objects of videos, and the protocol."""
    run, videos = context.run, videos_of(source)
    predictor = _predictor(run, "track")
    search = Search.of(run.config.crops, predictor.size[0])
    programs = followed.compiled(predictor, search, mesh=run.mesh)
    how = dict(search=search, batch=batch, programs=programs, seen=_until_asked(context, 1))

    def ask(params):
        try:
            tracks = followed.followed(_predictor(run, "track", params), videos, **how)
        except Left:
            return None
        return Reply.of(judged(tracks), {}, len(tracks))

    return ask, search._asdict()


def _until_asked(context: RunContext, every: int) -> Callable[[Iterator], Iterator]:
    """A pass that ends as soon as somebody wants to leave; all processes ask at the same rows."""

    def passed(rows):
        for number, row in enumerate(rows):
            if number % every == 0 and context.asked():
                raise Left
            yield row

    return passed
