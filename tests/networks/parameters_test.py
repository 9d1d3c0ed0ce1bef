"""First parameters: published totals, plain dicts, each module by itself."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import trees
from tests.networks.small_networks import DECODERS, built


def total(network, key):
    shapes = jax.eval_shape(network.init, key)
    return trees.count(shapes), shapes


def test_siamese_im_total(key):
    # SiameseIM's official code: trainable parameters with the frozen patch embedding.
    decoders = {
        "projector": dict(name="projector"),
        "image": dict(name="query", input="projector", norm="batch", embed=False, class_token=True),
    }
    encoder = dict(name="vit_b16", final_norm=False)
    network = built(encoder, {}, decoders, out={"image": 768}, image=224, dtype="bfloat16")
    count, shapes = total(network, key)
    assert count - trees.count(shapes["encoders"]["image"]["patch_embed"]) == 129_944_832
    assert network.batchwise == {"projector", "image"}


def test_mae_total(key):
    # As published; the output width is derived from the tower.
    out = lambda name, towers: 3 * towers["image"].patch ** 2  # noqa: E731
    network = built(dict(name="vit_b16"), {}, {"image": dict(name="infill")}, out=out, image=224)
    assert total(network, key)[0] == 111_655_680
    assert network.batchwise == frozenset()


def test_parameters_are_plain_float32_dicts(small):
    network, params = small
    assert set(params) == {"encoders", "decoders"}
    assert set(params["encoders"]) == set(network.towers)
    assert tuple(params["decoders"]) and set(params["decoders"]) == set(network.decoders)
    assert all(type(x) is dict for x in (params, params["encoders"]["image"]))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_modules_are_initialised_independently(small, key):
    fewer = built(towers={}, decoders={"text": DECODERS["text"]})
    params = jax.jit(fewer.init)(key)
    for path in (("encoders", "image"), ("decoders", "text")):
        mine, theirs = (tree[path[0]][path[1]] for tree in (params, small[1]))
        jax.tree.map(np.testing.assert_array_equal, mine, theirs)
    twins = small[1]["decoders"]
    assert (twins["text"]["q"]["kernel"] != twins["category"]["q"]["kernel"]).all()
