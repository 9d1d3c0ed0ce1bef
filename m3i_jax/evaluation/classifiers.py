"""What gives scores of the classes of a data set to images: three ways, seen alike."""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from m3i_jax import metrics
from m3i_jax.data.sources import protocol
from m3i_jax.evaluation import foreign_head, image_text, prompts, terms, zero_shot
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import probe
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.texts import OneOf
from m3i_jax.training import reading
from m3i_jax.types import Array, Features

LOG = logging.getLogger(__name__)
CHUNK = 4096  # rows whose scores are compared at once


class Scored(NamedTuple):
    """Images with a label, and what each class scores; softmax makes probabilities of them.

    scores: (N, C).   labels: (N,), each 0 … C − 1.
    """

    scores: Float[np.ndarray, "rows classes"]
    labels: Int[np.ndarray, " rows"]


class Classifier(NamedTuple):
    """A classifier of the images of a data set's test split.

    scored: (transform of the images, or None) -> Scored.
    protocol: what decided it, for the results.  counts: rows that it was made of.
    """

    scored: Callable[[Transform | None], Scored]
    protocol: dict[str, Any]
    counts: dict[str, int]


def linear(evaluation: Evaluation, *, what: str) -> Classifier:
    """The exact logistic regression on frozen features of the training split."""
    train, test = evaluation.labelled(what=what)
    fitted = lbfgs(train, test)

    def scored(transform: Transform | None) -> Scored:
        rows = _labelled(evaluation.features("test", transform=transform))
        return Scored(probe.logits(fitted.classifier, rows.features), rows.labels)

    return Classifier(scored, {"l2": fitted.l2}, {"train": len(train.labels)})


def own_head(evaluation: Evaluation, *, what: str) -> Classifier:
    """The head that labels have trained, a run's or a file's; of its classes those of the data set
    count.

    Raises:
      NotMeasurable: the model has none, or lacks a class of the data set.
    """
    model = evaluation.model
    if model.branch == "file" and model.config is None:
        head = foreign_head.of(model, what=what)
        scores_of, settings = functools.partial(_of_file, evaluation, head), {}
        own, count = head.classes, len(head.bias)
    else:
        pair = image_text.own_pair(evaluation, "label", what=what)
        batchwise = bool({pair.decoder, *pair.heads} & model.network.untracked)
        settings = {"statistics": "of the test set"} if batchwise else {}
        each = _by_the_batch if batchwise else _one_by_one
        scores_of, own = functools.partial(each, evaluation, pair), own_classes(evaluation)
        count = len(own)
    protocol.require_labels(evaluation.source("test"), split="test", what=what)
    columns, matched = _columns(evaluation, own, count, what=what)
    settings = {"classes": len(columns), "own_classes": count, **matched, **settings}

    def scored(transform: Transform | None) -> Scored:
        rows = _labelled(scores_of(transform))
        return Scored(rows.features[:, columns], rows.labels)

    return Classifier(scored, settings, {})


def _columns(
    evaluation: Evaluation, own: Sequence[str], count: int, *, what: str
) -> tuple[np.ndarray, dict[str, str]]:
    """Which score is of which class of the data set: by name, or of a file that has as many
    classes under other names or none, in their order."""
    model = evaluation.model
    unknown = [name for name in evaluation.classes if name not in own]
    if not unknown:
        return np.array([own.index(name) for name in evaluation.classes]), {}
    if model.config is None and count == len(evaluation.classes):
        LOG.warning("the classes of '%s' are taken in the order of the data set's", model.name)
        return np.arange(count), {"matched": "by order"}
    raise NotMeasurable(
        f"{what} needs the classes of the data set among those that '{model.name}' "
        f"was trained on, which lack {protocol.listed(unknown)}"
    )


def _of_file(
    evaluation: Evaluation, head: foreign_head.Head, transform: Transform | None
) -> FeatureSet:
    """Scores of all categories of a file's linear layer."""

    def scores(params: Any, images: Array) -> Array:
        return head.scores(evaluation.encode(params, images))

    digest = hashlib.sha256(head.kernel.tobytes() + head.bias.tobytes()).hexdigest()[:16]
    name = f"classifier of the file {digest}"
    return evaluation.mapped("test", scores, name=name, transform=transform)


