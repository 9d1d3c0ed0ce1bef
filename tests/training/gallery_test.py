"""Pictures of a step: which columns there are, and that they show what the step saw."""

import jax
import numpy as np
import pytest

from m3i_jax.training.gallery import _columns, gallery
from m3i_jax.training.run import assemble


@pytest.mark.parametrize(
    "row, titles",
    [
        ("m3i images", {"view a", "view b", "mask", "view mix"}),
        ("cim", {"view a", "what guess sees of a", "view corrupted"}),
        ("mae", {"view a", "what x sees of a", "predicted by pixels"}),
    ],
)
def test_each_row_shows_what_it_is_made_of(row, titles, shrunk, batch, fits):
    run = assemble(shrunk(row), images=100)
    state, given = run.create(), fits(run, batch)
    columns = jax.jit(lambda s, b: _columns(run, s, b, 0, 3))(state, given)
    assert set(columns) == titles
    assert all(len(images) == 3 for images, *_ in columns.values())
    picture = gallery(run, rows=3)(state, given, 1)["views"]
    assert picture.dtype == np.uint8 and picture.shape[0] > 3 * 128
