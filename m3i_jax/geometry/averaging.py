"""Predictions averaged over what an image looks like: mirrored, larger, smaller."""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax.geometry.sliding import Apply
from m3i_jax.ranges import Ascending, Count, Range
from m3i_jax.types import Array

Pixels = Float[Array, "batch height width dim"]
Scales = Annotated[tuple[Annotated[float, Range(0.05, 20)], ...], Ascending(least=1)]


def mirror(x: Float[Array, "batch height width dim"]) -> Float[Array, "batch height width dim"]:
    """Left is right: (B, H, W, D) -> (B, H, W, D)."""
    return x[:, :, ::-1]


def averaged(
    apply: Apply,
    *,
    scales: Scales = (1.0,),
    flip: bool = False,
    multiple: Count = 1,
    back: Callable[[Pixels], Pixels] = mirror,
    then: Callable[[Pixels], Pixels] = lambda x: x,
) -> Apply:
    """The mean of a network's answers to an image at several sizes, and mirrored.

    As mmsegmentation tests: what is said at another size is brought to that of the image
    (bilinear), made probabilities of, and averaged, https://github.com/open-mmlab/mmsegmentation.

    Args:
      apply: of images (B, H, W, C) of any size -> (B, H, W, D).
      scales: of the sides; .5, .75, 1, 1.25, 1.5, 1.75 on ADE20K.
      flip: whether mirrored images are asked about, too.
      multiple: sides at other scales are the next multiples of it.
      back: mirrors an answer back; of heat maps joints change places, too (`heatmaps.mirrored`).
      then: what is averaged, such as `jax.nn.softmax` of logits.
    """

    def mean(images):
        images = jnp.asarray(images)
        answers = []
        for scale in scales:
            seen = _resized(images, _sides(images.shape[1:3], scale, multiple))
            answers.append(apply(seen))
            if flip:
                answers.append(back(apply(mirror(seen))))
        return sum(then(_resized(x, images.shape[1:3])) for x in answers) / len(answers)

    return mean


def _sides(sides: Sequence[int], scale: float, multiple: int) -> tuple[int, ...]:
    """Sides at a scale; at 1 they are as they are."""
    if scale == 1:
        return tuple(sides)
    return tuple(-(-int(side * scale + 0.5) // multiple) * multiple for side in sides)


def _resized(
    x: Float[Array, "batch height width dim"], sides: Sequence[int]
) -> Float[Array, "batch _height _width dim"]:
    """Bilinear, without smoothing what is made smaller, as in PyTorch."""
    if x.shape[1:3] == tuple(sides):
        return x
    return jax.image.resize(x, (len(x), *sides, x.shape[-1]), "bilinear", antialias=False)
