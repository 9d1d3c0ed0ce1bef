import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.training import optimizer as optimizers

CONSTANT = {"lr": 1.0, "schedule": "constant"}
SIZES = {"batch": 256, "total": 100}


def vit(depth=3, width=4, seed=0):
    """A ViT of the real names and shapes, tiny; all leaves are away from 0."""
    rng = np.random.default_rng(seed)
    leaf = lambda *s: jnp.asarray(rng.uniform(0.5, 2.0, s), jnp.float32)  # noqa: E731
    linear = lambda i, o: {"kernel": leaf(depth, i, o), "bias": leaf(depth, o)}  # noqa: E731
    norm = lambda: {"scale": leaf(depth, width), "bias": leaf(depth, width)}  # noqa: E731
    return {
        "encoders": {
            "image": {
                "cls_token": leaf(1, 1, width),
                "mask_token": leaf(1, 1, width),
                "pos_embed": leaf(1, 5, width),
                "patch_embed": {"kernel": leaf(12, width), "bias": leaf(width)},
                "blocks": {
                    "norm1": norm(),
                    "norm2": norm(),
                    "ls1": {"gamma": leaf(depth, width)},
                    "attn": {"qkv": linear(width, 12), "proj": linear(width, width)},
                    "mlp": {"fc1": linear(width, 8), "fc2": linear(8, width)},
                },
                "norm": {"scale": leaf(width), "bias": leaf(width)},
            }
        },
        "decoders": {
            "label": {"head": {"kernel": leaf(width, 7), "bias": leaf(7)}, "logit_scale": leaf()}
        },
    }


def zeros(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def grads(tree, seed=1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), tree)


def run(made, params, gradients, steps=1):
    update = jax.jit(made.transform.update)
    state = made.transform.init(params)
    for _ in range(steps):
        changes, state = update(gradients, state, params)
        params = optax.apply_updates(params, changes)
    return params, state


def flat(tree):
    return {path: np.asarray(leaf) for path, leaf in trees.named_leaves(tree)}


def moved(before, after):
    before, after = flat(before), flat(after)
    return {path for path in before if not np.array_equal(before[path], after[path])}


DECAYED = {
    "encoders/image/cls_token",
    "encoders/image/mask_token",
    "encoders/image/pos_embed",
    "encoders/image/patch_embed/kernel",
    "encoders/image/blocks/attn/qkv/kernel",
    "encoders/image/blocks/attn/proj/kernel",
    "encoders/image/blocks/mlp/fc1/kernel",
    "encoders/image/blocks/mlp/fc2/kernel",
    "decoders/label/head/kernel",
}


def test_exactly_these_leaves_decay():
    """Zero gradient and a rate of 1: what moves is what decays, by exactly the factor."""
    params = vit()
    made = optimizers.create(
        {"name": "adamw", "weight_decay": 0.1, **CONSTANT}, params=params, **SIZES
    )
    after, _ = run(made, params, zeros(params))
    assert moved(params, after) == DECAYED
    for path in DECAYED:
        np.testing.assert_allclose(flat(after)[path], 0.9 * flat(params)[path], rtol=1e-6)


def test_fine_tuning_pattern_also_exempts_tokens_and_positions():
    params = vit()
    block = {"name": "adamw", "no_decay": optimizers.WITHOUT_TOKENS, **CONSTANT}
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, zeros(params))
    tokens = {f"encoders/image/{n}" for n in ("cls_token", "mask_token", "pos_embed")}
    assert moved(params, after) == DECAYED - tokens


def test_names_that_do_not_decay():
    pattern = optimizers._pattern(optimizers.NO_DECAY, "no_decay")
    for path in ("bias", "a/q_bias", "a/bias", "n/scale", "ls1/gamma", "gamma1", "a/logit_scale"):
        assert pattern.search(path), path
    for path in ("kernel", "scaled/kernel", "cls_token", "bias_table/kernel", "rescale/kernel"):
        assert not pattern.search(path), path


