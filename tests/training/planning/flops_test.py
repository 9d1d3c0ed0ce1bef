"""Counts against formulas written from the layers' shapes, and against loops written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from m3i_jax import cli, encoders
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops

X, W = np.ones((3, 5), np.float32), np.ones((5, 7), np.float32)
ONE = 2 * 3 * 5 * 7


def layers(w, x, *, remat=False):
    """Four square layers in a loop; every one is needed for the gradient of w."""
    body = lambda x, _: (jnp.tanh(x @ w), None)  # noqa: E731
    body = jax.checkpoint(body) if remat else body
    return jax.lax.scan(body, x, None, length=4)[0].sum()


def test_products_by_hand():
    assert flops.count(jnp.dot, X, W) == ONE
    assert flops.count(lambda x, w: (x @ w) + (x @ w), X, W) == 2 * ONE
    assert flops.count(lambda x, y: jnp.einsum("bqd,bkd->bqk", x, y), X[None], X[None]) == 90
    assert flops.count(jax.jit(lambda x, w: jnp.dot(x, w)), X, W) == ONE


def test_unused_products_cost_nothing():
    assert flops.count(lambda x, w: (x @ w, x.sum())[1], X, W) == 0


def test_loops_branches_and_recomputation():
    w, x = np.eye(6, dtype=np.float32), np.ones((2, 6), np.float32)
    once = 4 * 2 * 2 * 6 * 6
    assert flops.count(layers, w, x) == once
    # Backward: one product for w and one for x in each layer, but none for the first input.
    # The loop cannot know that its first turn is the first layer, so it states all of them.
    assert flops.count(jax.grad(layers), w, x) == 3 * once
    assert flops.count(jax.grad(lambda w: layers(w, x, remat=True)), w) == 4 * once
    branch = lambda p, x: jax.lax.cond(p, lambda x: x @ w @ w, lambda x: x @ w, x)  # noqa: E731
    assert flops.count(branch, True, x) == once // 2
    loop = lambda n, x: jax.lax.fori_loop(0, n, lambda _, x: x @ w, x)  # noqa: E731
    with pytest.raises(ValueError, match="while"):
        flops.count(loop, 3, x)


def test_convolutions():
    image, kernel = np.ones((2, 8, 8, 3), np.float32), np.ones((3, 3, 3, 5), np.float32)
    names = ("NHWC", "HWIO", "NHWC")
    conv = lambda x, k, s=1: jax.lax.conv_general_dilated(  # noqa: E731
        x, k, (s, s), "SAME", dimension_numbers=names
    )
    one = 2 * (2 * 8 * 8 * 5) * 27
    assert flops.count(conv, image, kernel) == one
    grads = jax.grad(lambda x, k: conv(x, k).sum(), argnums=(0, 1))
    # For the kernel, zeros at the border are counted like any other input: 2·B·H·W·9·3·5.
    assert flops.count(grads, image, kernel) == 2 * one
    strided = jax.grad(lambda x: conv(x, kernel, 2).sum())
    assert flops.count(strided, image) == one // 4


def test_windows_cost_what_their_cells_do():
    """Padding attends, and is in no layer; h + w codes of a query lengthen its scores' products."""
    width, heads, depth, cells, window = 64, 4, 6, 100, 7
    fields = dict(image=160, patch=16, width=width, depth=depth, heads=heads, window=window)
    fields |= dict(global_blocks=(3, 6), relative_bias="decomposed", class_token=False)
    module = encoders.create("vit_nano", **fields, positions="none", final_norm=False)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())
    got = flops.count(lambda p, x: module.apply(p, x).tokens, shapes, module.example())
    dim = width // heads

    def attended(queries, keys, side):
        return 2 * queries * heads * (keys * (2 * dim + 2 * side) + 2 * side * dim)

    layers = 2 * cells * (depth * 12 * width**2 + 768 * width)
    windows = attended(4 * window**2, window**2, window)
    assert got == layers + 4 * windows + 2 * attended(cells, cells, 10)


def test_devices_share_the_work():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    spec = PartitionSpec("data")
    rows = jax.shard_map(
        lambda x: x @ W, mesh=mesh, in_specs=spec, out_specs=spec, axis_names={"data"}
    )
    assert flops.count(rows, np.ones((6, 5), np.float32)) == 2 * ONE


