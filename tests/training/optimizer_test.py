import re

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
    pattern = re.compile(optimizers.NO_DECAY)
    for path in ("bias", "a/q_bias", "a/bias", "n/scale", "ls1/gamma", "gamma1", "a/logit_scale"):
        assert pattern.search(path), path
    for path in ("kernel", "scaled/kernel", "cls_token", "bias_table/kernel", "rescale/kernel"):
        assert not pattern.search(path), path


def adamw_reference(p, g, steps, *, lr, b1, b2, eps, decay):
    """The published algorithm in double precision; `lr` and `decay` are functions of the step."""
    p, g = np.float64(p), np.float64(g)
    m = v = 0.0
    for t in range(1, steps + 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        ratio = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - lr(t - 1) * (ratio + decay(t - 1) * p)
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
        decay = lambda t, on=path in DECAYED: 0.1 * on  # noqa: E731
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


def test_weight_decay_follows_its_cosine():
    """DINO's ramp, λ(t) = .4 + (.04 − .4)·½(1 + cos πt/T), over the whole run, warm-up included."""
    params, g = vit(), grads(vit())
    block = {"name": "adamw", "lr": 0.1, "weight_decay": 0.04, "weight_decay_end": 0.4}
    made = optimizers.create(block, params=params, batch=1, total=6, warmup=1)
    after, _ = run(made, params, g, steps=5)
    for path, p in flat(params).items():
        ramp = lambda t: 0.4 - 0.36 * 0.5 * (1 + np.cos(np.pi * t / 6))  # noqa: E731
        decay = ramp if path in DECAYED else lambda t: 0.0
        lr = lambda t: float(made.schedule(t))  # noqa: E731
        how = dict(lr=lr, b1=0.9, b2=0.95, eps=1e-8, decay=decay)
        expected = adamw_reference(p, flat(g)[path], 5, **how)
        np.testing.assert_allclose(flat(after)[path], expected, rtol=3e-6, atol=1e-6)
    steady = optimizers.create({**block, "weight_decay_end": None}, params=params, **SIZES)
    moving = optimizers.create(block, params=params, **SIZES)
    # The count of the ramp is the only further state: checkpoints of runs without it stay readable.
    count = lambda made: len(jax.tree.leaves(made.transform.init(params)))  # noqa: E731
    assert count(moving) == count(steady) + 1


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


def flat_names(tree):
    return [path for path, _ in trees.named_leaves(tree)]


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


@pytest.mark.parametrize("moments", [{}, {"name": "sgd", "momentum": 0.9}])
def test_what_is_late_starts_as_if_it_had_no_gradient_before(moments):
    """PyTorch skips what has no gradient (DINO's last layer): no decay, no moments, no count."""
    params, g = vit(), grads(vit())
    block = {"name": "adamw", "weight_decay": 0.1, **CONSTANT, **moments}
    late = optimizers.create({**block, "late": (("^decoders/", 0.03),)}, params=params, **SIZES)
    plain = optimizers.create(block, params=params, **SIZES)
    before, _ = run(plain, params, g, steps=5)
    after, _ = run(late, params, g, steps=5)  # of which the decoders sleep for 3
    fresh, _ = run(plain, params, g, steps=2)
    for path, leaf in flat(after).items():
        expected = flat(fresh if path.startswith("decoders/") else before)[path]
        np.testing.assert_allclose(leaf, expected, rtol=1e-6, atol=1e-7, err_msg=path)


def test_late_moments_are_zero_until_the_start_and_the_decay_is_that_of_the_run():
    params, path = vit(), "decoders/label/head/kernel"
    block = {"name": "adamw", "weight_decay": 0.04, "weight_decay_end": 0.4, **CONSTANT}
    late = optimizers.create({**block, "late": ((path, 0.5),)}, params=params, **SIZES)
    state, update = late.transform.init(params), jax.jit(late.transform.update)
    for _ in range(50):
        changes, state = update(grads(params), state, params)
    held = [leaf for name, leaf in trees.named_leaves(state) if name.endswith(path)]
    assert len(held) == 2 and not any(leaf.any() for leaf in held)  # its two moments
    changes, _ = update(zeros(params), state, params)  # its first step, the run's 51st
    np.testing.assert_allclose(flat(changes)[path], -0.22 * flat(params)[path], rtol=1e-5)


@pytest.mark.parametrize("clip_by", ["leaf", ("^encoders/", "label/head")])
def test_clipping_by_leaf_or_by_part(clip_by):
    """‖g‖ of each parameter, of each layer of a stack; or of all that one pattern finds."""
    params, g = vit(), grads(vit())
    block = {"name": "sgd", "momentum": 0.0, "clip": 1.5, "clip_by": clip_by, **CONSTANT}
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, g)
    size = lambda x: np.sqrt(np.square(np.float64(x)).sum())  # noqa: E731
    encoder = size([size(x) for path, x in flat(g).items() if path.startswith("encoders/")])
    head = size([size(x) for path, x in flat(g).items() if "label/head" in path])
    for path, p in flat(params).items():
        layers = range(3) if clip_by == "leaf" and "/blocks/" in path else [...]
        for i in layers:
            norm = encoder if path.startswith("encoders/") else head if "/head/" in path else 0.0
            norm = size(flat(g)[path][i]) if clip_by == "leaf" else norm
            expected = p[i] - flat(g)[path][i] * min(1.0, 1.5 / norm if norm else 1.0)
            np.testing.assert_allclose(flat(after)[path][i], expected, rtol=1e-5, atol=1e-6)


