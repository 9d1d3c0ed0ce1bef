"""SwinV2: exact counts, its equations without any roll in float64, hidden patches, transfer."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.encoders.swin import SwinV2
from m3i_jax.nn import windows


def tiny(**overrides):
    """Two stages over maps of 10x6 and 5x3: shifted, padded, and a window as wide as the map."""
    sizes = dict(width=8, depths=(2, 2), heads=(2, 4), image=(40, 24), window=4)
    return SwinV2(**(sizes | overrides))


def params_of(module):
    """Parameters drawn without any zeros or ones, and position biases between 0 and 16."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    draw = np.random.default_rng(0).normal

    def one(path, leaf):
        mean, deviation = (0.0, 0.1) if "cpb_mlp/fc2" in path else (0.1, 0.3)
        return jnp.float32(draw(mean, deviation, leaf.shape))

    return trees.map_with_name(one, shapes)


def encode(module, params, images, visible=None, **static):
    apply = functools.partial(module.apply, **static)
    return jax.jit(lambda p, x, v: apply({"params": p}, x, visible=v))(params, images, visible)


def pictures(size, batch=2):
    return jax.random.normal(jax.random.key(1), (batch, *size, 3))


def count_(width, depths, heads):
    """By formula, layer by layer."""
    total = (4 * 4 * 3 * width + width) + 2 * width  # patch embedding, its norm
    for i, (depth, h) in enumerate(zip(depths, heads, strict=True)):
        d = width * 2**i
        attention = d * 3 * d + 2 * d + h + (d * d + d)  # qkv, q and v bias, scales, proj
        bias = (2 * 512 + 512) + 512 * h
        mlp = (d * 4 * d + 4 * d) + (4 * d * d + d)
        total += depth * (attention + bias + mlp + 2 * 2 * d)
        total += (4 * d * 2 * d + 2 * 2 * d) * (i < len(depths) - 1)  # merging, its norm
    return total + 2 * d


# B by the formula; the official repository gives 28, 50, 88 and 197 million with a head.
PUBLISHED = {"t": 28.35e6, "s": 49.73e6, "b": 87_918_816, "l": 196.74e6}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name, key):
    module = encoders.create(f"swin_v2_{name}", hide="")
    shapes = jax.eval_shape(module.init, key, module.example())
    count = trees.count(shapes)
    assert count == count_(module.width, module.depths, module.heads)
    head = 1000 * module.features + 1000
    assert abs(count + head - PUBLISHED[name]) <= (0 if name == "b" else 5e3)
    assert (module.patch, module.grid) == (32, (6, 6))


def test_b_without_head_at_any_window(key):
    moved = dict(image=224, window=14, pretrained_window=(12, 12, 12, 6))
    module = encoders.create("swin_v2_b", **moved)
    count = trees.count(jax.eval_shape(module.init, key, module.example()))
    assert count == 86_893_816 + 128  # the mask token
    assert (module.features, module.grid, module.masking) == (1024, (7, 7), "mask")


