"""Pictures of what a step looks at: views, masks, mixes, and predictions that are pixels.

The pictures of step t show exactly what step t saw: the same keys, hence the same draws; but for
views that are made of codes, whose network has made the step since.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax import geometry, pictures
from m3i_jax.framework.scoring import predict
from m3i_jax.training.run import Run
from m3i_jax.training.step import views
from m3i_jax.types import Array

ROWS = 6


def gallery(run: Run, *, rows: int = ROWS) -> Callable[[Any, Any, int], dict[str, np.ndarray]]:
    """draw(state, batch, step) -> {"views": (H, W, 3) uint8}, one row per sample."""
    compiled = jax.jit(lambda state, batch, step: _columns(run, state, batch, step, rows))

    def draw(state, batch, step):
        # The state is the one after the step; its views were drawn with the step before.
        columns = jax.device_get(compiled(state, batch, step - 1))
        shown = {
            title: [_tile(*row) for row in zip(*c, strict=True)]
            for title, c in sorted(columns.items(), key=_views_first)
        }
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
    """title -> (images, visible cells, predicted images), the last two where there are any."""
    method, network = run.method, run.network
    key = jax.random.fold_in(jax.random.key(run.config.seed), step)
    given = views(key, batch, run.augment)
    prepared = fw.prepare(method, network, given, key=key, params=state.params, states=state.codes)
    if any(view.codes for view in method.views.values()):
        how = dict(train=False, key=key)
        *_, prepared = fw.encode(method, network, state.params, state.codes, prepared, **how)
    images = {n: v.data for n, v in prepared.views.items() if v.data.ndim == 4}
    columns = {f"view {name}": (data,) for name, data in images.items()}
    for name, visible in prepared.visible.items():
        view = method.codes[name].view
        columns[f"what {name} sees of {view}"] = (images[view], visible)
    for name, view in prepared.views.items():
        first = (view.regions or {}).get("first")
        cells = first.cells if first else None
        if cells is not None:
            columns["mask"] = (images[method.views[name].needs[0]], cells)
    for name, term in method.terms.items():
        kind = method.codes[term.y].encoder.name.partition("/")
        if kind[0] == "pixels" and kind[2] in ("raw", "patch"):
            columns[f"predicted by {name}"] = _predicted(run, state, prepared, name, kind[2], key)
    return jax.tree.map(lambda x: x[:rows], columns)


def _predicted(run: Run, state, prepared, name: str, normalization: str, key: Array):
    """Pixels that a term predicts, brought back to the scale of the image."""
    method, network = run.method, run.network
    codes, _, prepared = fw.encode(
        method, network, state.params, state.codes, prepared, train=False, key=key
    )
    tokens, _ = predict(method, network, state.params, codes, prepared, (name,))[name]
    term = method.terms[name]
    image = prepared.views[method.codes[term.y].view].data
    tower = network.towers[method.codes[term.y].encoder.tower]
    if normalization == "patch":
        patches = geometry.patchify(image, tower.patch)
        mean, var = patches.mean(-1, keepdims=True), patches.var(-1, keepdims=True, ddof=1)
        tokens = tokens * jnp.sqrt(var + 1e-6) + mean
    visible = prepared.visible.get(term.x)
    if visible is None:
        visible = jnp.zeros((image.shape[0], *tower.grid), bool)
    return image, visible, geometry.unpatchify(tokens, tower.patch, tower.grid)