def test_all_is_clipped_before_what_is_late_is_held():
    """DINO clips, then takes the gradient of its last layer away."""
    params, g = vit(), grads(vit())
    block = {"name": "sgd", "momentum": 0.0, "clip": 0.5, **CONSTANT}
    free, _ = run(optimizers.create(block, params=params, **SIZES), params, g)
    block |= {"late": (("^decoders/", 0.5),)}
    held, _ = run(optimizers.create(block, params=params, **SIZES), params, g)
    for path, leaf in flat(held).items():
        kept = params if path.startswith("decoders/") else free
        np.testing.assert_array_equal(leaf, flat(kept)[path])


def test_schedules_that_outlast_the_run():
    """MSN's rate and decay at 0 to 100 %: cosines over 1.25 runs, of which 15/800 are warm-up."""
    params, total, warmup = vit(), 800_000, 15_000
    block = {"name": "adamw", "lr": 1e-3, "end_lr": 1e-6, "stretch": 1.25}
    block |= {"schedule": {"name": "cosine", "start": 2e-4}}
    made = optimizers.create(block, params=params, batch=1, total=total, warmup=warmup)
    ramp = optimizers._ramp(0.04, 0.4, total=total, stretch=1.25, start=0)
    half = lambda share: 0.5 * (1 + np.cos(np.pi * share))  # noqa: E731
    table = {0.25: 9.16e-4, 0.5: 6.68e-4, 0.75: 3.55e-4, 1.0: 9.92e-5}
    for share, figure in table.items():
        step = round(share * total)
        expected = 1e-6 + (1e-3 - 1e-6) * half((step - warmup) / (1.25 * total - warmup))
        assert f"{expected:.2e}" == f"{figure:.2e}"
        np.testing.assert_allclose(made.schedule(step), expected, rtol=1e-6, atol=1e-9)
        decay = 0.4 + (0.04 - 0.4) * half(share / 1.25)
        np.testing.assert_allclose(ramp(step), decay, rtol=1e-6)
    np.testing.assert_allclose(made.schedule(0), 2e-4, rtol=1e-6)


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


