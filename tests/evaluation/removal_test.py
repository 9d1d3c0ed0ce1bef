"""An encoder without a block skips it, without a head lacks exactly what that head adds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import removal

VIT = dict(name="vit_nano", image=16, width=16, depth=3, heads=2)
SWIN = dict(name="swin_v2_t", width=8, depths=(1, 3), heads=(1, 2), image=16, stride=2, window=2)
ENCODERS = {
    "ViT": VIT,
    "ViT scaled": dict(VIT, layer_scale=0.1, qkv_bias="qv", relative_bias="layer"),
    "SwinV2": SWIN,
    "RepLKNet": dict(
        name="replknet_31b",
        kernels=(5, 3),
        small_kernel=3,
        depths=(1, 3),
        channels=(8, 8),
        image=16,
    ),
    "ResNet": dict(name="resnet_nano", image=16, width=8),
    "ResNet of bottlenecks": dict(name="resnet_nano", image=16, width=4, block="bottleneck"),
    **{
        f"InternImage {form}": dict(
            name="internimage_t", width=8, groups=1, depths=(1, 2), image=32, norm=norm, **more
        )
        for form, norm, more in (
            ("pre", "pre", {}),
            ("post", "post", {}),
            ("scaled", "post", dict(layer_scale=0.1)),
            ("res-post", "res_post", {}),
        )
    },
}


def shaken(name):
    """An encoder, parameters none of which is zero or one, and images."""
    block = dict(ENCODERS[name])
    module = encoders.create(block.pop("name"), **block)
    params = module.init(jax.random.key(0), module.example())["params"]
    rng = np.random.default_rng(0)
    noise = lambda leaf: jnp.asarray(leaf + 0.1 + 0.1 * rng.random(leaf.shape, np.float32))  # noqa: E731
    images = rng.standard_normal((2, *module.size, 3)).astype(np.float32)
    return module, jax.tree.map(noise, params), images


def layers(module, params, images):
    how = {"batch_stats": 0} if getattr(module, "has_batch_stats", False) else {}
    return [
        np.asarray(x) for x in module.apply({"params": params}, images, layers=True, **how).layers
    ]


@pytest.mark.parametrize("name", ENCODERS)
def test_without_a_block_the_next_one_sees_what_it_saw(name):
    module, params, images = shaken(name)
    count = removal.blocks(module)
    before = layers(module, params, images)
    assert len(before) == count
    block = count  # the last one, which has its input from the one before it, in one stage
    removed = layers(module, removal.block_removed(params, module, block), images)
    for intact, without in zip(before[:-1], removed[:-1], strict=True):
        np.testing.assert_array_equal(intact, without)
    np.testing.assert_array_equal(removed[-1], removed[-2])
    assert np.abs(before[-1] - before[-2]).max() > 1e-3


@pytest.mark.parametrize("name", ["ViT", "SwinV2", "RepLKNet", "ResNet"])
def test_which_block_may_be_traced(name):
    module, params, images = shaken(name)
    removed = jax.jit(lambda block: removal.block_removed(params, module, block))
    for block in range(1, removal.blocks(module) + 1):
        for one, other in zip(
            jax.tree.leaves(removed(block)),
            jax.tree.leaves(removal.block_removed(params, module, block)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_a_vit_without_a_block_is_one_of_the_other_blocks():
    module, params, images = shaken("ViT")
    left = {**params, "blocks": jax.tree.map(lambda x: x[np.asarray([0, 2])], params["blocks"])}
    expected = module.clone(depth=2).apply({"params": left}, images).tokens
    tokens = module.apply({"params": removal.block_removed(params, module, 2)}, images).tokens
    np.testing.assert_allclose(tokens, expected, rtol=1e-5, atol=1e-5)  # float32 of two programs


def silent(params, module, block, head):
    """The parameters with values of zero for one head: what it reads there adds nothing."""
    changed = jax.tree.map(np.array, params)
    stack, number = changed.get("blocks"), block - 1
    if stack is None:  # SwinV2: one block, and the rest in the second stage
        stage, number = (0, 0) if block == 1 else (1, block - 2)
        stack = changed[f"stages_{stage}"]["blocks"]
    attention, heads = stack["attn"], removal.heads(module)[block - 1]
    width = attention["proj"]["kernel"].shape[1]
    dim = width // heads
    own = slice(2 * width + (head - 1) * dim, 2 * width + head * dim)
    attention["qkv"]["kernel"][number][:, own] = 0
    if "bias" in attention["qkv"]:
        attention["qkv"]["bias"][number][own] = 0
    else:
        attention["v_bias"][number][(head - 1) * dim : head * dim] = 0
    return changed


@pytest.mark.parametrize("name", ["ViT", "ViT scaled", "SwinV2"])
def test_without_a_head_nothing_is_added_of_its_values(name):
    module, params, images = shaken(name)
    encode = jax.jit(lambda params: module.apply({"params": params}, images).tokens)
    removed = jax.jit(lambda block, head: removal.head_removed(params, module, block, head))
    for block, heads in enumerate(removal.heads(module), 1):
        for head in range(1, heads + 1):
            tokens = encode(removed(block, head))
            np.testing.assert_allclose(
                tokens, encode(silent(params, module, block, head)), rtol=2e-5, atol=2e-5
            )
            assert np.abs(tokens - encode(params)).max() > 1e-3


def test_numbers_run_over_all_stages():
    module, _, _ = shaken("SwinV2")
    assert removal.heads(module) == [1, 2, 2, 2]
    assert removal.blocks(module) == 4
    assert removal.blocks(shaken("ResNet")[0]) == 6


def test_what_has_no_heads_or_blocks_says_so():
    module, params, _ = shaken("ResNet")
    assert removal.heads(module) == []
    with pytest.raises(ConfigError, match="a ResNet has no heads"):
        removal.head_removed(params, module, 1, 1)
    with pytest.raises(ConfigError, match="has no blocks"):
        removal.stacks(object())
