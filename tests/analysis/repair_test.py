"""Pictures of CIM: visible cells are untouched, and cells are tinted where they lie."""

import numpy as np
import pytest

from m3i_jax import normalize, pictures
from m3i_jax.analysis import cim, repair

RNG = np.random.default_rng(0)
N, SIDE, GRID = 2, 16, (4, 4)


@pytest.fixture(scope="module")
def observed(corrupting):
    """observed(task) -> what is shown of two images and two samples."""
    made = {}

    def of(task):
        if task not in made:
            model = cim.restore(corrupting(task))
            made[task] = model, repair.observe(model, images=N, samples=2, seed=1)
        return made[task]

    return of


def test_what_is_shown_of_each_image(observed):
    _, shown = observed("revdet")
    assert shown.images.shape == (N, SIDE, SIDE, 3) and shown.visible.shape == (N, *GRID)
    assert (shown.visible.reshape(N, -1).sum(-1) == 8).all()
    assert shown.corrupted.shape == (2, N, SIDE, SIDE, 3)
    assert (shown.corrupted[0] != shown.corrupted[1]).any((1, 2, 3)).all()
    # `replaced` is of the first sample, and only what was hidden can be.
    assert shown.replaced.any() and not (shown.replaced & shown.visible).any()
    assert (
        shown.chance.shape == (N, *GRID) and (0 < shown.chance).all() and (shown.chance < 1).all()
    )
    assert shown.repaired is None


def test_a_repair_of_zeros_is_the_mean_of_every_window(observed):
    _, shown = observed("respix")
    mean, deviation = normalize.window_statistics(shown.images)
    np.testing.assert_allclose(shown.blank, np.broadcast_to(mean, shown.images.shape), atol=1e-5)
    assert abs(shown.repaired - shown.blank).max() > 1e-2
    # What the enhancer adds is in deviations of the window.
    added = (shown.repaired - shown.blank) / deviation
    assert 1e-2 < added.std() < 5
    assert shown.chance is None


@pytest.mark.parametrize("task, columns", [("respix", 6), ("revdet", 6)])
def test_one_row_per_image_with_the_visible_cells_as_they_are(observed, task, columns):
    _, shown = observed(task)
    picture = repair.repairs(shown)
    tile, pad = pictures.LEAST, pictures.PAD
    height = pictures.LINE + pad + N * (tile + pad)
    assert picture.shape == (height, pad + columns * (tile + pad), 3) and picture.dtype == np.uint8
    top, left = pictures.LINE + pad, pad + tile + pad
    original, masked = (
        picture[top : top + tile, x : x + tile][:: tile // SIDE, :: tile // SIDE]
        for x in (pad, left)
    )
    np.testing.assert_array_equal(original, pictures.unnormalise(shown.images[0]))
    visible = shown.visible[0].repeat(SIDE // GRID[0], 0).repeat(SIDE // GRID[1], 1)
    np.testing.assert_array_equal(masked[visible], original[visible])
    assert (masked[~visible] != original[~visible]).any(-1).mean() > 0.9


def test_targets_are_grey_at_the_mean_and_white_at_the_span():
    tile, pad = pictures.LEAST, pictures.PAD

    def tiles(images):
        body = repair.templates(images, 4)[pictures.LINE + pad :]
        found = [body[:tile, x : x + tile] for x in range(pad, body.shape[1], tile + pad)]
        assert len(found) == 5
        return found

    flat = np.zeros((1, 8, 8, 3), np.float32)
    image, patch_means, patch_targets, window_means, window_targets = tiles(flat)
    np.testing.assert_array_equal(image[0, 0], pictures.unnormalise(flat)[0, 0, 0])
    for means in (patch_means, window_means):
        np.testing.assert_array_equal(means, image)
    for targets in (patch_targets, window_targets):
        assert (abs(targets.astype(int) - 127.5) < 1).all()
    # One of the 16 pixels of a patch is bright: √15 = 3.9 deviations, above the span.
    flat[0, 2, 2] = 3.2
    _, means, targets, *_ = tiles(flat)
    assert (targets[2 * 16 + 8, 2 * 16 + 8] == 255).all() and (targets[100, 100] == 128).all()
    np.testing.assert_array_equal(means[0, 0], pictures.unnormalise(np.full((1, 3), 0.2))[0])


def test_heat_colours_the_cells_by_their_shares():
    image = RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    share = np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 0.25]])
    found = repair.heat(image, share, trace=0.4).astype(float)
    grey = image.astype(float).mean(-1, keepdims=True)
    part = share.repeat(4, 0).repeat(4, 1)[..., None]
    colour = (1 - part) * 255 + part * np.array(pictures.MARK)
    np.testing.assert_allclose(found, 0.4 * grey + 0.6 * colour, atol=0.51)
