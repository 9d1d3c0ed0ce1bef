"""Where the joints of each person are: heat maps of crops, decoded to pixels of their images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from m3i_jax import heatmaps, normalize
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.views.person_crops import person_box
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.parallel import processes, sharding
from m3i_jax.types import Share

Program = Callable[..., tuple[Any, Any]]


class Posed(NamedTuple):
    """number: (N,) records.  points: (N, K, 2) row and column in pixels of their images.

    scores: (N, K), the largest value of each map.
    """

    number: Int[np.ndarray, " rows"]
    points: Float[np.ndarray, "rows joints 2"]
    scores: Float[np.ndarray, "rows joints"]


def posed(
    predictor: Predictor,
    source: Source,
    *,
    size: tuple[int, int],
    batch: int,
    flip: bool = True,
    swapped: Sequence[tuple[int, int]] = (),
    rows: Any = lambda rows: rows,
    program: Program | None = None,
    share: Share = Share(),
) -> Posed:
    """The joints of every record that can be read.

    Args:
      size: height and width of the crops.   batch: crops that a process shows at once.
      flip: whether the answer to the mirror image counts, too; `swapped` change places there.
      rows: goes round the pass, to say how far it is.
      program: `compiled` before, which knows `size`, `flip` and `swapped`; None compiles it.
      share: which records this process looks at; those of all are returned.
    """
    program = program or compiled(predictor, size=size, flip=flip, swapped=swapped)
    found, reads = [], dict(batch=batch * share.count, size=size, frame=person_box, share=share)
    for some in rows(epoch(source, **reads)):
        images, boxes = some.batch.images["a"], some.batch.boxes["a"]
        points, scores = program(predictor.params, images, boxes)
        kept = some.number, np.asarray(points), np.asarray(scores)
        found.append((int(some.number[0]), [part[some.real] for part in kept]))
    columns = zip(*processes.by_number(found, share), strict=True)
    return Posed(*map(np.concatenate, columns))


def compiled(
    predictor: Predictor,
    *,
    size: tuple[int, int],
    flip: bool = True,
    swapped: Sequence[tuple[int, int]] = (),
    mesh: sharding.Mesh | None = None,
) -> Program:
    """(parameters, crops, their boxes) -> joints (B, K, 2) and scores (B, K), see `posed`.

    mesh: whose devices share the crops of a batch, all of which every process gives and gets; None
      = where the parameters are.
    """

    def program(params, images, boxes):
        if mesh is not None:
            images = jax.lax.with_sharding_constraint(images, sharding.batch_sharding(mesh))
        images = normalize.levels(images)
        maps = predictor.said(params, images)
        if flip:
            other = predictor.said(params, images[:, :, ::-1])
            maps = (maps + heatmaps.mirrored(other, swapped)) / 2
        joints = heatmaps.decode(maps, crop=size)
        return heatmaps.to_image(joints.points, boxes, crop=size), joints.scores

    return jax.jit(program, out_shardings=mesh and sharding.replicated(mesh))
