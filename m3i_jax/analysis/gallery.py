"""Pictures of what a step looks at: views, masks, mixes, and predictions that can be seen.

The pictures of step t show exactly what step t saw: the same keys, hence the same draws; but for
views that are made of codes, whose network has made the step since.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import pixelwise, predictions
from m3i_jax.parallel import sharding
from m3i_jax.training import lengths, schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.log import Log
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.session import RunContext
from m3i_jax.training.state import TrainState
from m3i_jax.training.step import views

ROWS = 6


def drawing(context: RunContext) -> list[Hook]:
    """Hooks that a run's `config.log` asks for; for `training.session.train(watch=...)`."""
    every = schema.Log(**context.run.config.log).images
    if not every:
        return []
    skeleton = getattr(context.inputs.source, "skeleton", None)
    draw = gallery(context.run, bones=skeleton.bones if skeleton else ())
    return [hook(context.log, draw, state=context.state, every=every)]


def gallery(
    run: Run, *, rows: int = ROWS, bones: pixelwise.Bones = ()
) -> Callable[[Any, Any, int], dict[str, np.ndarray]]:
    """draw(state, batch, step) -> {"views": (H, W, 3) uint8}, one row per sample.

    bones: numbers of key points that are joined.
    """
    of_pixels = pixelwise.terms(run.method)
    whole = sharding.replicated(run.mesh)  # the rows may be those of another process
    compiled = jax.jit(
        lambda state, batch, step: _columns(run, state, batch, step, rows), out_shardings=whole
    )

    def draw(state, batch, step):
        # The state is the one after the step; its views were drawn with the step before.
        columns = jax.device_get(compiled(state, batch, step - 1))
        told = {name: columns.pop(name) for name in of_pixels}
        shown = {
            title: [_tile(*row) for row in zip(*c, strict=True)]
            for title, c in sorted(columns.items(), key=_views_first)
        }
        for name, view in of_pixels.items():
            shown |= pixelwise.columns(name, view, told[name], bones)
        return {"views": pictures.table(shown)} if shown else {}

    return draw


def _views_first(column) -> tuple[bool, str]:
    """The order of the columns: views, then what is seen and predicted of them."""
    return not column[0].startswith("view "), column[0]


def _tile(image, visible=None, predicted=None) -> np.ndarray:
    """An image, what is visible of it, or a prediction where it is not visible."""
    image = pictures.unnormalise(image)
    if visible is None:
        return image
    if predicted is None:
        return pictures.overlay(image, visible)
    return pictures.paste(image, pictures.unnormalise(predicted), visible)


def _columns(run: Run, state, batch, step, rows: int):
    """title -> (images, visible cells, predicted images), the last two where there are any.

    And term -> `pixelwise.Told` of those that say something of pixels.
    """
    method, network = run.method, run.network
    key = jax.random.fold_in(jax.random.key(run.config.seed), step)
    inputs = views(key, batch, run.augment)
    painted, judged = predictions.pixel_terms(method), predictions.replaced_terms(method)
    of_pixels = pixelwise.terms(method)
    wanted = (*painted, *judged, *of_pixels)
    seen = predictions.look(
        method, network, state.params, state.slots, inputs, key=key, terms=wanted
    )
    prepared = seen.prepared
    # What is said of objects is a record of arrays, and no picture.
    images = {n: v.data for n, v in prepared.views.items() if getattr(v.data, "ndim", 0) == 4}
    columns = {f"view {name}": (data,) for name, data in images.items()}
    for name, visible in prepared.visible.items():
        view = method.codes[name].view
        columns[f"what {name} sees of {view}"] = (images[view], visible)
    for name, view in prepared.views.items():
        first = (view.regions or {}).get("first")
        cells = first.cells if first else None
        if cells is not None:
            columns["mask"] = (images[method.views[name].needs[0]], cells)
    for name in painted:
        columns[f"predicted by {name}"] = _painted(run, seen, name)
    for name in judged:
        image = images[method.codes[method.terms[name].y].view]
        odds, replaced = predictions.cells(method, network, seen, name)
        columns["replaced"], columns[f"found by {name}"] = (image, ~replaced), (image, odds <= 0)
    columns |= {name: pixelwise.told(seen, method, name) for name in of_pixels}
    return jax.tree.map(lambda x: x[:rows], columns)


def _painted(run: Run, seen: predictions.Seen, name: str):
    """Pixels that a term predicts, beside the image and what of it was visible."""
    term = run.method.terms[name]
    painted = predictions.pixels(
        run.method, run.network, seen.prepared, name, seen.predicted[name][0]
    )
    code = run.method.codes[term.y]
    image, grid = seen.prepared.views[code.view].data, run.network.towers[code.encoder.tower].grid
    visible = seen.prepared.visible.get(term.x)
    return image, jnp.zeros((len(image), *grid), bool) if visible is None else visible, painted


def hook(
    log: Log,
    draw: Callable[[Any, Any, int], dict[str, np.ndarray]],
    *,
    state: Callable[[Any], TrainState],
    every: int,
    first: int = 1,
) -> Hook:
    """Pictures of what the step looks at, at step `first` and every `every` steps."""

    def look(info: StepInfo) -> None:
        shown = info.step == first or lengths.due(info.step, every) or info.done
        if shown and not info.leaving:
            pictures = draw(state(info.leaves), info.batch, info.step)
            log.images(info.step, pictures)

    return look
