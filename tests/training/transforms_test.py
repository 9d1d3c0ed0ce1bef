import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3i_jax.training import transforms

TREE = {
    "blocks": {"kernel": jnp.arange(12.0).reshape(3, 2, 2)},
    "head": {"kernel": jnp.asarray([3.0, 4.0]), "bias": jnp.asarray([0.1])},
}


def once(transform, tree, params=None):
    """Updates of the first step."""
    return jax.jit(transform.update)(tree, transform.init(tree), params)[0]


def test_each_layer_of_a_stack_has_its_own_norm():
    got = once(transforms.clip_each(1.0), TREE)
    rows = np.linalg.norm(np.asarray(got["blocks"]["kernel"]).reshape(3, -1), axis=1)
    np.testing.assert_allclose(rows, 1.0, rtol=1e-6)
    np.testing.assert_allclose(got["head"]["kernel"], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(got["head"]["bias"], TREE["head"]["bias"])  # short enough


def test_a_norm_that_is_known_is_taken_for_that_of_all():
    clip = transforms.clip_all(1.0)
    norm = optax.tree.norm(TREE)
    for given, factor in ((norm, 1 / norm), (jnp.asarray(50.0), 0.02), (jnp.asarray(0.5), 1.0)):
        got, _ = clip.update(TREE, clip.init(TREE), norm=given)
        jax.tree.map(
            lambda x, y, f=factor: np.testing.assert_allclose(x, f * y, rtol=1e-6), got, TREE
        )
    np.testing.assert_allclose(optax.tree.norm(once(clip, TREE)), 1.0, rtol=1e-6)


def test_parts_have_one_norm_each_and_the_rest_is_let_be():
    parts = [re.compile("head/kernel"), re.compile("head")]
    got = once(transforms.clip_parts(0.05, parts), TREE)
    np.testing.assert_allclose(got["head"]["kernel"], [0.03, 0.04], rtol=1e-6)
    np.testing.assert_allclose(got["head"]["bias"], [0.05], rtol=1e-6)  # the first that fits
    np.testing.assert_array_equal(got["blocks"]["kernel"], TREE["blocks"]["kernel"])


@pytest.mark.parametrize(
    "clip", [transforms.clip_each(1.0), transforms.clip_parts(1.0, [re.compile("")])]
)
def test_a_gradient_of_zero_stays_zero(clip):
    for leaf in jax.tree.leaves(once(clip, jax.tree.map(jnp.zeros_like, TREE))):
        np.testing.assert_array_equal(leaf, 0.0)


def test_scales_by_path_and_by_layer():
    scales = {"blocks/kernel": np.array([0.0, 1.0, 2.0], np.float32), "head/bias": 10.0}
    got = once(transforms.scale_by_path(scales), TREE)
    expected = TREE["blocks"]["kernel"] * jnp.asarray([0.0, 1.0, 2.0])[:, None, None]
    np.testing.assert_array_equal(got["blocks"]["kernel"], expected)
    np.testing.assert_allclose(got["head"]["bias"], [1.0], rtol=1e-6)
    np.testing.assert_array_equal(got["head"]["kernel"], TREE["head"]["kernel"])


def test_trust_is_the_ratio_of_norms_where_it_applies():
    params = jax.tree.map(lambda x: x + 1.0, TREE)
    applies = lambda tree: jax.tree.map(lambda x: x.size > 1, tree)  # noqa: E731
    got = once(transforms.scale_by_trust(0.1, applies=applies), TREE, params)
    u, p = (np.asarray(t["blocks"]["kernel"], np.float64).reshape(3, -1) for t in (TREE, params))
    ratio = 0.1 * np.linalg.norm(p, axis=1) / np.linalg.norm(u, axis=1)
    np.testing.assert_allclose(
        np.asarray(got["blocks"]["kernel"]).reshape(3, -1), u * ratio[:, None], rtol=1e-6
    )
    np.testing.assert_array_equal(got["head"]["bias"], TREE["head"]["bias"])


def test_a_direction_that_starts_late_counts_from_its_start():
    late = transforms.starting_at(2, [optax.trace(decay=0.5)])
    state, g = late.init(TREE), jax.tree.map(jnp.ones_like, TREE)
    found = []
    for _ in range(4):
        updates, state = jax.jit(late.update)(g, state)
        found.append(float(updates["head"]["bias"][0]))
    assert found == [0.0, 0.0, 1.0, 1.5]


def test_rows_have_length_one_behind_a_step():
    params = {"rows": np.eye(3, 4, dtype=np.float32), "other": np.ones((2, 4), np.float32)}
    steps = jax.tree.map(lambda p: 0.5 * np.ones_like(p), params)
    found = once(transforms.unit_rows(re.compile("^rows$")), steps, params)
    after = np.float64(params["rows"]) + 0.5
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    np.testing.assert_allclose(params["rows"] + found["rows"], after, rtol=1e-6)
    np.testing.assert_array_equal(found["other"], steps["other"])