def blocks(n, width, depth):
    """depth · (qkv, proj, fc1, fc2: 12 D² per token; scores and sums: 2 n D per token)."""
    return depth * n * 2 * (12 * width**2 + 2 * n * width)


def pool(n, width, out):
    """Query from the mean, keys and values from n tokens, one row of attention, projection."""
    return 2 * (width**2 + 2 * n * width**2 + 2 * n * width + width * out)


def embed(n, width):
    return 2 * n * 768 * width


def supervised(width):
    # 3 x everything, but the patches get no gradient.
    return (
        3 * (blocks(197, width, 12) + pool(196, width, width) + 2 * width * 1000)
        + 2 * embed(196, width)
    )  # fmt: skip


def mae():
    decoder = 2 * 50 * 768 * 512 + blocks(197, 512, 8) + 2 * 196 * 512 * 768
    return 3 * (blocks(50, 768, 12) + decoder) + 2 * embed(49, 768)


def m3i():
    # Two roles: each decodes its own 98 patches into 196 queries, whose positions are fixed.
    role = 2 * 98 * 768**2 + blocks(98 + 196, 768, 4) + 2 * 196 * 768**2
    role += pool(98, 768, 768) + 2 * 768 * 1000
    online = 3 * blocks(197, 768, 12) + 2 * embed(196, 768)
    places = 2 * 196 * (2 * 768) * 768  # where, and how large; no gradient to either
    return online + 2 * (3 * role + 2 * places) + blocks(197, 768, 12) + embed(196, 768)


def evidence(batch, *, width=768, tokens=196):
    """Per image: covariance of target and error, the target's Gram matrix, two squared moments."""
    rows = batch * -(-tokens // (batch * tokens // 8192))
    return (3 * 2 * rows * width**2 + 2 * 2 * width**3) / batch


@pytest.mark.parametrize(
    "name, changes, formula, published",
    [
        (
            "imagenet/classification_vit_b16",
            {
                "encoder": dict(name="vit_s16"),
                "towers": dict(category=dict(name="table", size=1000, width=384)),
            },
            supervised(384),
            27.6e9,
        ),
        ("imagenet/mae_vit_b16", {}, mae(), 58.2e9),
        ("imagenet/m3i_vit_b16", {}, m3i(), None),
    ],
    ids=("ViT-S supervised", "ViT-B MAE", "ViT-B M3I"),
)
def test_shipped_configs_cost_what_the_formulas_say(name, changes, formula, published):
    data = cli.load(name).to_dict() | changes
    run = assemble(Config.of(data), images=10**6, devices=jax.devices()[:1])
    found = flops.per_image(run)
    # Exact but for what is stated beside the network: the logits once more, for the information
    # that is logged (3e-5 of ViT-S), and the rectangles of block masks.
    dense = [t for t in run.method.terms.values() if t.predict.dense]
    formula += len(dense) * evidence(run.config.batch)
    np.testing.assert_allclose(found.model, formula, rtol=1e-4)
    if published is not None:  # 3 x the forward pass, patches included, linear classifier
        np.testing.assert_allclose(found.model, published, rtol=0.02)
    assert found.executed >= found.model


def test_the_ceiling_is_the_peak_over_the_model_flops(shrunk, monkeypatch):
    run = assemble(shrunk("classification", augment={}), images=8, devices=jax.devices()[:1])
    assert flops.ceiling(run) is None  # a CPU
    monkeypatch.setattr(flops.peaks, "peak", lambda devices, dtype: 1e9)
    np.testing.assert_allclose(flops.ceiling(run), 1e9 / flops.per_image(run).model, rtol=1e-12)


def test_recomputation_is_no_model_work(shrunk):
    kept = shrunk("classification", augment={})
    repeated = shrunk("classification", augment={}, **{"encoder.remat": "full"})
    runs = [assemble(c, images=8, devices=jax.devices()[:1]) for c in (kept, repeated)]
    kept, repeated = (flops.per_image(run) for run in runs)
    assert repeated.model == kept.model == kept.executed
    # 2 blocks of width 64 over n tokens once more, except for fc2, whose result nothing needs.
    rows, columns = runs[0].network.towers["image"].grid
    n = 1 + rows * columns
    again = blocks(n, 64, 2) - 2 * n * 2 * 4 * 64**2
    assert repeated.executed - kept.executed == again