def norm_(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def attention_(p, x, heads, window, shift, reference):
    """(B, h, w, D) over a whole map, and its weights (B, heads, h·w, h·w).

    There is no roll: windows that start `shift` cells further on part the map into pieces, of which
    the first and the last are cut short, and a cell sees those of its piece.
    """
    b, h, w, d = x.shape
    cell = np.stack(np.mgrid[:h, :w], axis=-1).reshape(-1, 2)
    piece = (cell - shift) // window
    meet = (piece[:, None] == piece[None, :]).all(-1)
    u = 8 * (cell[:, None] - cell[None, :]) / (np.array(reference) - 1)
    u = np.sign(u) * np.log2(1 + np.abs(u)) / 3
    bias = linear_(p["cpb_mlp"]["fc2"], np.maximum(linear_(p["cpb_mlp"]["fc1"], u), 0))
    bias = 16 / (1 + np.exp(-bias.transpose(2, 0, 1)))
    qkv = linear_(p["qkv"], x.reshape(b, h * w, d)).reshape(b, h * w, 3, d)
    q, k, v = qkv[:, :, 0] + p["q_bias"], qkv[:, :, 1], qkv[:, :, 2] + p["v_bias"]
    q, k, v = (y.reshape(b, h * w, heads, -1).transpose(0, 2, 1, 3) for y in (q, k, v))
    q, k = (y / np.linalg.norm(y, axis=-1, keepdims=True) for y in (q, k))
    scale = np.exp(np.minimum(p["logit_scale"], math.log(100)))[:, None, None]
    s = np.where(meet, scale * (q @ k.swapaxes(-1, -2)) + bias, -np.inf)
    weights = np.exp(s - s.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    y = (weights @ v).transpose(0, 2, 1, 3).reshape(b, h, w, d)
    return linear_(p["proj"], y), weights


def mlp_(p, x):
    x = linear_(p["fc1"], x)
    return linear_(p["fc2"], x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2)


def merging_(p, x):
    """The four cells 2i + a, 2j + b in the order (a, b) = (0, 0), (1, 0), (0, 1), (1, 1)."""
    parts = [x[:, a::2, b::2] for b in (0, 1) for a in (0, 1)]
    return norm_(p["norm"], linear_(p["reduction"], np.concatenate(parts, axis=-1)))


def embedded_(p, images):
    b, h, w, _ = images.shape
    patches = np.float64(images).reshape(b, h // 4, 4, w // 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    x = linear_(p["patch_embed"]["proj"], patches.reshape(b, h // 4, w // 4, 48))
    return norm_(p["patch_embed"]["norm"], x)


def forward_(p, x, heads, cuts):
    """Outputs and weights of every block, from embedded patches; cuts: per block, see `CUTS`."""
    outputs, all_weights = [], []
    for i in range(2):
        stage = p[f"stages_{i}"]
        for j in range(2):
            block = jax.tree.map(lambda leaf, j=j: leaf[j], stage["blocks"])
            y, weights = attention_(block["attn"], x, heads[i], *cuts[2 * i + j])
            x = x + norm_(block["norm1"], y)
            x = x + norm_(block["norm2"], mlp_(block["mlp"], x))
            outputs.append(x.reshape(x.shape[0], -1, x.shape[-1]))
            all_weights.append(weights)
        x = merging_(stage["downsample"], x) if i == 0 else x
    return outputs, all_weights


# (window, shift, reference) of the blocks of `tiny`, whose maps are 10x6 and 5x3.
CUTS = [
    ((4, 4), (0, 0), (4, 4)),
    ((4, 4), (2, 2), (4, 4)),
    ((4, 3), (0, 0), (4, 3)),
    ((4, 3), (2, 0), (4, 3)),
]


def dense(weights, cut):
    """Weights (B, windows, heads, q, k) over the whole map, (B, heads, h·w, h·w)."""
    cells, size = windows.cells(cut), cut.grid[0] * cut.grid[1]
    out = np.zeros((weights.shape[0], weights.shape[2], size + 1, size + 1))
    for n, places in enumerate(cells):
        out[:, :, places[:, None], places[None, :]] += np.asarray(weights[:, n])
    return out[:, :, :-1, :-1]  # padding is place -1


@pytest.mark.parametrize("pretrained", [0, (7, 6)])
def test_forward_in_float64(pretrained):
    module = tiny(pretrained_window=pretrained)
    params, images = params_of(module), pictures((40, 24))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    cuts = CUTS
    if pretrained:
        cuts = [(*cut[:2], (pretrained[i // 2],) * 2) for i, cut in enumerate(CUTS)]
    outputs, weights = forward_(p, embedded_(p, images), (2, 4), cuts)
    got = encode(module, params, images, layers=True, attention=True)
    for i, cut in enumerate(module.windows()):
        assert (cut.size, cut.shift) == CUTS[i][:2]
        np.testing.assert_allclose(got.layers[i], outputs[i], rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(dense(got.attention[i], cut), weights[i], atol=1e-6)
        np.testing.assert_allclose(got.attention[i].sum(-1), 1, rtol=1e-6)
    assert [x.shape for x in got.layers] == 2 * [(2, 60, 8)] + 2 * [(2, 15, 16)]
    assert [x.shape for x in got.attention] == 2 * [(2, 6, 2, 16, 16)] + 2 * [(2, 2, 4, 12, 12)]
    np.testing.assert_allclose(got.tokens, norm_(p["norm"], outputs[-1]), rtol=2e-5, atol=2e-5)
    assert got.tokens.dtype == jnp.float32 and got.pooled is None and got.index is None


def test_hidden_patches_are_the_mask_token():
    module = tiny()
    params, images = params_of(module), pictures((40, 24))
    visible = np.random.default_rng(2).random((2, 5, 3)) < 0.5
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    seen = visible.repeat(2, axis=1).repeat(2, axis=2)[..., None]
    x = np.where(seen, embedded_(p, images), p["mask_token"][None])
    want = norm_(p["norm"], forward_(p, x, (2, 4), CUTS)[0][-1])
    got = encode(module, params, images, visible)
    np.testing.assert_allclose(got.tokens, want, rtol=2e-5, atol=2e-5)


def test_hidden_pixels_have_no_influence():
    module = tiny()
    params, images = params_of(module), pictures((40, 24))
    visible = np.random.default_rng(3).random((2, 5, 3)) < 0.5

    def total(images):
        features = module.apply(
            {"params": params}, images, visible=visible, keep=7, layers=True, attention=True
        )
        return sum(jnp.sin((i + 1) * x).sum() for i, x in enumerate(jax.tree.leaves(features)))

    slope = np.asarray(jax.jit(jax.grad(total))(images))
    pixels = visible.repeat(8, axis=1).repeat(8, axis=2)
    assert not slope[~pixels].any()
    assert (slope[pixels] != 0).mean() > 0.99


def test_blocks_start_as_the_identity(key):
    module = tiny()
    params = jax.jit(module.init)(key, module.example())["params"]
    got = encode(module, params, pictures((40, 24)), layers=True)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    x = embedded_(p, pictures((40, 24)))
    for i, want in enumerate((x, merging_(p["stages_0"]["downsample"], x))):
        want = want.reshape(2, -1, want.shape[-1])
        np.testing.assert_allclose(got.layers[2 * i], want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got.layers[2 * i], got.layers[2 * i + 1])


def test_the_bias_moves_to_other_windows():
    """Naming the window of pre-training is what a network does by itself for other images."""
    small, large = tiny(image=16, window=4), pictures((32, 32))
    params = params_of(small)
    named = tiny(image=32, window=4, pretrained_window=(4, 2))
    want = encode(named, params, large).tokens
    np.testing.assert_array_equal(encode(small, params, large).tokens, want)
    forgotten = encode(tiny(image=32, window=4), params, large).tokens
    assert np.abs(forgotten - want).max() > 1e-3
    same = tiny(image=16, window=4, pretrained_window=(4, 2))
    few = pictures((16, 16))
    want = encode(small, params, few).tokens
    np.testing.assert_array_equal(encode(same, params, few).tokens, want)


def test_shift_and_window_by_stage():
    module = tiny(image=64, shift=(True, False), window=(8, 4))
    assert [(x.grid, x.size, x.shift) for x in module.windows()] == [
        ((16, 16), (8, 8), (0, 0)),
        ((16, 16), (8, 8), (4, 4)),
        ((8, 8), (4, 4), (0, 0)),
        ((8, 8), (4, 4), (0, 0)),
    ]
    # MIM-Depth's on NYU (Xie et al. 2023), as JSON gives it.
    depth = dict(image=480, window=[30, 30, 30, 15], shift=[True, True, False, False])
    cuts = encoders.create("swin_v2_b", **depth).windows()
    assert [cut.shift[0] for cut in cuts[:6]] == [0, 15, 0, 15, 0, 0]
    assert all(cut.padded == cut.grid for cut in cuts)


def test_scan_and_remat_change_nothing():
    stage = functools.partial(tiny, depths=(3,), heads=(2,))
    params, images = params_of(stage()), pictures((40, 24))

    def gradients(**how):
        module = stage(**how)
        loss = lambda p: jnp.square(module.apply({"params": p}, images).tokens).mean()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(params)

    want = gradients()
    for how in (dict(scan=False), dict(remat="full"), dict(remat="dots", scan=False)):
        got = gradients(**how)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)


def test_bfloat16_stays_close_with_finite_gradients():
    module, half = tiny(), tiny(dtype="bfloat16")
    params, images = params_of(module), pictures((40, 24))
    exact = encode(module, params, images).tokens

    @jax.jit
    def gradients(p):
        def loss(p):
            tokens = half.apply({"params": p}, images).tokens
            return jnp.square(tokens).mean(), tokens

        return jax.grad(loss, has_aux=True)(p)

    grads, tokens = jax.device_get(gradients(params))
    assert tokens.dtype == jnp.float32
    error = np.linalg.norm(tokens - exact) / np.linalg.norm(exact)
    assert 1e-4 < error < 0.03  # about ten roundings of 2^-9 each
    for path, leaf in trees.named_leaves(grads):
        assert np.isfinite(leaf).all(), path
        # A token that is not asked for has no gradient; everything else has.
        assert leaf.any() == (path != "mask_token"), path


def test_a_training_step(key):
    module = tiny(drop_path=0.5)
    params, images = params_of(module), pictures((40, 24))
    visible = jnp.zeros((2, 5, 3), bool).at[:, ::2].set(True)

    @jax.jit
    def step(params, key):
        def loss(params):
            how = dict(visible=visible, train=True, rngs={"droppath": key})
            return jnp.abs(module.apply({"params": params}, images, **how).tokens).mean()

        return jax.value_and_grad(loss)(params)

    value, grads = jax.device_get(step(params, key))
    assert np.isfinite(value) and all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
    assert grads["mask_token"].any()
    assert step(params, key)[0] == value != step(params, jax.random.key(1))[0]


@pytest.mark.parametrize("schedule", ["linear", "uniform"])
def test_paths_are_dropped_over_all_stages(key, schedule):
    module = tiny(image=16, drop_path=0.9, drop_path_schedule=schedule)
    params, images = params_of(module), pictures((16, 16), batch=256)
    how = dict(train=True, layers=True, rngs={"droppath": key})
    layers = encode(module, params, images, **how).layers
    # Whole samples pass a block unchanged where both of its branches are dropped.
    for first, second in ((0, 1), (2, 3)):
        same = np.mean((np.asarray(layers[first]) == layers[second]).all((1, 2)))
        rate = 0.9 if schedule == "uniform" else (0.0, 0.3, 0.6, 0.9)[second]
        assert abs(same - rate**2) < 0.12  # four deviations of 256 draws at most


def test_the_first_blocks_are_a_network_of_their_own():
    """Layer dropping (Dark Secrets): outputs of a stage do not depend on the blocks behind."""
    long, short = tiny(depths=(2, 3), image=64), tiny(depths=(2, 2), image=64, final_norm=False)
    params, images = params_of(long), pictures((64, 64))
    first = trees.map_with_name(
        lambda path, x: x[:2] if path.startswith("stages_1/") else x, trees.drop(params, "^norm/")
    )
    want = encode(long, params, images, layers=True).layers[3]
    np.testing.assert_allclose(encode(short, first, images).tokens, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "overrides, words",
    [
        (dict(image=200), "image 200x200 is not divisible by 32"),
        (dict(image=(224, 200)), "image 224x200 is not divisible by 32"),
        (dict(window=0), "window is 0, expected 1 to 64"),
        (dict(window=(7, 7)), "window"),
        (dict(window=(7, 7, 7, "7")), "window"),
        (dict(pretrained_window=(12, 12, 12, -6)), "pretrained_window"),
        (dict(shift=(True, True, 0, 0)), "expected True or False"),
        (dict(shift=(True, False)), "shift .* one for all stages, or 4 of them"),
        (dict(hide="drop"), "hide is 'drop'"),
        (dict(heads=(3, 6, 12)), "one number of each per stage"),
        (dict(heads=(3, 8, 16, 32)), "stage 0 of the encoder: width 128 is not divisible by 3"),
        (dict(dtype="bf16"), "dtype is 'bf16'"),
        (dict(drop_path=1.0), "drop_path is 1.0, expected 0 to 0.9"),
    ],
)
def test_mistakes(overrides, words):
    with pytest.raises(ConfigError, match=words):
        encoders.create("swin_v2_b", **overrides)


def test_wrong_images_and_masks(key):
    module = tiny(hide="")
    assert module.masking == ""
    shape = lambda *args, **how: jax.eval_shape(  # noqa: E731
        functools.partial(module.init, **how), key, *args
    )
    with pytest.raises(ValueError, match="36x24, which is not divisible by 8"):
        shape(jnp.zeros((1, 36, 24, 3)))
    with pytest.raises(ValueError, match="no mask token"):
        shape(module.example(), visible=jnp.ones((1, 5, 3), bool))
    module = tiny()
    with pytest.raises(ValueError, match=r"the mask has \(10, 6\) cells, the images have \(5, 3\)"):
        shape(module.example(), visible=jnp.ones((1, 10, 6), bool))
