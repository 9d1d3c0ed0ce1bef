"""The mixed view: two images, their cells, their owners, their boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.types import View


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
        view = fw.blended("a", **ways, least=0.3, per="row").make(k, views, grid=(4, 4), patch=2)
        first, second, both = (view.regions[r] for r in ("first", "second", "both"))
        for i in range(4):
            shown = [r.owner[i] for r in (first, second) if r.share[i] > 0.3]
            assert {int(o) for o in both.owner[i]} == {int(o) for o in shown}
            alone += len(shown) == 1
    assert 0 < alone < 32
    with pytest.raises(ValueError, match="not 0.5"):
        fw.blended("a", least=0.5)
    with pytest.raises(ValueError, match="mixup or cutmix"):
        fw.blended("a", mixup=0.0, cutmix=0.0)


def timm_batch(images, labels, data, share, classes, smoothing):
    """What timm's Mixup makes of a batch in mode "batch", given its λ: images and soft targets."""
    images, other = np.asarray(images, np.float64), np.asarray(images, np.float64)[::-1]
    taken = (np.asarray(data) == other).all(-1) & (images != other).all(-1)
    added = share * images + (1 - share) * other
    mixed = np.where(taken.any() & ~taken[..., None], images, np.where(taken.any(), other, added))
    on, off = 1 - smoothing + smoothing / classes, smoothing / classes
    soft = np.where(np.eye(classes, dtype=bool)[labels], on, off)
    return mixed, share * soft + (1 - share) * soft[::-1]


def test_a_batch_is_blended_as_timm_has_it(key):
    """One λ, the partner from the other end, by adding or by cutting; labels by the true area."""
    images, labels = jax.random.uniform(key, (6, 12, 20, 3)), np.array([0, 1, 2, 3, 1, 0])
    derived = fw.blended("a", mixup=0.8, cutmix=1.0)
    make = jax.jit(lambda k: derived.make(k, {"a": View(images)}, grid=(3, 5), patch=4))
    cuts = 0
    for k in jax.random.split(key, 16):
        view = make(k)
        first, second = (view.regions[r] for r in ("first", "second"))
        share = float(first.share[0])
        mixed, soft = timm_batch(images, labels, view.data, share, 4, 0.1)
        np.testing.assert_allclose(view.data, mixed, atol=1e-6)
        cut = (np.asarray(view.data) == np.asarray(images)).all(-1)
        if cut.any() and not cut.all():
            cuts += 1
            np.testing.assert_allclose(share, cut.mean(), atol=1e-6)
        smooth = np.eye(4) * 0.9 + 0.025
        ours = sum(np.asarray(r.share)[:, None] * smooth[labels[r.owner]] for r in (first, second))
        np.testing.assert_allclose(ours, soft, atol=1e-6)
        np.testing.assert_array_equal(second.owner, np.arange(6)[::-1])
    assert 3 <= cuts <= 13  # half of 16: outside once in 400


def test_rows_may_be_blended_each_by_itself(key):
    images = jax.random.uniform(key, (64, 8, 8, 3))
    view = fw.blended("a", per="row").make(key, {"a": View(images)}, grid=(2, 2), patch=4)
    assert len(np.unique(view.regions["first"].share)) > 32  # boxes may be as large as each other
    kept = (np.asarray(view.data) == np.asarray(images)).all(-1).any((1, 2))
    assert 16 < kept.sum() < 48  # those that were cut, and not added


def test_blended_partners_stay_within_their_group_and_are_others(views, key):
    derived = fw.blended("a", group=2)
    assert derived.group == 2
    view = derived.make(key, views, grid=(4, 4), patch=2)
    np.testing.assert_array_equal(view.regions["second"].owner, [1, 0, 3, 2])
    assert len(np.unique(view.regions["first"].share)) == 1
    with pytest.raises(ValueError, match="two or more"):
        fw.blended("a", group=1).make(key, views, grid=(4, 4), patch=2)


def test_partners_stay_within_their_group(views, key):
    view = fw.mixed("a", "a", group=2).make(key, views, grid=(4, 4), patch=2)
    np.testing.assert_array_equal(view.regions["second"].owner, [1, 0, 3, 2])
