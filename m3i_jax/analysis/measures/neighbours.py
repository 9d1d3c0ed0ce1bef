"""What a model takes to be alike: the nearest neighbours of a few images."""

from typing import Annotated

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import images, tokens
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.analysis.neighbours import nearest
from m3i_jax.data.sources.subset import places
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Range


def neighbours(
    *,
    queries: Annotated[int, Range(1, 64)] = 8,
    k: Annotated[int, Range(1, 32)] = 5,
    pool: tokens.Pool | None = None,
) -> Measure:
    """The images of largest cosine with each of a few, of the features that evaluations use.

    Args:
      queries: images, spread evenly, whose neighbours are shown.
      k: how many of each, the image itself left out.
      pool: "mean" or "cls"; None = as features are.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        pooling = {} if evaluation.model.network is None else {"pool": pool}
        table = evaluation.features("test", **pooling)
        if len(table.labels) < 2:
            raise NotMeasurable("neighbours need two images that can be read")
        asked = places(len(table.labels), queries)
        near, cosines = nearest(table.features, asked, k=k)
        shown = images.seen(evaluation, np.unique(table.index[np.c_[asked, near]]))
        place = {record: number for number, record in enumerate(shown.index.tolist())}
        drawn = []
        for one, others, alike in zip(asked, near, cosines, strict=True):
            tiles = [shown.images[place[table.index[row]]] for row in (one, *others)]
            names = [images.name(evaluation, table.labels[row]) for row in (one, *others)]
            drawn.append(_picture(tiles, names, alike))
        counts = {"test": len(table.labels), "queries": len(asked)}
        values = _same(table.labels[asked], table.labels[near])
        return Shown("pictures", values, counts=counts, pictures=drawn)

    settings = {"queries": queries, "k": k, "pool": pool}
    return Measure("neighbours", "nearest neighbours", "", settings, measure)


def _picture(tiles: list[np.ndarray], names: list[str], cosines: np.ndarray) -> Picture:
    """An image and its neighbours in a row, what they are and how near."""
    near = [f"{name} {cosine:.2f}".strip() for name, cosine in zip(names[1:], cosines, strict=True)]
    image = pictures.grid(tiles, columns=len(tiles), captions=[names[0] or "image", *near])
    return Picture(f"{names[0] or 'An image'} and its nearest: {', '.join(near)}", image)


def _same(own: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Share of the neighbours shown that have the class of their image, where both have one."""
    known = (own[:, None] >= 0) & (others >= 0)
    return {"same_class": float((own[:, None] == others)[known].mean())} if known.any() else {}
