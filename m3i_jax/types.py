"""The records that every room speaks: boxes, batches, views, features.

All fields are arrays (or `None`), so each record is a pytree that passes through `jit`.
Boolean masks everywhere: True = visible, or first image of a mix.
"""

from typing import Any, NamedTuple

Array = Any  # a jax or numpy array
Grid = tuple[int, int]  # (rows, columns) of tokens


class Box(NamedTuple):
    """Where a view was cut, in pixels of its own (possibly already flipped) image frame.

    Every field has shape (B,). `flip` is 1 where the image was mirrored before the cut and
    `frame` is the width of the image, which maps flipped frames onto each other.
    """

    top: Array
    left: Array
    height: Array
    width: Array
    flip: Array
    frame: Array

    @classmethod
    def of(cls, box: "Box | Array") -> "Box":
        """Reads a packed (B, 6) array, columns in the order of the fields; a Box passes."""
        return box if isinstance(box, cls) else cls(*(box[..., i] for i in range(len(cls._fields))))


class Batch(NamedTuple):
    """What the host hands to a step.

    images: name -> (B, H, W, 3) uint8.   boxes: name -> (B, 6) float32, see `Box.of`.
    label: (B,) int32, -1 = no category.  text: (B, T) int32 tokens, 0 = padding; all 0 = no text.
    """

    images: dict[str, Array]
    boxes: dict[str, Array]
    label: Array | None = None
    text: Array | None = None


class Region(NamedTuple):
    """One of the images that share a mixed view.

    cells: (B, h, w) bool, where it is seen; None where images are blended or cut by pixels.
    owner: (B,) int32, the sample that each row shows, or (B, k), several of them.
    box: the crop that the row shows.
    share: (B,), how much of the view it makes up, where that differs between rows.
    """

    cells: Array | None
    owner: Array
    box: Box | None = None
    share: Array | None = None


class View(NamedTuple):
    """What an encoder looks at.

    data: (B, H, W, C) float32 normalised images, (B,) int32 labels or (B, T) int32 tokens.
    box: where an image was cut.  present: (B,) bool, which samples have this view (None = all).
    regions: the images that a mixed view is made of, by name.
    """

    data: Array
    box: Box | None = None
    present: Array | None = None
    regions: dict[str, Region] | None = None


class Features(NamedTuple):
    """What an encoder returns.

    tokens: (B, n, D), on the grid in row-major order, or only the visible ones.
    pooled: (B, D), class token, text feature or row of a table.
    index: (B, n) int32, the grid cell of each token; None = all cells in order.
    candidates: (M, D), every code that `pooled` could have been (a class table); None = the batch.
    choice: (B,) int32, which candidate `pooled` is; None = the row's own number. (B, n) int32 for
      tokens that are words of a vocabulary.
    base: (B, n, D0), the tokens that a head made `tokens` and `pooled` of.
    layers: (depth, B, n, D) patch tokens after every block, on request; encoders with stages return
      a tuple with one (B, n, D) of its own shape for each block.
    attention: (depth, B, heads, q, k) after softmax, class token first, on request; of windows, a
      tuple with one (B, windows, heads, q, k) for each block.
    """

    tokens: Array | None = None
    pooled: Array | None = None
    index: Array | None = None
    candidates: Array | None = None
    choice: Array | None = None
    base: Array | None = None
    layers: Array | None = None
    attention: Array | None = None
