"""Analyses: every measure of every model, in one forward pass; findings as they come."""

import datetime
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax.analysis import finding as findings
from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.measures import Measure, Rows, Shown, written
from m3i_jax.analysis.rows import observed
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.evaluation import datasets, results
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.run import versions

LOG = logging.getLogger(__name__)
SPLIT = "test"


class Seen(NamedTuple):
    """What is left of a model when the next one takes its place in memory.

    finding: of no measure yet, which says what was looked at.  place: of its findings.
    rows: by measure.
    """

    finding: Finding
    place: Path
    rows: dict[str, Rows]


def analyzed(
    measures: Sequence[Measure],
    compared: Iterable[Model],
    *,
    on: Sequence[Data] = (),
    place: str | Path | None = None,
    split: str = SPLIT,
    **settings: Any,
) -> Iterator[Finding]:
    """Looks into every model on every data set; gives each finding when it is written.

    What a model has nothing to show for is said and left out.

    Args:
      measures: see `measures.create`.
      compared: the models, one after another; measures that compare get every pair.
      on: data sets; none = that of the run that a model is of.
      place: folder or file of the findings; None = the work directory of the run that a model is
        of, and else the folder of the process.
      split: whose images are looked at, "test" or "train".
      settings: of `Evaluation`.

    Raises:
      NoSplit: there are no test images.
      NotMeasurable: no model has anything to show.
    """
    before: list[Seen] = []
    count = 0
    for model in compared:
        for of in on or [datasets.of_run(model)]:
            shown = datasets.of_training(of) if split == "train" else of
            evaluation = Evaluation(model, shown, **settings)
            where = Path(place or model.workdir or ".")
            seen = Seen(_of(evaluation), where, _rows(measures, evaluation))
            alone = _alone(measures, evaluation, seen)
            for one in itertools.chain(alone, pairs(measures, before, seen)):
                count += 1
                yield one
            before.append(seen)
    if not count:
        asked = ", ".join(written(measure) for measure in measures)
        raise NotMeasurable(f"there is nothing to show of {asked}; the log says why")


def require(
    measures: Sequence[Measure],
    model: Model,
    *,
    on: Sequence[Data] = (),
    split: str = SPLIT,
    **settings: Any,
) -> None:
    """That a model can be looked into by one of the measures at least, before any pass.

    See `analyzed`; measures without a look are those of weights, which cost nothing.

    Raises:
      NoSplit: there are no test images.
      NotMeasurable: why the last of the measures shows nothing, where none shows anything.
    """
    for of in on or [datasets.of_run(model)]:
        shown = datasets.of_training(of) if split == "train" else of
        evaluation = Evaluation(model, shown, **settings)
        _open(evaluation)
        refused = [why for measure in measures if (why := _refused(measure, evaluation))]
        if len(refused) == len(measures):
            raise refused[-1]


def _refused(measure: Measure, evaluation: Evaluation) -> NotMeasurable | None:
    """Why a measure has nothing to show of a model, as far as that is known before a pass."""
    try:
        if evaluation.model.network is None:
            raise NotMeasurable("raw pixels have no blocks")
        measure.look(evaluation) if measure.look else measure.measure(evaluation, None)
    except NotMeasurable as error:
        return error
    return None


def _rows(measures: Sequence[Measure], evaluation: Evaluation) -> dict[str, Rows]:
    """What all looks bring back, by measure, of one pass."""
    looks, model = {}, evaluation.model
    for measure in measures:
        if measure.look is not None:
            try:
                if model.network is None:
                    raise NotMeasurable("raw pixels have no blocks")
                looks[written(measure)] = measure.look(evaluation)
            except NotMeasurable as error:
                _say(measure, error, model.name)
    return observed(evaluation, looks, split=SPLIT)


def _alone(measures: Sequence[Measure], evaluation: Evaluation, seen: Seen) -> Iterator[Finding]:
    """Findings of one model."""
    for number, measure in enumerate(measures, 1):
        said = written(measure)
        if measure.look is not None and said not in seen.rows:
            continue  # it has been said why
        LOG.info("measure %d of %d: %s", number, len(measures), measure.title)
        try:
            shown = measure.measure(evaluation, seen.rows.get(said))
        except NotMeasurable as error:
            _say(measure, error, evaluation.model.name)
            continue
        yield _written(measure, shown, seen)


def pairs(measures: Sequence[Measure], before: Sequence[Seen], seen: Seen) -> Iterator[Finding]:
    """Findings of a model and each one before it on the same records, by measures that compare.

    Of two models that have no records in common the log says so.
    """
    for first, measure in itertools.product(before, measures):
        said = written(measure)
        if measure.across is None or not {said} <= first.rows.keys() & seen.rows.keys():
            continue
        if first.finding.records != seen.finding.records:
            _say_of_other_images(measure, before, first, seen)
            continue
        try:
            shown = measure.across(first.rows[said], seen.rows[said])
        except NotMeasurable as error:
            _say(measure, error, first.finding.model, seen.finding.model)
            continue
        pair = first.finding._replace(other=seen.finding.model, other_weights=seen.finding.weights)
        yield _written(measure, shown, seen._replace(finding=pair))


def _say_of_other_images(measure: Measure, before: Sequence[Seen], first: Seen, seen: Seen) -> None:
    """That two models are not compared, where they have no data set in common."""
    one, two = first.finding, seen.finding
    known = [of.finding for of in before if of.finding.model == one.model]
    if one.model != two.model and all(of.records != two.records for of in known):
        said = f"on {one.data}" if one.data == two.data else f"on {one.data} and on {two.data}"
        LOG.warning(
            "%s: %s and %s are not compared, as they have seen different images, %s",
            *(measure.title, one.model, two.model, said),
        )


def _of(evaluation: Evaluation) -> Finding:
    """A finding of no measure: which model on which records."""
    model = evaluation.model
    _open(evaluation)
    empty: dict[str, Any] = dict(measure="", title="", unit="", form="", values={}, labels={})
    return Finding(
        **empty,
        protocol={},
        counts={},
        model=model.name,
        weights=evaluation.weights,
        branch=model.branch,
        step=model.step,
        image=evaluation.image,
        data=evaluation.data.name,
        records=evaluation.records[SPLIT],
        versions=versions(),
    )


def _open(evaluation: Evaluation) -> None:
    """Opens the images that are looked at."""
    try:
        evaluation.source(SPLIT)
    except NoSplit as error:
        raise NoSplit(f"{error}; --split=train looks at the training images") from error


def _say(measure: Measure, error: NotMeasurable, *names: str) -> None:
    """Why a measure shows nothing of models, which are named once."""
    unsaid = [name for name in names if name not in str(error)]
    of = f" of {' and '.join(unsaid)}" if unsaid else ""
    LOG.warning("%s%s: %s", measure.title, of, error)


def _written(measure: Measure, shown: Shown, seen: Seen) -> Finding:
    """The finding that a line now says: written by one process, as all have found the same."""
    new = seen.finding._replace(
        measure=written(measure),
        title=measure.title,
        unit=measure.unit,
        form=shown.form,
        values=shown.values,
        labels=shown.labels,
        protocol={**measure.settings, **shown.protocol},
        counts=dict(shown.counts),
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    if jax.process_index():
        return new
    if shown.results:
        results.write(seen.place, shown.results)
    return findings.write(seen.place, new, drawn=shown.pictures)
