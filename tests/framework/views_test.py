"""The mixed view: two images, their cells, their owners, their boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import masks


def test_each_cell_shows_one_image_and_says_which(views, key):
    derived = fw.mixed("a", "b", hidden=0.5, mask=masks.random)
    view = derived.make(key, views, grid=(4, 4), patch=2)
    first, second = view.regions["first"], view.regions["second"]
    np.testing.assert_array_equal(first.cells, ~second.cells)
    assert int(first.cells.sum()) == int(second.cells.sum()) == 4 * 8
    assert derived.count("first", (4, 4)) == derived.count("second", (4, 4)) == 8
    pixels = jnp.repeat(jnp.repeat(first.cells, 2, 1), 2, 2)[..., None]
    one = views["a"].data
    other = views["b"].data[second.owner]
    np.testing.assert_array_equal(view.data, jnp.where(pixels, one, other))
    np.testing.assert_array_equal(second.box.flip, views["b"].box.flip[second.owner])
    np.testing.assert_array_equal(first.owner, jnp.arange(4))


def test_a_blend_shows_both_images(views, key):
    view = fw.blended("a", mixup=0.8, cutmix=0.0).make(key, views, grid=(4, 4), patch=2)
    first, second, both = (view.regions[r] for r in ("first", "second", "both"))
    np.testing.assert_array_equal(both.owner, np.stack([first.owner, second.owner], 1))
    assert both.share is None
    np.testing.assert_allclose(first.share + second.share, 1.0, rtol=1e-6)


@pytest.mark.parametrize("ways", [dict(mixup=0.8, cutmix=0.0), dict(mixup=0.0, cutmix=1.0)])
def test_a_blend_shows_the_images_of_more_than_the_least_share(views, key, ways):
    alone = 0
    for k in jax.random.split(key, 8):
        view = fw.blended("a", **ways, least=0.3).make(k, views, grid=(4, 4), patch=2)
        first, second, both = (view.regions[r] for r in ("first", "second", "both"))
        for i in range(4):
            shown = [r.owner[i] for r in (first, second) if r.share[i] > 0.3]
            assert {int(o) for o in both.owner[i]} == {int(o) for o in shown}
            alone += len(shown) == 1
    assert 0 < alone < 32
    with pytest.raises(ValueError, match="not 0.5"):
        fw.blended("a", least=0.5)


def test_partners_stay_within_their_group(views, key):
    view = fw.mixed("a", "a", group=2).make(key, views, grid=(4, 4), patch=2)
    np.testing.assert_array_equal(view.regions["second"].owner, [1, 0, 3, 2])
