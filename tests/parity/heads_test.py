"""Heads of dense tasks against whole models of transformers, of random weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, geometry
from m3i_jax.types import Features
from tests.heads.layers import apply, draw_torch, head_of, kernel_of, layer_of, moved, ours

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LABELS = 7
UPERNET = decoders.create(dict(name="upernet", width=12, dropout=0.0), out=LABELS)
BESIDE = dict(name="fcn", width=6, layers=1, concat=False, map=2, dropout=0.0)
FCN = decoders.create(BESIDE, out=LABELS)


def unit(module):
    """A convolution, a batch norm and a ReLU, wherever these are in a module."""
    conv, norm = (x for x in module.modules() if hasattr(x, "weight"))
    return layer_of(conv, norm)


def upernet_params(head, pyramid, bottleneck):
    made = {f"pyramid_{i}": unit(block) for i, block in enumerate(pyramid)}
    for i, (lateral, output) in enumerate(zip(head.lateral_convs, head.fpn_convs, strict=True)):
        made |= {f"laterals_{i}": unit(lateral), f"outputs_{i}": unit(output)}
    made |= {"bottleneck": unit(bottleneck), "fusion": unit(head.fpn_bottleneck)}
    return made | {"head": head_of(head.classifier)}


def fcn_params(head):
    return {"layers_0": unit(head.convs[0]), "head": head_of(head.classifier)}


def photographs(*shape):
    return torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))


def test_upernet_on_a_hierarchy_of_odd_maps(same_shapes):
    """With the auxiliary head, by both statistics, and what these remember after two steps."""
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1] * 4,
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=12, num_labels=LABELS, auxiliary_channels=6
    )
    model = transformers.UperNetForSemanticSegmentation(config).eval()
    draw_torch(torch, model)
    images, head = photographs(104, 136), model.decode_head
    with torch.no_grad():
        maps = model.backbone(images).feature_maps
        want, beside = model(images).logits, model.auxiliary_head(maps)
    x = Features(maps=tuple(ours(y) for y in maps))
    assert [y.shape[1:3] for y in x.maps] == [(26, 34), (13, 17), (7, 9), (4, 5)]

    def params_of():
        return upernet_params(head, head.psp_modules.blocks, head.bottleneck)

    params = params_of()
    same_shapes(UPERNET, params, x)
    got = geometry.bilinear(apply(UPERNET, params, x), images.shape[2:])
    np.testing.assert_allclose(got, ours(want), rtol=1e-4, atol=1e-4)
    got = apply(FCN, fcn_params(model.auxiliary_head), x)
    np.testing.assert_allclose(got, ours(beside), rtol=1e-4, atol=1e-4)
    head.train()
    for _ in range(2):
        with torch.no_grad():
            want = head(maps)
        got, params = moved(UPERNET, params, x)
        np.testing.assert_allclose(got, ours(want), rtol=1e-3, atol=1e-3)
    after = params_of()
    for name in after.keys() - {"head"}:
        for what in ("mean", "var"):
            right = after[name]["norm"][what]
            np.testing.assert_allclose(params[name]["norm"][what], right, rtol=1e-4, atol=1e-5)


def test_upernet_on_four_maps_of_one_grid(same_shapes):
    """BEiT's, with necks that resize the maps."""
    config = transformers.BeitConfig(
        hidden_size=12,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=12,
        image_size=80,
        num_labels=LABELS,
        out_indices=[1, 2, 3, 4],
        auxiliary_channels=6,
    )
    model = transformers.BeitForSemanticSegmentation(config).eval()
    draw_torch(torch, model)
    images, head, maps = photographs(80, 80), model.decode_head, []
    hook = model.fpn.register_forward_pre_hook(lambda _, given: maps.extend(given[0]))
    with torch.no_grad():
        want = model(images).logits
        hook.remove()
        beside = model.auxiliary_head(model.fpn(tuple(maps)))
    x = Features(maps=tuple(ours(y) for y in maps))
    assert [y.shape for y in x.maps] == [(2, 5, 5, 12)] * 4
    params = upernet_params(head, head.psp_modules.blocks, head.psp_bottleneck)
    first, norm, second, third = (y for y in model.fpn.modules() if hasattr(y, "weight"))
    params["necks"] = {
        "first": layer_of(first, norm),
        "second": kernel_of(second),
        "third": kernel_of(third),
    }
    same_shapes(UPERNET, params, x)
    np.testing.assert_allclose(apply(UPERNET, params, x), ours(want), rtol=1e-4, atol=1e-4)
    got = apply(FCN, fcn_params(model.auxiliary_head), x)
    np.testing.assert_allclose(got, ours(beside), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("simple", [False, True])
def test_both_decoders_of_vitpose(same_shapes, simple):
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[80, 48],
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        out_features=["stage2"],
    )
    config = transformers.VitPoseConfig(
        backbone_config=backbone, use_simple_decoder=simple, num_labels=LABELS
    )
    model = transformers.VitPoseForPoseEstimation(config).eval()
    draw_torch(torch, model)
    images, head = photographs(80, 48), model.head
    with torch.no_grad():
        tokens = model.backbone(images).feature_maps[-1]
        want = model(images).heatmaps
    x = Features(maps=(jnp.asarray(tokens.numpy()).reshape(2, 5, 3, 12),))
    if simple:
        params, name = {"head": kernel_of(head.conv)}, {"name": "simple_decoder"}
    else:
        params, name = {"head": head_of(head.conv)}, {"name": "deconvolutions", "layers": 2}
        params["layers_0"] = layer_of(head.deconv1, head.batchnorm1)
        params["layers_1"] = layer_of(head.deconv2, head.batchnorm2)
    module = decoders.create(name, out=LABELS)
    same_shapes(module, params, x)
    got = apply(module, params, x)
    assert got.shape == (2, 20, 12, LABELS)
    np.testing.assert_allclose(got, ours(want), rtol=1e-4, atol=1e-4)
