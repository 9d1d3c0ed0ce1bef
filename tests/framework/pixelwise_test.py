"""What is said of pixels beside the map of a head, by float64 formulas, at the view's own size."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import framework as fw
from m3i_jax.framework import Target

RNG = np.random.default_rng(0)


def doubled(maps):
    """(B, h, w, D) float64 at twice the size: linear between the middles of cells, edges kept."""
    for axis in (1, 2):
        before, behind = (np.roll(maps, by, axis) for by in (1, -1))
        first, last = (np.take(maps, [i], axis) for i in (0, -1))
        before = np.concatenate([first, np.delete(before, 0, axis)], axis)
        behind = np.concatenate([np.delete(behind, -1, axis), last], axis)
        pair = np.stack([0.25 * before + 0.75 * maps, 0.75 * maps + 0.25 * behind], axis + 1)
        maps = pair.reshape(*maps.shape[:axis], -1, *maps.shape[axis + 1 :])
    return maps


def test_categories_are_compared_at_the_size_of_the_view():
    logits = RNG.normal(size=(2, 3, 4, 5))
    said = RNG.integers(0, 5, (2, 6, 8))
    said[0, :2] = said[1, :, 0] = 255
    whole = doubled(logits)
    whole = whole - np.log(np.exp(whole).sum(-1, keepdims=True))
    own = np.take_along_axis(whole, np.where(said == 255, 0, said)[..., None], -1)[..., 0]
    values = np.where(said == 255, 0, -own)
    target = Target(target_index=jnp.asarray(said, jnp.int32))
    score = lambda x, **how: fw.pixel_categories(**how).score(x, target)  # noqa: E731
    x = jnp.float32(logits)
    np.testing.assert_allclose(score(x), values.mean((1, 2)), rtol=1e-5)
    mean = values.sum() / (said != 255).sum()
    np.testing.assert_allclose(score(x, named=True).mean(), mean, rtol=1e-5)
    assert fw.pixel_categories(named=True).batchwise and not fw.pixel_categories().batchwise


def test_what_nobody_has_named_has_no_influence():
    said = jnp.full((1, 4, 4), 255, jnp.int32).at[0, 0, 0].set(1)
    loss = lambda x: fw.pixel_categories().score(x, Target(target_index=said)).sum()  # noqa: E731
    slope = jax.grad(loss)(jnp.float32(RNG.normal(size=(1, 4, 4, 3))))
    assert np.abs(slope[0, 0, 0]).max() > 0
    assert not np.asarray(slope).reshape(16, 3)[1:].any()


def test_depth_is_compared_where_it_is_measured():
    depth = RNG.uniform(1, 9, (2, 6, 8))
    said = RNG.uniform(1, 9, (2, 6, 8))
    said[:, 1] = 0
    d = (np.log(said[said > 0]) - np.log(depth[said > 0])).reshape(-1)
    target = Target(map=jnp.float32(said)[..., None])
    values = fw.pixel_depth(variance=0.85).score(jnp.float32(depth)[..., None], target)
    np.testing.assert_allclose(
        values, [np.sqrt((d**2).mean() - 0.85 * d.mean() ** 2)] * 2, rtol=1e-5
    )
    assert fw.pixel_depth().batchwise


def test_joints_are_bumps_between_middles():
    # Of a map of 5 x 9 cells: shares of the way, so joint 0 is at cell (1, 2), joint 1 at (4, 8).
    points = jnp.float32([[[0.25, 0.25, 2], [1, 1, 1], [0.5, 0.5, 0]]])
    maps = RNG.normal(size=(1, 5, 9, 3))
    row, column = np.mgrid[:5, :9]
    bump = lambda r, c: np.exp(-((row - r) ** 2 + (column - c) ** 2) / 2)  # noqa: E731
    wanted = np.stack([bump(1, 2), bump(4, 8)], -1)
    # Beyond 3σ it is cut off.
    wanted[np.abs(np.stack([row - 1, row - 4], -1)) > 3] = 0
    wanted[np.abs(np.stack([column - 2, column - 8], -1)) > 3] = 0
    loss = ((maps[0, ..., :2] - wanted) ** 2).sum() / maps[0].size  # the third one counts as 0
    values = fw.heat_maps(sigma=1.0).score(jnp.float32(maps), Target(tokens=points))
    np.testing.assert_allclose(values, [loss], rtol=1e-5)