def adamw_reference(p, g, steps, *, lr, b1, b2, eps, decay):
    """The published algorithm in double precision."""
    p, g = np.float64(p), np.float64(g)
    m = v = 0.0
    for t in range(1, steps + 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        ratio = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - lr(t - 1) * (ratio + decay * p)
    return p


def test_adamw_against_its_formula():
    params, g = vit(), grads(vit())
    block = {
        "name": "adamw",
        "base_lr": 0.02,
        "b2": 0.95,
        "weight_decay": 0.1,
        "eps": 1e-6,
        "end_lr": 1e-3,
    }
    made = optimizers.create(block, params=params, batch=128, total=10, warmup=2)
    after, state = run(made, params, g, steps=4)
    for path, p in flat(params).items():
        decay = 0.1 if path in DECAYED else 0.0
        lr = lambda t: float(made.schedule(t))  # noqa: E731
        expected = adamw_reference(
            p, flat(g)[path], 4, lr=lr, b1=0.9, b2=0.95, eps=1e-6, decay=decay
        )
        # float32 arithmetic over four updates.
        np.testing.assert_allclose(flat(after)[path], expected, rtol=3e-6, atol=1e-6)
    assert float(made.schedule(0)) == 0.0
    np.testing.assert_allclose(made.schedule(2), 0.01, rtol=1e-6)
    np.testing.assert_allclose(made.schedule(10), 1e-3, rtol=1e-6)
    for leaf in jax.tree.leaves(state):
        assert leaf.dtype in (jnp.float32, jnp.int32)


def test_moments_are_float32_for_bfloat16_gradients_and_parameters_must_be():
    params = vit()
    made = optimizers.create({"name": "adamw", **CONSTANT}, params=params, **SIZES)
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), grads(params))
    changes, state = jax.jit(made.transform.update)(low, made.transform.init(params), params)
    for leaf in jax.tree.leaves((changes, state)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    with pytest.raises(ValueError, match="is bfloat16, expected float32"):
        made.transform.init(jax.tree.map(lambda x: x.astype(jnp.bfloat16), params))


def test_clipping_is_by_the_global_norm():
    params, g = vit(), grads(vit())
    block = {
        "name": "lars",
        "trust": 1.0,
        "no_decay": ".*",
        "momentum": 0.0,
        "clip": 0.5,
        **CONSTANT,
    }
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, g)
    norm = np.sqrt(sum((x**2).sum() for x in flat(g).values()))
    for path, p in flat(params).items():
        np.testing.assert_allclose(
            flat(after)[path], p - flat(g)[path] * 0.5 / norm, rtol=1e-5, atol=1e-6
        )
    with pytest.raises(ConfigError, match="clip is 0"):
        optimizers.create({**block, "clip": 0.0}, params=params, **SIZES)


@pytest.mark.parametrize("depth", [12, 24])
def test_layer_decay_table(depth):
    params = jax.eval_shape(lambda: vit(depth))
    scales = optimizers.layer_scales(params, 0.65)
    assert set(scales) == set(flat_names(params))
    first = 0.65 ** (depth + 1)
    image = "encoders/image/"
    for name in ("cls_token", "mask_token", "pos_embed", "patch_embed/kernel", "patch_embed/bias"):
        np.testing.assert_allclose(scales[image + name], first, rtol=1e-6)
    for path in scales:
        if "/blocks/" in path:
            table = 0.65 ** (depth - np.arange(depth))  # block b: d^(L + 1 - (b + 1))
            np.testing.assert_allclose(scales[path], table, rtol=1e-6)
    for path in (image + "norm/scale", image + "norm/bias", "decoders/label/head/kernel"):
        assert scales[path] == 1.0
    if depth == 12:  # ViT-B of the recipe
        np.testing.assert_allclose(first, 0.0037, rtol=1e-2)
        np.testing.assert_allclose(scales[image + "blocks/norm1/scale"][-1], 0.65, rtol=1e-6)


def flat_names(tree):
    return [path for path, _ in trees.named_leaves(tree)]


