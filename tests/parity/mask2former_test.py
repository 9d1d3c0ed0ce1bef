"""Mask2Former's pixel decoder and transformer against those of transformers, of random weights."""

import jax
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.detection.points import point_sample
from m3i_jax.losses import mask_sets
from m3i_jax.types import Features
from tests.heads.transformer_layers import array, drawn_anew, linear_of, norm_of, stacked
from tests.losses.mask_sets_test import CLASSES, POINTS, answers, objects

torch = pytest.importorskip("torch")
peers = pytest.importorskip("transformers.models.mask2former.modeling_mask2former")

CHANNELS = (8, 12, 16, 20)
GRIDS = ((15, 11), (8, 6), (4, 3), (2, 2))
SIZES = dict(
    feature_size=64,
    mask_feature_size=16,
    hidden_dim=64,
    encoder_feedforward_dim=24,
    dim_feedforward=40,
    num_attention_heads=4,
    encoder_layers=2,
    decoder_layers=7,  # one more than there are
    num_queries=9,
    num_labels=5,
    feature_strides=[4, 8, 16, 32],
)
HEAD = decoders.create(
    dict(
        name="mask2former",
        width=64,
        mask_width=16,
        encoder_hidden=24,
        hidden=40,
        heads=4,
        encoder_layers=2,
        rounds=2,
        queries=9,
        points=8,
    ),
    out=5,
)


def conv_norm(pair):
    return {"conv": linear_of(pair[0]), "norm": norm_of(pair[1])}


def mlp(layer):
    return {"fc1": linear_of(layer.fc1), "fc2": linear_of(layer.fc2)}


def encoder_layer(layer):
    names = "value_proj", "output_proj", "sampling_offsets", "attention_weights"
    return {
        "attn": {name: linear_of(getattr(layer.self_attn, name)) for name in names},
        "norm1": norm_of(layer.self_attn_layer_norm),
        "norm2": norm_of(layer.final_layer_norm),
        "mlp": mlp(layer),
    }


def pixel_params(peer):
    made = {f"inputs_{i}": conv_norm(pair) for i, pair in enumerate(peer.input_projections)}
    return made | {
        "level_embed": array(peer.level_embed),
        "encoder": {"blocks": stacked([encoder_layer(layer) for layer in peer.encoder.layers])},
        "lateral": conv_norm(peer.lateral_convolutions[0]),
        "output": conv_norm(peer.output_convolutions[0]),
        "mask_features": linear_of(peer.mask_projection),
    }


def cross(layer):
    """The three products of PyTorch's attention, which are rows of one matrix."""
    kernels, biases = (np.split(array(x), 3) for x in (layer.in_proj_weight, layer.in_proj_bias))
    made = {
        name: {"kernel": k.T, "bias": b} for name, k, b in zip("qkv", kernels, biases, strict=True)
    }
    return made | {"proj": linear_of(layer.out_proj)}


def decoder_layer(layer):
    own = layer.self_attn
    return {
        "cross_attn": cross(layer.cross_attn),
        "self_attn": {name: linear_of(getattr(own, f"{name}_proj")) for name in "qkv"}
        | {"proj": linear_of(own.out_proj)},
        "norm1": norm_of(layer.cross_attn_layer_norm),
        "norm2": norm_of(layer.self_attn_layer_norm),
        "norm3": norm_of(layer.final_layer_norm),
        "mlp": mlp(layer),
    }


def decoder_params(peer, category):
    layers = [decoder_layer(layer) for layer in peer.decoder.layers]
    predictor = peer.decoder.mask_predictor.mask_embedder
    made = {f"mask_{i}": linear_of(block.layers[0]) for i, block in enumerate(predictor.layers)}
    norm = norm_of(peer.decoder.layernorm)
    return made | {
        "query": array(peer.queries_features.weight),
        "query_position": array(peer.queries_embedder.weight),
        "level_embed": array(peer.level_embed.weight),
        "norm_scale": norm["scale"],
        "norm_bias": norm["bias"],
        "category": linear_of(category),
        "blocks": {f"level_{i}": stacked(layers[i::3]) for i in range(3)},
    }