def lamb_reference(p, gradients, *, decay, lr, matrix):
    """LAMB with apex's exception for what does not decay, in double precision; one layer."""
    p, m, v = np.float64(p), 0.0, 0.0
    for t, g in enumerate(np.float64(gradients), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        u = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
        if matrix:
            u = u + decay * p
            u = u * np.linalg.norm(p) / np.linalg.norm(u)
        p = p - lr * u
    return p


def test_lamb_against_its_formula_per_layer():
    params, g = vit(), grads(vit())
    block = {"name": "lamb", "lr": 0.3, "weight_decay": 0.1, "schedule": "constant"}
    after, _ = run(optimizers.create(block, params=params, **SIZES), params, g, steps=3)
    for path, p in flat(params).items():
        for i in range(3) if "/blocks/" in path else [...]:
            gradients = [flat(g)[path][i]] * 3
            how = dict(decay=0.1, lr=0.3, matrix=path in DECAYED)
            expected = lamb_reference(p[i], gradients, **how)
            found = flat(after)[path][i]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=path)


@pytest.mark.parametrize("no_decay, decayed", [(r"(?!)", None), (optimizers.NO_DECAY, DECAYED)])
def test_sgd_against_its_formula(no_decay, decayed):
    """v ← .9 v + g + λθ, θ ← θ − η v; MoCo's λ is that of every parameter."""
    params, g = vit(), grads(vit())
    block = {"name": "sgd", "base_lr": 0.03, "weight_decay": 0.1, "no_decay": no_decay}
    made = optimizers.create(block, params=params, batch=512, total=10)
    after, _ = run(made, params, g, steps=3)
    for path, p in flat(params).items():
        p, v = np.float64(p), 0.0
        for t in range(3):
            decay = 0.1 if decayed is None or path in decayed else 0.0
            v = 0.9 * v + flat(g)[path] + decay * p
            p = p - 0.06 * 0.5 * (1 + np.cos(np.pi * t / 10)) * v
        np.testing.assert_allclose(flat(after)[path], p, rtol=3e-6, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("name", optimizers.DIRECTIONS)
def test_schedules_take_their_own_keys(name):
    """SimMIM: from 5e-7 to 4e-4, a tenth of it from epoch 700 of 800."""
    schedule = {"name": "milestones", "milestones": [700 / 800], "factor": 0.1, "start": 5e-7}
    block = {"name": name, "lr": 4e-4, "schedule": schedule}
    made = optimizers.create(block, params=vit(), batch=1, total=800, warmup=10)
    table = {0: 5e-7, 5: (5e-7 + 4e-4) / 2, 10: 4e-4, 699: 4e-4, 700: 4e-5, 799: 4e-5}
    for step, rate in table.items():
        np.testing.assert_allclose(made.schedule(step), rate, rtol=1e-6)


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
        ({"name": "adamw", "lr": 1.0, "schedule": "cosin"}, "did you mean 'cosine'"),
        ({"name": "sgd", "lr": 1.0, "schedule": {"name": "cosine", "end": 0.1}}, "no key 'end'"),
        (
            {"name": "sgd", "lr": 1.0, "schedule": {"name": "milestones", "milestones": (700,)}},
            r"milestones\[0\] is 700, expected more than 0 and less than 1",
        ),
        ({"name": "adamw", "lr": 1.0, "schedule": "constant", "end_lr": 0.1}, "no meaning"),
        ({"name": "adamw", "lr": 1.0, "freeze": "encodres"}, "freeze = 'encodres' matches none of"),
        ({"name": "adamw", "lr": 1.0, "freeze": ".*"}, "leaves nothing to train"),
        ({"name": "adamw", "lr": 1.0, "lr_scale": (("haed", 2.0),)}, "lr_scale = 'haed' matches"),
        (
            {"name": "adamw", "lr": 1.0, "lr_scale": ("head", 2.0)},
            r"lr_scale\[0\] is 'head', expected a list",
        ),
        ({"name": "adamw", "lr": 1.0, "no_decay": "("}, "is not a pattern"),
        ({"name": "adamw", "lr": 1.0, "late": (("haed", 0.1),)}, "late = 'haed' matches none of"),
        (
            {"name": "adamw", "lr": 1.0, "late": (("head", 1.5),)},
            r"late\[0\]\[1\] is 1.5, expected 0 or more and less than 1",
        ),
        ({"name": "adamw", "lr": 1.0, "lr_scale": (("head", -1),)}, "expected 0 to 1000"),
        ({"name": "adamw", "lr": 1.0, "clip_by": "leaf"}, "clip is off"),
        ({"name": "adamw", "lr": 1.0, "clip": 1.0, "clip_by": "leaves"}, "did you mean 'leaf'"),
        ({"name": "adamw", "lr": 1.0, "clip": 1.0, "clip_by": ("haed",)}, "'haed' matches none"),
        ({"name": "adamw", "lr": 1.0, "clip": 1.0, "clip_by": ()}, "clip_by is empty"),
        ({"name": "adamw", "lr": 1.0, "clip": -1.0}, "clip is -1.0, expected 1e-06 to 1e.06"),
        ({"name": "adamw", "lr": 1.0, "stretch": 0.8}, "stretch is 0.8, expected 1 to 100"),
        ({"name": "adamw", "lr": 1.0, "stretch": 2.0, "schedule": "constant"}, "no meaning"),
        ({"name": "lars", "lr": 1.0, "b1": 0.5}, "no key 'b1'"),
        ({"name": "sgd", "lr": 1.0, "direction": "up"}, "no key 'direction'"),
        ({"name": "sgd", "lr": 1.0, "clip": "1"}, "expected a number or None"),
    ],
)
def test_configs_that_cannot_mean_anything_are_refused(block, message):
    with pytest.raises(ConfigError, match=message):
        optimizers.create(block, params=vit(), **SIZES)