def test_layer_decay_over_stages():
    """Swin: blocks are counted over all stages; merging belongs to the last block of its stage."""
    kernel = lambda *depth: {"kernel": jnp.ones((*depth, 3, 3))}  # noqa: E731
    image = {
        "patch_embed": kernel(),
        "stages_0": {"blocks": {"w": kernel(2)}, "downsample": kernel()},
        "stages_1": {"blocks": {"w": kernel(3)}},
        "norm": {"scale": jnp.ones(3)},
    }
    params = {"encoders": {"image": image}}
    scales = optimizers.layer_scales(params, 0.5)
    image = "encoders/image/"
    assert scales[image + "patch_embed/kernel"] == 0.5**6
    np.testing.assert_array_equal(scales[image + "stages_0/blocks/w/kernel"], [0.5**5, 0.5**4])
    np.testing.assert_array_equal(scales[image + "stages_0/downsample/kernel"], 0.5**4)
    np.testing.assert_array_equal(scales[image + "stages_1/blocks/w/kernel"], [0.5**3, 0.5**2, 0.5])
    assert scales[image + "norm/scale"] == 1.0


def test_layer_decay_refuses_unknown_names():
    params = vit()
    params["encoders"]["image"]["adapter"] = {"kernel": jnp.ones((2, 2))}
    with pytest.raises(ConfigError, match="which layer 'encoders/image/adapter/kernel' belongs to"):
        optimizers.create(
            {"name": "adamw", "layer_decay": 0.65, **CONSTANT}, params=params, **SIZES
        )
    with pytest.raises(ConfigError, match=r"a number in \(0, 1\]"):
        optimizers.layer_scales(vit(), 1.5)


def unstack(tree, depth):
    """The same parameters with blocks as `blocks_0`, `blocks_1`, … instead of a stack."""
    image = dict(tree["encoders"]["image"])
    blocks = image.pop("blocks")
    for i in range(depth):
        image[f"blocks_{i}"] = jax.tree.map(lambda x, i=i: x[i], blocks)
    return {**tree, "encoders": {"image": image}}


@pytest.mark.parametrize(
    "block",
    [
        {
            "name": "adamw",
            "lr": 0.01,
            "layer_decay": 0.65,
            "clip": 1.0,
            "lr_scale": (("head", 3.0),),
        },
        {"name": "lars", "lr": 0.3, "weight_decay": 0.1, "clip": 1.0},
    ],
)
def test_stacked_equals_unstacked(block):
    params, g = vit(), grads(vit())
    one = optimizers.create(block, params=params, **SIZES)
    other = optimizers.create(block, params=unstack(params, 3), **SIZES)
    stacked, _ = run(one, params, g, steps=3)
    single, _ = run(other, unstack(params, 3), unstack(g, 3), steps=3)
    expected = flat(unstack(stacked, 3))
    for path, leaf in flat(single).items():
        # Only the order of summation in the norms differs.
        np.testing.assert_allclose(leaf, expected[path], rtol=2e-6, err_msg=path)
    assert moved(params, stacked) == set(flat_names(params))


def test_layer_decay_scales_the_decay_too():
    params = vit()
    block = {"name": "adamw", "layer_decay": 0.5, "weight_decay": 0.1, **CONSTANT}
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, zeros(params))
    path = "encoders/image/blocks/attn/qkv/kernel"
    factor = 1 - 0.1 * np.array([0.125, 0.25, 0.5])[:, None, None]
    np.testing.assert_allclose(flat(after)[path], flat(params)[path] * factor, rtol=1e-6)


def test_frozen_leaves_stand_still_and_cost_no_moments():
    params, g = vit(), grads(vit())
    block = {"name": "adamw", "freeze": "^encoders/", "layer_decay": 0.65, "clip": 1.0, **CONSTANT}
    made = optimizers.create(block, params=params, **SIZES)
    after, state = run(made, params, g)
    head = {path for path in flat_names(params) if path.startswith("decoders/")}
    assert moved(params, after) == head
    held = sum(x.size for x in jax.tree.leaves(state) if x.dtype == jnp.float32)
    assert held == 2 * sum(flat(params)[path].size for path in head)
    # The clip sees what trains, nothing else.
    small = {**g, "encoders": jax.tree.map(lambda x: x * 1e6, g["encoders"])}
    again, _ = run(made, params, small)
    assert moved(after, again) == set()


def test_rate_rules_apply_in_order():
    params = vit()
    rules = (("head/bias$", 0.0), ("^decoders/", 2.0), ("patch_embed", 0.5))
    block = {
        "name": "adamw",
        "lr_scale": rules,
        "b1": 0.0,
        "b2": 0.0,
        "weight_decay": 0.0,
        **CONSTANT,
    }
    ones = jax.tree.map(jnp.ones_like, params)
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, ones)
    change = {path: float(np.ravel(flat(params)[path] - x)[0]) for path, x in flat(after).items()}
    expected = {"decoders/label/head/bias": 0, "decoders/label/head/kernel": 2,
                "encoders/image/patch_embed/bias": 0.5, "encoders/image/norm/scale": 1}  # fmt: skip
    for path, size in expected.items():
        np.testing.assert_allclose(change[path], size, atol=1e-6)


