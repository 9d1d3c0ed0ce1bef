"""What a classifier answers, row by row: how often it is right, and a file of it all."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.checkpoints import storage
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.types import Array

BEST = 5  # categories that are kept of each row


class Answers(NamedTuple):
    """What is said of N images.

    labels: (N,) int32, -1 = none.  best: (N, k) int32, categories by falling probability, k = 5 or
    all; −1 in rows whose scores are no numbers.  probability: (N, k) float32, theirs.
    """

    labels: Array
    best: Array
    probability: Array


def answers(scores: Array, labels: Array, *, binary: bool = False) -> Answers:
    """The best categories of each row; of equal scores the lower category goes first.

    scores: (N, C), logits.  labels: (N,) int.
    binary: whether each category has a probability of its own, and not one of all of them.
    """
    count = min(BEST, scores.shape[-1])
    scores = scores.astype(jnp.float32)
    probability = jax.nn.sigmoid(scores) if binary else jax.nn.softmax(scores, axis=-1)
    _, best = jax.lax.top_k(scores, count)
    sound = jnp.isfinite(scores).all(-1, keepdims=True)
    shown = jnp.take_along_axis(probability, best, axis=-1)
    return Answers(labels, jnp.where(sound, best, -1), jnp.where(sound, shown, 0.0))


def measures(answered: Answers, *, classes: int) -> dict[str, float]:
    """Shares over exactly the rows that have a label.

    top1, top5: whose label is the best category, or among the best five (of more than 5 only).
    mean_per_class: the mean over the categories that there are of the share of right answers in
      each: of sets that are not balanced (Kornblith et al. 2019, https://arxiv.org/abs/1805.08974).
    """
    labelled = np.asarray(answered.labels) >= 0
    labels, best = np.asarray(answered.labels)[labelled], np.asarray(answered.best)[labelled]
    if not len(labels):
        raise NotMeasurable("none of the images that can be read has a label")
    right = best[:, 0] == labels
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    there = counts > 0
    shares = {"top1": right.sum() / len(labels)}
    if classes > BEST:
        shares["top5"] = (best == labels[:, None]).any(1).sum() / len(labels)
    shares["mean_per_class"] = (hits[there] / counts[there]).mean()
    return {name: float(share) for name, share in shares.items()}


def write(path: Path, answered: Answers, names: Sequence[str], classes: Sequence[str]) -> Path:
    """The answers as a file that is whole or not there; its suffix says which.

    .npz: names, labels, best, probability, and the categories' own names as classes.
    .jsonl: a line for each image, {"name", "label", "best": [[category, probability], ...]}.

    Raises:
      Unwritable: the disk is full or read-only.
    """
    if path.suffix == ".jsonl":
        data = "".join(line + "\n" for line in _lines(answered, names, classes)).encode()
    else:
        buffer = io.BytesIO()
        columns = {name: np.asarray(column) for name, column in answered._asdict().items()}
        np.savez(buffer, names=np.asarray(names), classes=np.asarray(classes), **columns)
        data = buffer.getvalue()
    with storage.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.publish(path, data)
    return path


def _lines(answered: Answers, names: Sequence[str], classes: Sequence[str]):
    columns = (np.asarray(column).tolist() for column in answered)
    for name, label, best, probability in zip(names, *columns, strict=True):
        shown = [
            [classes[c], round(p, 6)] for c, p in zip(best, probability, strict=True) if c >= 0
        ]
        yield json.dumps(
            {"name": name, "label": classes[label] if label >= 0 else None, "best": shown}
        )