def test_pixel_decoder_and_transformer(same_shapes):
    config = peers.Mask2FormerConfig(**SIZES)
    pixel = drawn_anew(torch, peers.Mask2FormerPixelDecoder(config, CHANNELS))
    transformer = drawn_anew(torch, peers.Mask2FormerTransformerModule(64, config))
    category = drawn_anew(torch, torch.nn.Linear(64, 6))
    draw = np.random.default_rng(0).normal
    maps = [np.float32(draw(size=(2, *g, d))) for g, d in zip(GRIDS, CHANNELS, strict=True)]
    with torch.no_grad():
        given = [torch.tensor(x).permute(0, 3, 1, 2) for x in maps]
        # Features around 0, so that masks are of parts of the image, and queries look at these.
        pixel.mask_projection.bias -= pixel(given).mask_features.mean((0, 2, 3))
        features = pixel(given)
        out = transformer(features.multi_scale_features, features.mask_features)
        states = torch.stack([x.transpose(0, 1) for x in out.intermediate_hidden_states], 1)
        categories = category(states).numpy()
        masks = torch.stack(out.masks_queries_logits, 1).numpy()
    params = {
        "pixel_decoder": pixel_params(pixel),
        "decoder": decoder_params(transformer, category),
    }
    x = Features(maps=tuple(maps))
    same_shapes(HEAD, params, x)
    run = jax.jit(lambda p, k: HEAD.apply({"params": p}, x, train=True, rngs={"draw": k}))
    got = run(params, jax.random.key(0))
    assert masks.shape == (2, 7, 9, 15, 11)
    assert 0.3 < (masks > 0).mean() < 0.7
    np.testing.assert_allclose(got.masks, masks, rtol=1e-4, atol=1e-4 * np.abs(masks).max())
    np.testing.assert_allclose(got.categories, categories, rtol=1e-4, atol=1e-4)


def test_losses_of_the_same_points(monkeypatch):
    """Their points are drawn for each mask; ours are those of its image, which they are given."""
    config = peers.Mask2FormerConfig(
        num_labels=CLASSES, train_num_points=POINTS, no_object_weight=0.1,
        class_weight=2.0, mask_weight=5.0, dice_weight=5.0,
    )  # fmt: skip
    criterion = peers.Mask2FormerLoss(config, weight_dict={})
    given, things = answers(), objects()
    masks = np.float32(np.random.default_rng(2).random((2, 3, 16, 20)) < 0.5)
    kinds = [np.int64(row[row >= 0]) for row in things.categories]
    counts, want = [len(row) for row in kinds], 0.0
    true = [torch.tensor(masks[b, : counts[b]]) for b in range(2)]
    for output in range(2):
        points = [torch.tensor(np.asarray(x)[:, output, :, ::-1].copy()) for x in given.points]
        repeated = [torch.repeat_interleave(x, torch.tensor(counts), dim=0) for x in points[1:]]
        drawn = iter([points[0][:1], points[0][1:], *repeated])
        monkeypatch.setattr(torch, "rand", lambda *_, drawn=drawn, **__: next(drawn))
        logits = [torch.tensor(x[:, output]) for x in (given.masks, given.categories)]
        found = criterion(*logits, true, [torch.tensor(row) for row in kinds])
        names = "loss_cross_entropy", "loss_mask", "loss_dice"
        want = want + np.array([found[name].item() for name in names])
    targets = mask_sets.MaskTargets(things.categories, lambda p: point_sample(masks, p))
    got = jax.jit(lambda a: mask_sets.mask_set(a, targets))(given)
    np.testing.assert_allclose([x.mean() for x in got], want, rtol=1e-5)