def _one_by_one(
    evaluation: Evaluation, pair: terms.Pair, transform: Transform | None
) -> FeatureSet:
    """Scores of all categories of the run."""

    def scores(params: Any, images: Array) -> Array:
        features = evaluation.encode(params, images)
        return terms.logits(evaluation.model.network, params, pair, features)

    name = f"label by {pair.decoder}"
    return evaluation.mapped("test", scores, name=name, transform=transform)


def _by_the_batch(
    evaluation: Evaluation, pair: terms.Pair, transform: Transform | None
) -> FeatureSet:
    """The same of a head with batch norms, whose batch is the test set: padding never counts."""

    def summary(params: Any, images: Array) -> Array:
        features = evaluation.encode(params, images)
        pooled = features.tokens.mean(1) if features.pooled is None else features.pooled
        return jnp.stack([features.tokens.mean(1), pooled], 1)

    rows = evaluation.mapped("test", summary, name="mean, class", transform=transform)
    # A mean of one token is that token, so whatever is pooled is what it was.
    mean, pooled = jnp.asarray(rows.features[:, :1]), jnp.asarray(rows.features[:, 1])
    model = evaluation.model
    scores = terms.logits(model.network, model.params, pair, Features(tokens=mean, pooled=pooled))
    return rows._replace(features=np.asarray(scores))


def by_names(
    evaluation: Evaluation, *, what: str, templates: str = "ensemble", names: str = ""
) -> Classifier:
    """Zero-shot: the names of the classes in sentences, see `zero_shot` and `prompts`."""
    compared = image_text.of(evaluation, what=what)
    protocol.require_labels(evaluation.source("test"), split="test", what=what)
    called = prompts.class_names(evaluation.classes, file=names)
    frames = prompts.templates(templates)
    texts = compared.text(zero_shot.sentences(called, frames))
    classes = zero_shot.prototypes(texts.reshape(len(called), len(frames), -1))
    if alike := zero_shot.alike(classes):
        names_of = protocol.listed(called[i] for i in alike)
        LOG.warning(
            "the text tower reads classes alike, and none is told from the other: %s", names_of
        )

    def scored(transform: Transform | None) -> Scored:
        vectors = evaluation.mapped("test", compared.image, name=compared.name, transform=transform)
        rows = _labelled(vectors)
        return Scored(zero_shot.scores(rows.features, classes), rows.labels)

    settings = {"sentences": len(frames), "classes": len(called), "tokens": compared.tokens}
    return Classifier(scored, settings, {})


CLASSIFIERS = {"linear": linear, "own_head": own_head, "zero_shot": by_names}
Name = Annotated[str, OneOf(*CLASSIFIERS)]


def own_classes(evaluation: Evaluation) -> tuple[str, ...]:
    """Names of the classes that the rows of the run's own table are of, in order."""
    model = evaluation.model
    if model.classes or model.workdir is None:
        return model.classes
    return reading.read(model.config, model.workdir, split="train").classes


def hits(scored: Scored, *, k: int = 1) -> Bool[np.ndarray, " rows"]:
    """Whether each row's label is among its k highest scores; of equal ones the lower class is."""
    chunks = range(0, len(scored.labels), CHUNK)
    parts = ([x[i : i + CHUNK] for x in scored] for i in chunks)
    right = [metrics.hits(jnp.asarray(z, jnp.float32), jnp.asarray(y), k=k) for z, y in parts]
    return np.concatenate([np.asarray(part) for part in right])


def shares(scored: Scored) -> dict[str, float | None]:
    """Top-1 and, of more than 5 classes, top-5."""
    top5 = float(hits(scored, k=5).mean()) if scored.scores.shape[1] > 5 else None
    return {"top1": float(hits(scored).mean()), "top5": top5}


def _labelled(rows: FeatureSet) -> FeatureSet:
    """The rows with a label."""
    kept = rows.labels >= 0
    return FeatureSet(rows.features[kept], rows.labels[kept])
