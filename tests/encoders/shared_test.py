"""Two ViTs with their first blocks in common: values, gradients, and what cannot be shared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.encoders import shared

SIZES = dict(patch=4, width=16, heads=2, image=16)
OTHER = encoders.create("vit_nano", **SIZES, depth=2)
TOWER = encoders.create("vit_nano", **SIZES, depth=3, positions="learned", hide="mask")


def parameters(module, seed):
    shapes = jax.eval_shape(module.init, jax.random.key(seed), module.example())["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), shapes)


def test_the_first_blocks_are_the_others_and_the_rest_is_its_own():
    tower, other = parameters(TOWER, 0), parameters(OTHER, 1)
    kept = shared.own(tower, 2)
    assert "patch_embed" not in kept
    assert {x.shape[0] for x in jax.tree.leaves(kept["blocks"])} == {1}
    found = jax.jit(lambda *parts: shared.whole(*parts, 2))(kept, other)
    assert jax.tree.structure(found) == jax.tree.structure(tower)
    for name in tower.keys() - {"patch_embed", "blocks"}:
        jax.tree.map(np.testing.assert_array_equal, found[name], tower[name])
    jax.tree.map(np.testing.assert_array_equal, found["patch_embed"], other["patch_embed"])
    jax.tree.map(
        lambda x, ours, theirs: np.testing.assert_array_equal(
            x, np.concatenate([theirs[:2], ours[2:]])
        ),
        found["blocks"],
        tower["blocks"],
        other["blocks"],
    )


def test_one_block_in_common_gets_both_gradients():
    kept, other = shared.own(parameters(TOWER, 0), 1), parameters(OTHER, 1)

    def sums(kept, other):
        one = sum(jnp.sum(x**2) for x in jax.tree.leaves(shared.whole(kept, other, 1)))
        return one + 3 * sum(jnp.sum(x**2) for x in jax.tree.leaves(other))

    ours, theirs = jax.device_get(jax.jit(jax.grad(sums, argnums=(0, 1)))(kept, other))
    jax.tree.map(lambda g, x: np.testing.assert_allclose(g, 2 * x, rtol=1e-6), ours, kept)
    for name, found in theirs.items():
        common = {"patch_embed": 8.0, "blocks": np.float32([8, 6])}.get(name, 6.0)
        jax.tree.map(
            lambda g, x, c=common: np.testing.assert_allclose(
                g, (np.asarray(x).T * c).T, rtol=1e-6
            ),
            found,
            other[name],
        )  # fmt: skip


@pytest.mark.parametrize(
    "tower, other, count, words",
    [
        (TOWER, OTHER, 3, "expected 1 to 2: it has 3 blocks"),
        (TOWER, OTHER, 0, "expected 1 to 2"),
        (TOWER, OTHER, "2", "expected 1 to 2"),
        (TOWER.clone(heads=4), OTHER, 1, "its heads is 4 and the encoder's 2"),
        (TOWER.clone(eps=1e-5), OTHER, 1, "its eps is 1e-05 and the encoder's 1e-06"),
        (TOWER.clone(positions="rope"), OTHER, 1, r"its turned is \('dinov3', 100.0\) and .* None"),
        (TOWER.clone(qk_norm="rms"), OTHER, 1, "its qk_norm is 'rms' and the encoder's 'none'"),
        (
            TOWER.clone(positions="learned_rope", rope_base=10.0),
            OTHER.clone(positions="rope"),
            1,
            r"its turned is \('dinov3', 10.0\) and the encoder's \('dinov3', 100.0\)",
        ),
        (TOWER, encoders.create("resnet_nano"), 1, "the encoder is a ResNet: only ViTs share"),
    ],
)
def test_what_cannot_be_shared(tower, other, count, words):
    with pytest.raises(ConfigError, match=f"config.towers.generator shares .*{words}"):
        shared.check("generator", tower, other, count)
