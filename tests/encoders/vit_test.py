"""The ViT: exact counts, its equations in float64, and that hidden patches do not exist for it."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, geometry, masks, normalize, trees
from m3i_jax.build import ConfigError
from m3i_jax.encoders.vit import ViT, fixed_positions
from m3i_jax.nn.relative import relative_index
from m3i_jax.nn.resample import resample


def tiny(**overrides):
    sizes = dict(image=(8, 12), patch=4, width=16, depth=2, heads=2)
    return encoders.create("vit_nano", **(sizes | overrides))


def params_of(module, key):
    """Parameters drawn without any zeros or ones."""
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


def encode(module, params, images, visible=None, **static):
    apply = functools.partial(module.apply, **static)
    return jax.jit(lambda p, x, v: apply({"params": p}, x, visible=v))(params, images, visible)


def half_visible(key, batch, grid=(2, 3), keep=3):
    order = jax.vmap(lambda k: jax.random.permutation(k, grid[0] * grid[1]))
    return (order(jax.random.split(key, batch)) < keep).reshape(batch, *grid)


# As timm counts them: with a 1000-class head, without.
COUNTS = {
    "vit_s16": (22_050_664, 21_665_664),
    "vit_b16": (86_567_656, 85_798_656),
    "vit_l16": (304_326_632, 303_301_632),
    "vit_h14": (632_045_800, 630_764_800),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, key):
    module = encoders.create(name, positions="learned")
    count = trees.count(jax.eval_shape(module.init, key, module.example()))
    head = 1000 * module.width + 1000
    assert (count + head, count) == COUNTS[name]
    fixed = encoders.create(name)
    difference = count - trees.count(jax.eval_shape(fixed.init, key, fixed.example()))
    assert difference == (math.prod(module.grid) + 1) * module.width


def norm_(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def block_(p, x, heads, bias=0.0):
    b, n, d = x.shape
    qkv = linear_(p["attn"]["qkv"], norm_(p["norm1"], x)).reshape(b, n, 3, heads, d // heads)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    w = np.exp(np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(d // heads) + bias)
    w = w / w.sum(-1, keepdims=True)
    x = x + linear_(p["attn"]["proj"], np.einsum("bhqk,bkhd->bqhd", w, v).reshape(b, n, d))
    h = linear_(p["mlp"]["fc1"], norm_(p["norm2"], x))
    return x + linear_(p["mlp"]["fc2"], h * (1 + np.vectorize(math.erf)(h / np.sqrt(2))) / 2)


def test_forward_in_float64(key):
    module = tiny()
    params = params_of(module, key)
    images = jax.random.normal(key, (3, 8, 12, 3))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    patches = np.asarray(images, np.float64).reshape(3, 2, 4, 3, 4, 3)
    x = linear_(p["patch_embed"], patches.transpose(0, 1, 3, 2, 4, 5).reshape(3, 6, 48))
    x = x + np.asarray(geometry.sincos((2, 3), 16))
    x = np.concatenate([np.broadcast_to(p["cls_token"], (3, 1, 16)), x], axis=1)
    for i in range(2):
        x = block_(jax.tree.map(lambda leaf, i=i: leaf[i], p["blocks"]), x, 2)
    got = encode(module, params, images, layers=True, attention=True)
    np.testing.assert_allclose(got.layers[-1], x[:, 1:], rtol=1e-5, atol=1e-5)
    x = norm_(p["norm"], x)
    np.testing.assert_allclose(got.pooled, x[:, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.tokens, x[:, 1:], rtol=1e-5, atol=1e-5)
    assert got.index is None
    assert (got.layers.shape, got.attention.shape) == ((2, 3, 6, 16), (2, 3, 2, 7, 7))
    np.testing.assert_allclose(got.attention.sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("hide", ["drop", "mask"])
def test_hidden_pixels_have_no_influence(key, hide):
    module = tiny(hide=hide)
    params = params_of(module, key)
    images = jax.random.normal(key, (3, 8, 12, 3))
    visible = half_visible(key, 3)

    def total(images):
        features = module.apply(
            {"params": params}, images, visible=visible, keep=3, layers=True, attention=True
        )
        arrays = [x for x in features._replace(index=None) if x is not None]
        return sum(jnp.sin((i + 1) * x).sum() for i, x in enumerate(arrays))

    grad = np.asarray(jax.jit(jax.grad(total))(images))
    pixels = np.repeat(np.repeat(np.asarray(visible), 4, axis=1), 4, axis=2)
    assert not grad[~pixels].any()
    assert (grad[pixels] != 0).all()


def test_dropping_is_encoding_the_visible_cells_alone(key):
    module = tiny(class_token=False, positions="learned", final_norm=False)
    params = params_of(module, key)
    images, visible = jax.random.normal(key, (3, 8, 12, 3)), half_visible(key, 3)
    got = encode(module, params, images, visible, keep=3, layers=True)
    np.testing.assert_array_equal(got.index, masks.indices(visible, 3))
    assert got.pooled is None and got.layers.shape == (2, 3, 3, 16)
    # With everything visible, dropping nothing gives what no mask at all gives.
    full = encode(module, params, images, jnp.ones((3, 2, 3), bool), keep=6)
    np.testing.assert_array_equal(full.index, np.tile(np.arange(6), (3, 1)))
    plain = encode(module, params, images)
    np.testing.assert_allclose(full.tokens, plain.tokens, rtol=1e-5, atol=1e-5)


def test_positions_class_first_and_without_parameters(key):
    table = fixed_positions((2, 3), 16, class_token=True)
    assert not table[0].any()
    np.testing.assert_array_equal(table[1:], geometry.sincos((2, 3), 16))
    shapes = jax.eval_shape(tiny().init, key, tiny().example())["params"]
    assert set(shapes) == {"patch_embed", "cls_token", "blocks", "norm"}
    learned = tiny(positions="learned", final_norm=False, class_token=False, hide="mask")
    shapes = jax.eval_shape(learned.init, key, learned.example())["params"]
    assert set(shapes) == {"patch_embed", "pos_embed", "mask_token", "blocks"}
    assert shapes["pos_embed"].shape == (1, 6, 16)


def test_options_reach_the_blocks(key):
    module = tiny(layer_scale=1e-5, qkv_bias=False, mlp_ratio=2)
    blocks = jax.eval_shape(module.init, key, module.example())["params"]["blocks"]
    assert blocks["ls1"]["gamma"].shape == (2, 16)
    assert set(blocks["attn"]["qkv"]) == {"kernel"}
    assert blocks["mlp"]["fc1"]["kernel"].shape == (2, 16, 32)


def test_moco_v3_small_has_twelve_heads_and_as_many_parameters(key):
    module = encoders.create("vit_s16", heads=12, positions="learned")
    assert trees.count(jax.eval_shape(module.init, key, module.example())) == COUNTS["vit_s16"][1]


def test_beit_init_reaches_everything_that_is_drawn(key):
    module = tiny(weight_init="beit", positions="learned", hide="mask")
    params = jax.jit(module.init)(key, module.example())["params"]
    for path, leaf in trees.named_leaves(params):
        largest = float(jnp.abs(leaf).max())
        if path.endswith(("kernel", "token", "embed")):
            assert 0 < largest <= 0.02 * (1 + 1e-6), path
        else:
            np.testing.assert_array_equal(leaf, 1.0 if path.endswith("scale") else 0.0)
    proj = jnp.abs(params["blocks"]["attn"]["proj"]["kernel"]).max((1, 2))
    assert np.all(proj <= 0.02 / np.sqrt([2, 4]) * (1 + 1e-6))


def test_tuned_positions_start_as_the_fixed_ones_and_learn(key):
    """MAE's fine-tuning: the published table of sines is a parameter."""
    images = jax.random.normal(key, (2, 8, 12, 3))
    tuned, fixed = tiny(positions="tuned"), tiny(positions="sincos")
    params = jax.jit(tuned.init)(key, images)["params"]
    rest = {name: leaf for name, leaf in params.items() if name != "pos_embed"}
    np.testing.assert_array_equal(
        encode(tuned, params, images).tokens, encode(fixed, rest, images).tokens
    )
    grad = jax.grad(lambda p: encode(tuned, p, images).tokens[..., 0].sum())(params)
    assert float(abs(grad["pos_embed"]).max()) > 0


