"""Shapes of the batches of a run, which no data is needed for."""

import jax
import jax.numpy as jnp

from m3i_jax import augment
from m3i_jax.data.views import kinds
from m3i_jax.framework import Method
from m3i_jax.training.config import Config
from m3i_jax.types import Batch, Objects, ViewAnnotations


def batch(config: Config, method: Method, rows: int) -> Batch:
    """A batch of so many samples, as `jax.ShapeDtypeStruct`."""
    shape, views = jax.ShapeDtypeStruct, sorted(method.images)
    cut = config.crops.get("resize") == "device"
    times = augment.resize.CANVAS if cut else 1
    sides = {view: kinds.sides(config.crops, config.image, view=view) for view in views}
    images = {v: shape((rows, times * h, times * w, 3), jnp.uint8) for v, (h, w) in sides.items()}
    length = config.captions.get("length", 1)
    return Batch(
        images={} if cut else images,
        cuts={config.crops.get("interpolation", "bicubic"): images} if cut else None,
        boxes={view: shape((rows, 6), jnp.float32) for view in views},
        label=shape((rows,), jnp.int32),
        text=shape((rows, length), jnp.int32) if "text" in method.sources else None,
        annotations=_annotations(config, method, rows),
    )


def _annotations(config: Config, method: Method, rows: int) -> dict[str, ViewAnnotations] | None:
    """What is said of the pixels of view a."""
    if not (names := method.annotations):
        return None
    shape, sides = jax.ShapeDtypeStruct, kinds.sides(config.crops, config.image, view="a")
    whole = ViewAnnotations(
        mask=shape((rows, *sides), jnp.uint8),
        depth=shape((rows, *sides), jnp.float32),
        points=shape((rows, method.said("points"), 3), jnp.float32),
        objects=_objects(config, method, rows),
    )
    said = {name: getattr(whole, name) for name in names}
    return {"a": ViewAnnotations(**said, present=dict.fromkeys(names, shape((rows,), bool)))}


def _objects(config: Config, method: Method, rows: int) -> Objects:
    """Those of view a, in the places that its views have."""
    shape, (places, side) = jax.ShapeDtypeStruct, kinds.room(config.crops).values()
    masks = shape((rows, places, side, side), jnp.uint8) if method.outlined else None
    where = shape((rows, places, 4), jnp.float32), shape((rows, places), jnp.int32)
    counts = shape((rows, method.said("objects")), jnp.float32) if method.counted else None
    return Objects(*where, masks, counts, shape((rows, 2), jnp.float32))
