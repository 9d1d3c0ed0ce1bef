"""What parts of images a model takes to be alike: principal components of patches as colours."""

from typing import Annotated

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import components, images
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Range

COUNT = 3  # red, green and blue


def pca(*, count: Annotated[int, Range(1, 64)] = 12, foreground: bool = False) -> Measure:
    """The first three principal components of the patches of a few images, fitted over all of them.

    Oquab et al. 2024, Figure 1, https://arxiv.org/abs/2304.07193.

    Args:
      count: images, spread evenly.
      foreground: whether the first component of a first fit parts the patches, and only those of
        the foreground are fitted and coloured.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        model = evaluation.model
        if model.network is None:
            raise NotMeasurable("raw pixels have no patches")
        see = evaluation.seeing({"": {"pool": "tokens"}})
        records = images.spread(evaluation, count)
        shown = images.seen(evaluation, records, apply=lambda *x: see(*x)[""])
        grid = model.network.towers["image"].grid
        x = shown.features.reshape(len(shown.images), *grid, -1)
        if x.shape[-1] < COUNT:
            raise NotMeasurable(f"tokens of {x.shape[-1]} numbers have no three components")
        among = _foreground(x) if foreground else np.ones(x.shape[:-1], bool)
        fitted = components.fit(x[among], count=COUNT)
        drawn = components.colours(components.scores(fitted, x), among=among)
        values = {f"share_{i}": float(share) for i, share in enumerate(fitted.shares, 1)}
        picture = Picture(_caption(fitted, len(x), foreground), _table(shown.images, drawn))
        return Shown("pictures", values, counts={"test": len(x)}, pictures=[picture])

    settings = {"count": count, "foreground": foreground}
    return Measure("pca", "principal components of patches", "", settings, measure)


def _foreground(x: np.ndarray) -> np.ndarray:
    """Which cells (N, h, w) of patches (N, h, w, D) are in front; all where too few would be."""
    flat = x.reshape(-1, x.shape[-1])
    first = components.scores(components.fit(flat, count=1), x)[..., 0]
    among = components.foreground(first)
    return among if among.sum() > COUNT else np.ones_like(among)


def _table(shown: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Images in one row above their components, up to six pairs side by side."""
    pairs = [
        np.concatenate([one, pictures.fit(two, len(one))], axis=0)
        for one, two in zip(shown, drawn, strict=True)
    ]
    return pictures.grid(pairs, columns=6)


def _caption(fitted: components.Components, count: int, foreground: bool) -> str:
    shares = ", ".join(f"{share:.0%}" for share in fitted.shares)
    of = "patches in front" if foreground else "patches"
    images = f"{count} image{'s' * (count != 1)}"
    return (
        f"First three principal components of the {of} of {images} as red, green and blue, "
        f"with {shares} of their variance"
    )