@pytest.mark.parametrize("name", ["imagenet", "clip", "inception"])
def test_images_are_normalised_as_the_weights_expect(key, name):
    """An encoder that expects other statistics sees what normalising the pixels by them gives."""
    pixels = jax.random.uniform(key, (2, 8, 12, 3))
    params, module = params_of(tiny(), key), tiny(normalization=name)
    own, imagenet = normalize.CHANNELS[name], normalize.CHANNELS["imagenet"]
    by = lambda m, s: jnp.float32((np.float64(pixels) - np.array(m)) / np.array(s))  # noqa: E731
    want = encode(tiny(), params, by(*own)).tokens
    got = encode(module, params, by(*imagenet)).tokens
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    other = encode(tiny(), params, by(*imagenet)).tokens
    assert (name == "imagenet") == np.allclose(other, want, atol=1e-3)


def test_attention_dropout_is_drawn_in_training_only(key):
    module, images = tiny(attention_dropout=0.3), jax.random.normal(key, (3, 8, 12, 3))
    params = params_of(module, key)
    still = encode(module, params, images).tokens
    np.testing.assert_array_equal(still, encode(tiny(), params, images).tokens)
    drawn = lambda k: encode(module, params, images, train=True, rngs={"droppath": k}).tokens  # noqa: E731
    one, again, other = (drawn(jax.random.key(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, still) and not np.allclose(one, other)


def test_bfloat16_stays_close_and_returns_float32(key):
    images = jax.random.normal(key, (3, 8, 12, 3))
    params = params_of(tiny(), key)
    exact = encode(tiny(), params, images, attention=True)
    half = encode(tiny(dtype="bfloat16"), params, images, attention=True)
    assert all(x.dtype == jnp.float32 for x in half if x is not None)
    error = jnp.linalg.norm(half.tokens - exact.tokens) / jnp.linalg.norm(exact.tokens)
    # About ten roundings of 2^-9 each lie between pixels and tokens.
    assert 1e-4 < error < 0.02


@pytest.mark.parametrize("kind", ["shared", "layer"])
@pytest.mark.parametrize("scan", [True, False])
def test_relative_bias_in_float64(key, kind, scan):
    module = tiny(positions="none", relative_bias=kind, qkv_bias="qv", scan=scan)
    params = params_of(module, key)
    images = jax.random.normal(key, (3, 8, 12, 3))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    x = linear_(p["patch_embed"], np.float64(geometry.patchify(images, 4)))
    x = np.concatenate([np.broadcast_to(p["cls_token"], (3, 1, 16)), x], axis=1)
    tables = p["blocks"]["attn"] if kind == "layer" else p
    assert tables["relative_position"]["table"].shape[-2:] == (3 * 5 + 3, 2)
    for i in range(2):
        block = jax.tree.map(lambda leaf, i=i: leaf[i], p["blocks"])
        attn = block["attn"]
        attn["qkv"]["bias"] = np.concatenate([attn["q_bias"], np.zeros(16), attn["v_bias"]])
        table = (attn if kind == "layer" else p)["relative_position"]["table"]
        bias = table[relative_index((2, 3), class_token=True)].transpose(2, 0, 1)
        x = block_(block, x, 2, bias)
    got = encode(module, params, images)
    x = norm_(p["norm"], x)
    np.testing.assert_allclose(got.pooled, x[:, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.tokens, x[:, 1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["shared", "layer"])
def test_relative_bias_of_kept_cells(key, kind):
    module = tiny(positions="none", relative_bias=kind, class_token=False)
    params = params_of(module, key)
    images = jax.random.normal(key, (2, 8, 12, 3))
    # Cells 1, 2, 4, 5 are a 2x2 image of their own: only offsets count.
    right = jnp.tile(jnp.array([False, True, True]), (2, 2, 1))
    got = encode(module, params, images, right, keep=4)
    np.testing.assert_array_equal(got.index[0], [1, 2, 4, 5])
    home = params["blocks"]["attn"] if kind == "layer" else params
    table = home["relative_position"]["table"]
    offsets = table.reshape(*table.shape[:-2], 3, 5, 2)[..., 1:4, :]
    home["relative_position"]["table"] = offsets.reshape(*table.shape[:-2], 9, 2)
    small = tiny(image=8, positions="none", relative_bias=kind, class_token=False)
    alone = encode(small, params, images[:, :, 4:])
    np.testing.assert_allclose(got.tokens, alone.tokens, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_images_of_another_size(key, positions):
    module = tiny(positions=positions, relative_bias="shared", hide="mask")
    params = params_of(module, key)
    images = jax.random.normal(key, (2, 16, 8, 3))
    # The same as an encoder that is made for the size, given the resampled tables.
    made = tiny(positions="learned", relative_bias="shared", hide="mask", image=(16, 8))
    if positions == "learned":
        table = params["pos_embed"][0]
    else:
        table = fixed_positions((2, 3), 16, class_token=True)
    moved = resample(table[1:].reshape(2, 3, 16), (4, 2)).reshape(8, 16)
    bias = params["relative_position"]["table"]
    offsets = resample(bias[:15].reshape(3, 5, 2), (7, 3)).reshape(21, 2)
    other = params | {
        "pos_embed": jnp.concatenate([table[:1], moved])[None],
        "relative_position": {"table": jnp.concatenate([offsets, bias[15:]])},
    }
    visible = half_visible(key, 2, (4, 2))
    got = encode(module, params, images, visible)
    want = encode(made, other, images, visible)
    np.testing.assert_allclose(got.tokens, want.tokens, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.pooled, want.pooled, rtol=1e-5, atol=1e-5)


def test_without_positions_patches_are_a_set(key):
    module = tiny(positions="none")
    params = params_of(module, key)
    assert "pos_embed" not in params
    images = jax.random.normal(key, (2, 8, 12, 3))
    got, flipped = (encode(module, params, x) for x in (images, jnp.roll(images, 4, axis=2)))
    np.testing.assert_allclose(got.pooled, flipped.pooled, rtol=1e-5, atol=1e-5)


def test_frozen_patch_embedding_has_no_gradient(key):
    images = jax.random.normal(key, (2, 8, 12, 3))
    params = params_of(tiny(), key)

    def grad(**options):
        module = tiny(**options)
        return jax.jit(jax.grad(lambda p: module.apply({"params": p}, images).tokens.std()))(params)

    frozen, free = grad(frozen_patch=True), grad()
    assert not any(g.any() for g in jax.tree.leaves(frozen.pop("patch_embed")))
    assert all(g.any() for g in jax.tree.leaves(free.pop("patch_embed")))
    for a, b in zip(jax.tree.leaves(frozen), jax.tree.leaves(free), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_beit_parameter_count(key):
    # By formula: 12 D^2 + 12 D in a block, and LayerScale's 2 D, of 12 blocks; 27^2 + 3 offsets.
    options = dict(positions="none", relative_bias="shared", qkv_bias="qv", layer_scale=0.1)
    module = encoders.create("vit_b16", hide="mask", **options)
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    blocks, d = 12 * (12 * 768**2 + 14 * 768), 768
    assert trees.count(shapes["blocks"]) == blocks
    assert trees.count(shapes) == blocks + 12 * 732 + (d * d + d) + 2 * d + 2 * d


DETECTING = dict(window=14, global_blocks=(3, 6, 9, 12), relative_bias="decomposed")


def test_parameter_counts_on_large_images(key):
    """ViT-B of ViTDet: 64x64 positions, no class token, no last norm; and the codes of offsets."""
    fields = dict(image=1024, positions="learned", class_token=False, final_norm=False)
    count = lambda m: trees.count(jax.eval_shape(m.init, key, m.example()))  # noqa: E731
    plain = count(encoders.create("vit_b16", **fields))
    whole = count(encoders.create("vit_b16", **fields, **DETECTING))
    # Of the published 85 796 352, positions are 14x14 beside a class token's, as they come.
    assert plain - 64**2 * 768 + 197 * 768 == 85_796_352
    assert whole - plain == 92_672


def test_cells_of_a_map_are_not_dropped(key):
    module = tiny(class_token=False, window=2, relative_bias="decomposed", positions="learned")
    params, images = params_of(module, key), jax.random.normal(key, (2, 8, 12, 3))
    with pytest.raises(ValueError, match="cells that are dropped leave no map"):
        encode(module, params, images, half_visible(key, 2), keep=3)
    hidden = tiny(class_token=False, window=2, hide="mask", positions="learned")
    params = params_of(hidden, key)
    visible = half_visible(key, 2)
    pixels = jnp.repeat(jnp.repeat(visible, 4, axis=1), 4, axis=2)[..., None]
    one, two = (encode(hidden, params, x, visible).tokens for x in (images, images * pixels))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_mismatches_speak(key):
    module = tiny()
    params = params_of(module, key)
    with pytest.raises(ValueError, match="images are 8x10, which is not divisible by patch 4"):
        module.apply({"params": params}, jnp.zeros((1, 8, 10, 3)))
    with pytest.raises(ValueError, match="needs `keep`"):
        module.apply(
            {"params": params}, jnp.zeros((1, 8, 12, 3)), visible=jnp.ones((1, 2, 3), bool)
        )
    with pytest.raises(ValueError, match="the mask has"):
        module.apply({"params": params}, jnp.zeros((1, 8, 8, 3)), visible=jnp.ones((1, 2, 3), bool))
    for options, words in (
        ({"positions": "sinus"}, "did you mean 'sincos'"),
        ({"relative_bias": "layers"}, "did you mean 'layer'"),
        ({"qkv_bias": "q"}, "did you mean 'qv'"),
        ({"activation": "reluu"}, "activation is 'reluu', .*did you mean 'relu'"),
        ({"weight_init": "biet"}, "did you mean 'beit'"),
        ({"normalization": "klip"}, "did you mean 'clip'"),
    ):
        with pytest.raises(ConfigError, match=words):
            tiny(**options)


def test_rotary_positions_are_those_of_the_cells_that_are_kept(key):
    """In the first block a cell is itself alone: its scores are those of the whole image."""
    small = dict(width=16, depth=2, heads=2, patch=4, image=16, hide="drop", registers=1)
    module, images = ViT(**small, positions="rope"), jax.random.normal(key, (2, 16, 16, 3))
    params = module.init(key, images)["params"]
    assert "pos_embed" not in params
    visible = np.zeros((2, 16), bool)
    visible[0, [1, 6, 7, 12]] = visible[1, [0, 2, 9, 15]] = True
    look = lambda scores: scores.logits  # noqa: E731
    run = lambda m, x=images, **how: m.apply({"params": params}, x, attention=look, **how)  # noqa: E731
    whole, few = run(module), run(module, visible=visible.reshape(2, 4, 4), keep=4)
    for image, cells in enumerate(visible):
        rows = np.concatenate([[0, 1], 2 + np.flatnonzero(cells)])
        want = whole.attention[0, image][:, rows][:, :, rows]
        np.testing.assert_allclose(few.attention[0, image], want, rtol=1e-5, atol=1e-6)
    plain = run(ViT(**small, positions="none"))
    front = lambda found: found.attention[0][:, :, :2, :2]  # noqa: E731
    np.testing.assert_array_equal(front(whole), front(plain), "class token and register stay")
    assert np.abs(whole.attention[0] - plain.attention[0]).max() > 1e-3
    assert run(module, jax.random.normal(key, (1, 8, 24, 3))).tokens.shape == (1, 12, 16)
    with pytest.raises(ConfigError, match="heads are 2 wide, which is not divisible by 4"):
        ViT(**small | dict(heads=8), positions="rope").check()


def test_registers_stand_behind_the_class_token_and_are_not_returned(key):
    """Theirs is attention alone: as patches whose embedding and position are theirs."""
    images = jax.random.normal(key, (2, 8, 8, 3))
    small = dict(width=16, depth=2, heads=2, patch=4, image=8, hide="mask")
    plain, with_them = (ViT(**small, registers=count) for count in (0, 3))
    params = with_them.init(key, images)["params"]
    assert params["reg_token"].shape == (1, 3, 16) and np.abs(params["reg_token"]).max() < 1e-5
    params["reg_token"] = jax.random.normal(key, (1, 3, 16))
    found = with_them.apply({"params": params}, images, layers=True)
    assert found.tokens.shape == (2, 4, 16) and found.layers.shape == (2, 2, 4, 16)
    other = with_them.apply({"params": params | {"reg_token": 2 * params["reg_token"]}}, images)
    assert np.abs(other.tokens - found.tokens).max() > 1e-3, "they are attended to"
    del params["reg_token"]
    assert plain.apply({"params": params}, images).tokens.shape == (2, 4, 16)
    with pytest.raises(ConfigError, match="registers have no place"):
        ViT(**small, registers=1, relative_bias="shared").check()
