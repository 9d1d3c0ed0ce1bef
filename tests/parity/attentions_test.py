"""Distance, entropy and divergence against those of transformers' own attentions, head by head."""

import jax
import numpy as np
import pytest

from m3i_jax import analysis, encoders
from m3i_jax.analysis.attention import distances
from m3i_jax.encoders.swin import SwinV2

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=128,
    image_size=32,
    patch_size=8,
    attn_implementation="eager",
)
OURS = dict(image=32, patch=8, width=32, depth=3, heads=4)


def vit():
    model = transformers.ViTModel(transformers.ViTConfig(**SIZES), add_pooling_layer=False)
    return model, encoders.create("vit_nano", **OURS, positions="learned", eps=1e-12)


def dinov2():
    model = transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, layerscale_value=0.5))
    how = dict(positions="learned", layer_scale=1.0, hide="mask")
    return model, encoders.create("vit_nano", **OURS, **how)


def measured(weights, grid, patch):
    """By the formulas in float64, (B, heads) and (B, heads, heads); rows may not sum to 1."""
    p = np.float64(weights)
    p = p / p.sum(-1, keepdims=True)
    logs = np.log(p)
    pairs = (p[:, :, None] * (logs[:, :, None] - logs[:, None])).sum(-1)
    far = distances(grid, patch=patch)
    return (p * far).sum(-1).mean(-1), -(p * logs).sum(-1).mean(-1), pairs.mean(-1)


def observed(module, params, x, look):
    encode = jax.jit(lambda p, x: module.apply({"params": p}, x, attention=look).attention)
    return encode(params, x)


def agree(ours, theirs):
    for x, want in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("of", [vit, dinov2])
def test_vits(of, drawn, images):
    (model, module), (x, x_torch) = of(), images
    params = drawn(model).encoder(module)
    with torch.no_grad():
        attentions = model.double()(x_torch.double(), output_attentions=True).attentions

    def look(scores):
        return (
            analysis.attention_distance(scores, (4, 4), 8, class_token=True),
            analysis.attention_entropy(scores, class_token=True),
            analysis.head_divergence(scores, class_token=True),
        )

    ours = observed(module, params, x, look)
    assert len(attentions) == 3
    for block, weights in enumerate(attentions):
        assert weights.shape == (len(x), 4, 17, 17)
        theirs = measured(weights.numpy()[..., 1:, 1:], (4, 4), 8)
        assert theirs[2].max() > 0.01  # heads do differ
        agree([measure[block] for measure in ours], theirs)


def test_swin(drawn, images):
    """Windows divide the maps, 16 and 8 cells a side; transformers gives one block of a stage."""
    config = transformers.Swinv2Config(
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        pretrained_window_sizes=[0, 0],
        layer_norm_eps=1e-5,
        attn_implementation="eager",
    )
    model, (x, x_torch) = transformers.Swinv2Model(config, use_mask_token=True), images
    module = SwinV2(width=16, depths=(2, 2), heads=(2, 4), image=32, stride=2, window=4)
    with torch.no_grad():
        scales = {n: p for n, p in model.named_parameters() if n.endswith("logit_scale")}
    params = drawn(model, keep=scales).encoder(module)
    with torch.no_grad():
        attentions = model.double()(x_torch.double(), output_attentions=True).attentions

    def look(scores):
        return (
            analysis.attention_distance(scores, (4, 4), 2),  # cells of stage 1; twice in stage 2
            analysis.attention_entropy(scores),
            analysis.head_divergence(scores),
        )

    ours = observed(module, params, x, look)
    for stage, (block, heads) in enumerate(((1, 2), (3, 4))):
        weights = attentions[stage].numpy().reshape(len(x), -1, heads, 16, 16)
        each = [measured(weights[:, w], (4, 4), 2) for w in range(weights.shape[1])]
        agree(ours[block], [np.mean(values, axis=0) for values in zip(*each, strict=True)])