def lars_reference(p, g, steps, *, trust, decay, momentum, lr, matrix):
    """LARS with momentum before the rate, in double precision; one layer."""
    p, g, v = np.float64(p), np.float64(g), 0.0
    for _ in range(steps):
        u = g + decay * p if matrix else g
        if matrix:
            u = u * trust * np.linalg.norm(p) / np.linalg.norm(u)
        v = momentum * v + u
        p = p - lr * v
    return p


def test_lars_against_its_formula_per_layer():
    params, g = vit(), grads(vit())
    block = {"name": "lars", "lr": 0.3, "weight_decay": 0.1, "trust": 0.01, "schedule": "constant"}
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, g, steps=3)
    for path, p in flat(params).items():
        kwargs = {
            "trust": 0.01,
            "decay": 0.1,
            "momentum": 0.9,
            "lr": 0.3,
            "matrix": path in DECAYED,
        }
        gradient, result = flat(g)[path], flat(after)[path]
        layers = range(3) if "/blocks/" in path else [...]
        for i in layers:
            expected = lars_reference(p[i], gradient[i], 3, **kwargs)
            np.testing.assert_allclose(result[i], expected, rtol=3e-6, atol=1e-6, err_msg=path)


def test_lars_survives_zero_norms():
    params = zeros(vit())
    made = optimizers.create({"name": "lars", "momentum": 0.0, **CONSTANT}, params=params, **SIZES)
    after, _ = run(made, params, jax.tree.map(jnp.ones_like, params))
    np.testing.assert_array_equal(flat(after)["decoders/label/head/kernel"], -1.0)  # ratio 1
    after, _ = run(made, vit(), zeros(params))
    assert moved(vit(), after) == set()


@pytest.mark.parametrize(
    "block, message",
    [
        ({"name": "adamww", "lr": 1.0}, "unknown config.optimizer 'adamww'; did you mean 'adamw'"),
        ({"name": "adamw", "lr": 1.0, "wieght_decay": 0.1}, "did you mean 'weight_decay'"),
        ({"name": "adamw"}, "got neither"),
        ({"name": "adamw", "lr": 1.0, "schedule": "cosin"}, "expected one of cosine"),
        ({"name": "adamw", "lr": 1.0, "schedule": "constant", "end_lr": 0.1}, "no meaning"),
        ({"name": "adamw", "lr": 1.0, "freeze": "encodres"}, "freeze = 'encodres' matches none of"),
        ({"name": "adamw", "lr": 1.0, "freeze": ".*"}, "leaves nothing to train"),
        ({"name": "adamw", "lr": 1.0, "lr_scale": (("haed", 2.0),)}, "lr_scale = 'haed' matches"),
        ({"name": "adamw", "lr": 1.0, "lr_scale": ("head", 2.0)}, r"expected \(pattern, factor\)"),
        ({"name": "adamw", "lr": 1.0, "no_decay": "("}, "is not a pattern"),
        ({"name": "lars", "lr": 1.0, "layer_decay": 0.5}, "no key 'layer_decay'"),
    ],
)
def test_configs_that_cannot_mean_anything_are_refused(block, message):
    with pytest.raises(ConfigError, match=message):
        optimizers.create(block, params=vit(), **SIZES)


def test_names_of_a_real_network_all_have_a_layer():
    """The patterns know every parameter that the library's ViT creates."""
    encoders = pytest.importorskip("m3i_jax.encoders")
    for positions, hide in (("learned", "mask"), ("sincos", "drop")):
        module = encoders.create("vit_nano", positions=positions, hide=hide, layer_scale=0.1)
        shapes = jax.eval_shape(lambda m=module: m.init(jax.random.key(0), m.example())["params"])
        scales = optimizers.layer_scales({"encoders": {"image": shapes}}, 0.75)
        assert {v for v in scales.values() if isinstance(v, float)} == {1.0, 0.75**5}
