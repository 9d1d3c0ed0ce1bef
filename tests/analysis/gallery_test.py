"""Pictures of a step: which columns there are, and that they show what the step saw."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax import normalize, trees
from m3i_jax.analysis.gallery import _columns, gallery, hook
from m3i_jax.training.assemble import assemble
from tests.training.toy_steps import Book, infos


@pytest.mark.parametrize(
    "row, titles",
    [
        ("m3i images", {"view a", "view b", "mask", "view mix"}),
        ("cim", {"view a", "what guess sees of a", "view corrupted", "predicted by respix"}),
        (
            "cim revdet",
            {"view a", "what guess sees of a", "view corrupted", "replaced", "found by revdet"},
        ),
        ("mae", {"view a", "what x sees of a", "predicted by pixels"}),
    ],
)
def test_each_row_shows_what_it_is_made_of(row, titles, shown):
    run, state, given, draw = shown(row)
    columns = draw(state, given, 0)
    assert set(columns) == titles
    assert all(len(images) == 3 for images, *_ in columns.values())
    picture = gallery(run, rows=3)(state, given, 1)["views"]
    assert picture.dtype == np.uint8 and picture.shape[0] > 3 * 128


@pytest.fixture(scope="module")
def shown(shrunk, batch, fits, one_device):
    """shown(row) -> (run, its first state, a batch for it, its columns as a compiled function).

    The columns are the program that a gallery compiles. One row's state is in shards.
    """

    @functools.cache
    def of(row):
        mesh, devices = one_device
        whole = row != "mae"
        config = shrunk(row, mesh=mesh) if whole else shrunk(row)
        run = assemble(config, images=100, devices=devices if whole else None)
        draw = jax.jit(lambda state, batch, step: _columns(run, state, batch, step, 3))
        return run, run.create(), fits(run, batch), draw

    return of


def zeroed(state, head):
    """The state with a head that predicts zeros."""
    zero = lambda name, x: np.zeros_like(x) if name.startswith(f"decoders/{head}/") else x  # noqa: E731
    return state.replace(params=trees.map_with_name(zero, state.params))


def test_pixels_by_windows_are_shown_on_the_scale_of_the_image(shown):
    _, state, given, draw = shown("cim")
    image, visible, painted = draw(zeroed(state, "pixels"), given, 0)["predicted by respix"]
    assert not visible.any()  # all of it is shown
    mean, _ = normalize.window_statistics(image)
    np.testing.assert_allclose(painted, np.broadcast_to(mean, image.shape), atol=1e-5)


def test_replaced_cells_and_those_found_are_shaded(shown):
    _, state, given, draw = shown("cim revdet")
    columns = draw(zeroed(state, "replaced"), given, 0)
    _, kept = columns["replaced"]
    _, visible = columns["what guess sees of a"]
    assert (~kept).any() and (kept | ~visible).all()  # what was seen is never replaced
    assert columns["found by revdet"][1].all()  # odds of 0 find nothing


def test_pictures_are_drawn_first_last_and_in_between():
    book = Book()
    draw = lambda state, batch, step: {"views": np.zeros((1, 1, 3))}  # noqa: E731
    look = hook(book, draw, state=lambda leaves: None, every=4)
    for info in infos(9):
        look(info)
    assert book.pictures == [1, 4, 8, 9]
    look(info._replace(step=8, last=True))
    assert book.pictures == [1, 4, 8, 9], "who leaves does not draw"
