"""The records that every package speaks: boxes, batches, views, features; and the names of axes.

All fields are arrays (or `None`), so each record is a pytree that passes through `jit`.
Boolean masks everywhere: True = visible, or first image of a mix.

Annotations say what arrays hold and how their axes are called, `Float[Array, "batch tokens dim"]`
(jaxtyping). Axes of one name have one length within a signature, and within a record; one that
starts with _ has the length that it has. The same words mean the same everywhere:

    batch        samples of a batch, over all devices      *positions   any leading axes
    height       rows of pixels                            *shape       any axes
    width        columns of pixels                         rows         positions in one axis; or,
    channels     of an image, red, green, blue                          before columns, of a grid
    tokens       of a sequence, row-major where of a grid  columns      of a grid of tokens
    dim          of a token or a pooled code               depth        blocks of an encoder
    candidates   codes that the right one is among         heads        of attention
    classes      logits of a categorical                   queries      tokens that attend
    prototypes   directions that codes are assigned to     keys         tokens attended to
    vocabulary   codes of a codebook, words of a text      length       of a text, padding included
    objects      of an image, padding included             boxes        any, of one image
    found        objects that a network says are there     points       of a map, that are read
    outputs      of a head of queries, one for each layer
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Array = jax.Array | np.ndarray
Scalar = float | np.floating | Float[Array, ""]  # a number, known or traced
Grid = tuple[int, int]  # (rows, columns) of tokens


class Share(NamedTuple):
    """Which rows of every batch a process reads: `blocks` of `count` equal ones, in their order.

    Of processes whose devices hold the same rows, as along `tensor`, each reads all of these.
    """

    blocks: tuple[int, ...] = (0,)
    count: int = 1

    def rows(self, batch: int) -> int:
        """How many of a batch."""
        return batch // self.count * len(self.blocks)

    def number(self, index: int, batch: int) -> int:
        """Which row of the batch the one with this index is."""
        size = batch // self.count
        return self.blocks[index // size] * size + index % size


class Box(NamedTuple):
    """Where a view was cut, in pixels of its own (possibly already flipped) image frame.

    Every field has shape (B,). `flip` is 1 where the image was mirrored before the cut and
    `frame` is the width of the image, which maps flipped frames onto each other.
    """

    top: Float[Array, " batch"]
    left: Float[Array, " batch"]
    height: Float[Array, " batch"]
    width: Float[Array, " batch"]
    flip: Float[Array, " batch"]
    frame: Float[Array, " batch"]

    @classmethod
    def of(cls, box: "Box | Float[Array, 'batch 6']") -> "Box":
        """Reads a packed (B, 6) array, columns in the order of the fields; a Box passes."""
        return box if isinstance(box, cls) else cls(*(box[..., i] for i in range(len(cls._fields))))


class Objects(NamedTuple):
    """The objects of a view, in pixels of it, as many places for each sample; the rest is padding.

    corners: (B, G, 4) float32 top, left, bottom, right; row and column of the upper left corner of
      the first pixel are 0. Of padding all are 0.
    categories: (B, G) int32, from 0; -1 = padding.
    masks: (B, G, h, w) uint8, 1 where the object is, in the frame of its corners, whatever their
      size; None = nobody asks.
    shown: (B, C) float32, how many images of the data show each category; None = nobody asks.
    extent: (B, 2) float32 height and width of what of the view is image, in its upper left corner;
      what is beyond is padding. None = all of it.
    """

    corners: Float[Array, "batch objects 4"]
    categories: Int[Array, "batch objects"]
    masks: UInt8[Array, "batch objects _rows _columns"] | None = None
    shown: Float[Array, "batch classes"] | None = None
    extent: Float[Array, "batch 2"] | None = None


class Detections(NamedTuple):
    """The objects that are found in a view, in falling order of their scores, as `Objects` are.

    corners: (B, N, 4) float32.   scores: (B, N) float32, 0 = nothing is there.
    categories: (B, N) int32; -1 = nothing is there.
    masks: (B, N, h, w) float32, how probable it is that the object is there, in the frame of its
      corners; None where boxes alone are found.
    """

    corners: Float[Array, "batch found 4"]
    scores: Float[Array, "batch found"]
    categories: Int[Array, "batch found"]
    masks: Float[Array, "batch found _rows _columns"] | None = None


class RegionAnswers(NamedTuple):
    """What a head that proposes boxes says of those that a step learns by, and what they should be.

    All is float32, or bool. Of anchors, as many places for each image:
    anchor_logits: (B, A) that an object is there.  anchor_deltas: (B, A, 4) of `detection.encode`.
    anchor_targets: (B, A, 4).  anchor_positive: (B, A) which are objects.  anchor_valid: (B, A).
    Of boxes that are proposed, or are objects, those of objects first:
    class_logits: (B, R, C + 1), the last of background.  categories: (B, R) int32, C = background.
    region_deltas: (B, R, 4) for the right category.  region_targets: (B, R, 4).
    region_positive: (B, R).  region_valid: (B, R).
    Of the masks of the first M of these; None where masks are not asked for:
    mask_logits: (B, M, h, w) for the right category, in the frame of the box.
    mask_targets: (B, M, h, w), 0 or 1.  mask_valid: (B, M) which boxes are objects.
    lots: (B, C) uniform on [0, 1), drawn for what compares some of the categories of an image; None
      where categories exclude each other.
    """

    anchor_logits: Float[Array, "batch _anchors"]
    anchor_deltas: Float[Array, "batch _anchors 4"]
    anchor_targets: Float[Array, "batch _anchors 4"]
    anchor_positive: Bool[Array, "batch _anchors"]
    anchor_valid: Bool[Array, "batch _anchors"]
    class_logits: Float[Array, "batch _regions _classes"]
    categories: Int[Array, "batch _regions"]
    region_deltas: Float[Array, "batch _regions 4"]
    region_targets: Float[Array, "batch _regions 4"]
    region_positive: Bool[Array, "batch _regions"]
    region_valid: Bool[Array, "batch _regions"]
    mask_logits: Float[Array, "batch _masks _rows _columns"] | None = None
    mask_targets: Float[Array, "batch _masks _rows _columns"] | None = None
    mask_valid: Bool[Array, "batch _masks"] | None = None
    lots: Float[Array, "batch classes"] | None = None


class ViewAnnotations(NamedTuple):
    """What is said of the pixels of a view, in pixels of it; None = nobody asks for it.

    mask: (B, H, W) uint8 categories, 255 = nobody has named this pixel.
    box: (B, 4) float32 top, left, height and width of what is seen of the object; 0 = nothing.
    depth: (B, H, W) float32 in the data set's unit, 0 = not measured.
    points: (B, K, 3) float32 row, column, visibility: 0 = not labelled or beyond the edges,
    1 = hidden, 2 = visible.
    objects: all that are seen, see `Objects`.
    present: name of a field -> (B,) bool, which samples have it.
    """

    mask: UInt8[Array, "batch height width"] | None = None
    box: Float[Array, "batch 4"] | None = None
    depth: Float[Array, "batch height width"] | None = None
    points: Float[Array, "batch _points 3"] | None = None
    objects: Objects | None = None
    present: dict[str, Bool[Array, " batch"]] | None = None


class Batch(NamedTuple):
    """What the host hands to a step.

    images: name -> (B, H, W, 3) uint8.   boxes: name -> (B, 6) float32, see `Box.of`.
    label: (B,) int32, -1 = no category.  text: (B, T) int32 tokens, 0 = padding; all 0 = no text.
    cuts: filter -> name -> (B, 2 s, 2 s, 3) uint8, parts of images, in the upper left, of which
    the step makes views of s x s (`augment.views_of`); None where the host makes them.
    annotations: name -> what is said of the pixels of that view; None where nobody asks.
    """

    images: dict[str, UInt8[Array, "batch _height _width channels"]]
    boxes: dict[str, Float[Array, "batch 6"]]
    label: Int[Array, " batch"] | None = None
    text: Int[Array, "batch length"] | None = None
    cuts: dict[str, dict[str, UInt8[Array, "batch _side _side channels"]]] | None = None
    annotations: dict[str, ViewAnnotations] | None = None


class Region(NamedTuple):
    """One of the images that share a mixed view.

    cells: (B, h, w) bool, where it is seen; None where images are blended or cut by pixels.
    owner: (B,) int32, the sample that each row shows, or (B, k), several of them.
    box: the crop that the row shows.
    share: (B,), how much of the view it makes up, where that differs between rows.
    """

    cells: Bool[Array, "batch rows columns"] | None
    owner: Int[Array, " batch"] | Int[Array, "batch shown"]
    box: Box | None = None
    share: Float[Array, " batch"] | None = None


class View(NamedTuple):
    """What an encoder looks at.

    data: (B, H, W, C) float32 normalised images, (B,) int32 labels, (B, T) int32 tokens, or one of
      the fields of `ViewAnnotations`.
    box: where an image was cut.  present: (B,) bool, which samples have this view (None = all).
    regions: the images that a mixed view is made of, by name.
    """

    data: (
        Float[Array, "batch height width channels"]
        | Int[Array, " batch"]
        | Int[Array, "batch length"]
        | UInt8[Array, "batch height width"]
        | Float[Array, "batch ..."]
        | Objects
    )
    box: Box | None = None
    present: Bool[Array, " batch"] | None = None
    regions: dict[str, Region] | None = None


class Scores(NamedTuple):
    """The attention of one block as an observer of it is told, in front of the softmax.

    logits: (B, heads, q, k) float32 with bias and mask added, or of windows (B, windows, heads, q,
      k). What is masked is finfo.min, between the parts of a shifted window −100 is added. More
      keys than queries: those of a context come first.
    cells: (windows, q) int32, which cell of the map, in row-major order, each position of a window
      is, −1 = padding; None = the encoder's tokens in their order, class token first.
    real: (windows, q) bool, which positions are cells of the map and no padding; None = all.
    """

    logits: (
        Float[Array, "batch heads queries keys"] | Float[Array, "batch windows heads queries keys"]
    )
    cells: Int[Array, "windows queries"] | None = None
    real: Bool[Array, "windows queries"] | None = None


# What is kept of every block: all (True), nothing, or what a function makes of it, any arrays. The
# function is called where the block is, so no more than one block's tokens or scores are in memory.
Observed = Any
ObserveLayers = bool | Callable[[Float[Array, "batch tokens dim"]], Observed]
ObserveAttention = bool | Callable[[Scores], Observed]


class Features(NamedTuple):
    """What an encoder returns.

    tokens: (B, n, D), on the grid in row-major order, or only the visible ones.
    pooled: (B, D), class token, text feature or row of a table.
    index: (B, n) int32, the grid cell of each token; None = all cells in order.
    candidates: (M, D), every code that `pooled` could have been (a class table); None = the batch.
    target_index: (B,) int32, which candidate `pooled` is; None = the row's own number. (B, n) int32
      for tokens that are words of a vocabulary, (B, H, W) for categories of pixels.
    pre_head_tokens: (B, n, D0), the tokens that a head made `tokens` and `pooled` of.
    layers: (depth, B, n, D) patch tokens after every block, on request; encoders with stages return
      a tuple with one (B, n, D) of its own shape for each block.
    attention: (depth, B, heads, q, k) after softmax, class token first, on request; of windows, a
      tuple with one (B, windows, heads, q, k) for each block.
    layers_pooled: (depth, B, D) class tokens after every block, with `layers` where there are any.
    maps: (B, h, w, D) behind some blocks, each of its own grid and width, in the order of the
      blocks: what heads of dense tasks read.
    objects: what is said of the objects of an image, a target.

    Where a function was handed in as `layers` or `attention`, what it made of each block is there
    instead, with a depth axis in front, or in a tuple of all blocks of an encoder with stages.
    """

    tokens: Float[Array, "batch tokens dim"] | None = None
    pooled: Float[Array, "batch dim"] | None = None
    index: Int[Array, "batch tokens"] | None = None
    candidates: Float[Array, "candidates dim"] | None = None
    target_index: (
        Int[Array, " batch"] | Int[Array, "batch tokens"] | Int[Array, "batch height width"] | None
    ) = None
    pre_head_tokens: Float[Array, "batch tokens _dim"] | None = None
    layers: (
        Float[Array, "depth batch _tokens _dim"]
        | tuple[Float[Array, "batch _tokens _dim"], ...]
        | Observed
        | None
    ) = None
    attention: (
        Float[Array, "depth batch heads queries keys"]
        | tuple[Float[Array, "batch _windows _heads _queries _keys"], ...]
        | Observed
        | None
    ) = None
    layers_pooled: Float[Array, "depth batch dim"] | None = None
    maps: tuple[Float[Array, "batch _height _width _channels"], ...] | None = None
    objects: Objects | None = None