def test_parameters_with_limits_are_cut_to_them_behind_every_step():
    params, g = vit(), jax.tree.map(jnp.ones_like, vit())
    limits = (("logit_scale", 0.4, 1.0), ("label/head", -3.0, 3.0))
    block = {"name": "sgd", "momentum": 0.9, "limits": limits, **CONSTANT}
    free = {k: v for k, v in block.items() if k != "limits"}
    made, plain = (optimizers.create(b, params=params, **SIZES) for b in (block, free))
    for steps in (1, 2):
        cut, _ = run(made, params, g, steps)
        loose, _ = run(plain, params, g, steps)
        for path, leaf in flat(loose).items():
            low, high = (
                (0.4, 1.0)
                if "logit_scale" in path
                else (-3.0, 3.0)
                if "label/head" in path
                else (-np.inf, np.inf)
            )
            if steps == 1 or not np.isfinite(low):
                np.testing.assert_allclose(flat(cut)[path], np.clip(leaf, low, high), rtol=1e-6)
    assert flat(cut)["decoders/label/logit_scale"] == np.float32(0.4)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (("logit_scale", 1.0), "expected 3 values"),
        (("logit_scale", 2.0, 1.0), "limits has .* expected .pattern, least, most"),
        ("logit_scale", "expected a list"),
    ],
)
def test_limits_are_a_pattern_and_two_numbers(wrong, sentence):
    block = {"name": "sgd", "limits": (wrong,), **CONSTANT}
    with pytest.raises(ConfigError, match=sentence):
        optimizers.create(block, params=vit(), **SIZES)


def test_lars_with_the_rate_inside_its_momentum():
    """v ← m v + η u, θ ← θ − v (SimCLR's), which a rising rate tells from θ ← θ − η v."""
    params, g = vit(), grads(vit())
    block = {"name": "lars", "lr": 0.3, "trust": 0.01, "rate_inside": True}
    made = optimizers.create(block, params=params, batch=256, total=100, warmup=4)
    after, _ = run(made, params, g, steps=4)
    path = "encoders/image/patch_embed/kernel"
    theta, u, v = np.float64(flat(params)[path]), np.float64(flat(g)[path]), 0.0
    for step in range(4):
        ratio = 0.01 * np.linalg.norm(theta) / np.linalg.norm(u)
        v = 0.9 * v + 0.3 * step / 4 * ratio * u
        theta = theta - v
    np.testing.assert_allclose(flat(after)[path], theta, rtol=1e-6)
