"""I-JEPA's encoder and predictor, from its file's parts, against a forward pass by its format."""

import jax
import numpy as np
import pytest

from m3i_jax import geometry, networks
from m3i_jax.interop import conversion, importing, vit
from m3i_jax.interop.rename import nested, to_theirs
from m3i_jax.trees import named_leaves

torch = pytest.importorskip("torch")
F = torch.nn.functional

GRID, WIDTH, NARROW, KEEP, HEADS = (4, 4), 32, 24, 6, (4, 2)


def columns_first(width):
    """Its fixed table, which codes columns first; ours rows."""
    return torch.from_numpy(np.roll(np.asarray(geometry.sincos(GRID, width)), width // 2, -1))[None]


def drawn(front, width):
    """Blocks and last norm of a ViT in its names."""
    shapes = {f"{front}norm.{end}": (width,) for end in ("weight", "bias")}
    for i in range(2):
        layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width),
                  "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
                  "norm1": (width,), "norm2": (width,)}  # fmt: skip
        for name, shape in layers.items():
            shapes[f"{front}blocks.{i}.{name}.weight"] = shape
            shapes[f"{front}blocks.{i}.{name}.bias"] = shape[:1]
    return shapes


def made(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda shape: 0.3 * torch.randn(shape, generator=generator)  # noqa: E731
    return {f"module.{name}": draw(shape) for name, shape in shapes.items()}


def linear(state, name, x):
    return F.linear(x, state[f"module.{name}.weight"], state[f"module.{name}.bias"])


def through(state, front, x, heads):
    """Pre-norm blocks and a norm, eps 1e-6."""

    def ln(name, x):
        weight, bias = (state[f"module.{name}.{end}"] for end in ("weight", "bias"))
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)

    b, n, d = x.shape
    for i in range(2):
        at = f"{front}blocks.{i}."
        qkv = linear(state, at + "attn.qkv", ln(at + "norm1", x)).reshape(b, n, 3, heads, -1)
        y = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        x = x + linear(state, at + "attn.proj", y.transpose(1, 2).reshape(b, n, d))
        y = F.gelu(linear(state, at + "mlp.fc1", ln(at + "norm2", x)))
        x = x + linear(state, at + "mlp.fc2", y)
    return ln(front + "norm", x)


def test_its_predictor_predicts_the_same_of_the_same_context(tmp_path, images):
    x, x_torch = images
    stem = {"patch_embed.proj.weight": (WIDTH, 3, 8, 8), "patch_embed.proj.bias": (WIDTH,)}
    encoder = made(stem | drawn("", WIDTH), 0)
    ends = {"embed": (NARROW, WIDTH), "proj": (WIDTH, NARROW)}
    shapes = {f"predictor_{end}.weight": shape for end, shape in ends.items()}
    shapes |= {f"predictor_{end}.bias": shape[:1] for end, shape in ends.items()}
    predictor = made(shapes | {"mask_token": (1, 1, NARROW)} | drawn("predictor_", NARROW), 1)
    encoder["module.pos_embed"] = columns_first(WIDTH)
    predictor["module.predictor_pos_embed"] = columns_first(NARROW)
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((3, 16)), 1)
    context, asked = np.sort(order[:, :KEEP], 1), np.sort(order[:, KEEP : KEEP + 4], 1)

    pick = lambda x, index: torch.stack([row[i] for row, i in zip(x, index, strict=True)])  # noqa: E731
    conv = (encoder[f"module.patch_embed.proj.{end}"] for end in ("weight", "bias"))
    seen = F.conv2d(x_torch, *conv, stride=8).flatten(2).transpose(1, 2)
    seen = through(encoder, "", pick(seen + encoder["module.pos_embed"], context), HEADS[0])
    places = predictor["module.predictor_pos_embed"].expand(3, -1, -1)
    given = linear(predictor, "predictor_embed", seen) + pick(places, context)
    both = torch.cat([given, predictor["module.mask_token"] + pick(places, asked)], 1)
    want = through(predictor, "predictor_", both, HEADS[1])[:, KEEP:]
    want = linear(predictor, "predictor_proj", want)

    file = tmp_path / "jepa-latest.pth.tar"
    torch.save(dict(encoder=encoder, predictor=predictor), file)
    read = lambda part, **how: conversion.read(file, torch=True, part=part, **how)  # noqa: E731
    imported = conversion.merged(read("encoder", layout="ijepa"), read("predictor"))
    sizes = dict(width=WIDTH, depth=2, heads=HEADS[0], class_token=False)
    network = networks.build(
        dict(name="vit_nano", image=32, patch=8, positions="sincos", **sizes),
        {},
        {"image": dict(name="predictor", width=NARROW, depth=2, heads=HEADS[1])},
        image=32,
        dtype="float32",
        out={"image": WIDTH},
    )
    wanted = dict(named_leaves(jax.eval_shape(network.init, jax.random.key(0))))
    found, notes = importing.fitted(imported, wanted, grid=GRID)
    account = importing.report(found, wanted, notes=notes, what="it")
    importing.complete(account, imported.layout, what="it")
    visible = np.zeros((3, 16), bool)
    np.put_along_axis(visible, context, True, 1)
    params = nested(found)

    @jax.jit
    def predict(x):
        code = network.encode(params, "image", x, visible=visible.reshape(3, *GRID), keep=KEEP)
        return network.decode(params, "image", code, grid=GRID, cells=np.int32(asked))

    # And out again, bit for bit.
    state, unknown = to_theirs(read("predictor").params, vit.I_JEPA_PREDICTOR)
    assert not unknown and {f"module.{name}" for name in state} == predictor.keys()
    for name, leaf in state.items():
        np.testing.assert_array_equal(leaf, predictor[f"module.{name}"], err_msg=name)
    # Our encoder codes rows first: the halves of its channels have changed places.
    got = np.roll(predict(x), WIDTH // 2, -1)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
