"""MSN's encoder against transformers' ViTMSNModel, also on small and on large crops."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.nn.resample import resample

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("side", [32, 16, 48])
def test_class_features(drawn, side):
    config = transformers.ViTMSNConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
        layer_norm_eps=1e-6,
    )
    model = transformers.ViTMSNModel(config)
    w = drawn(model)
    x = np.random.default_rng(0).normal(size=(3, side, side, 3)).astype(np.float32)
    x_torch = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        want = model(x_torch, interpolate_pos_encoding=True).last_hidden_state
    module = encoders.create(
        "vit_nano", image=32, patch=8, width=32, depth=2, heads=4, positions="learned"
    )
    params = w.encoder(module)
    got = jax.jit(lambda x: module.apply({"params": params}, x))(x)
    np.testing.assert_allclose(got.pooled, want[:, 0], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(got.tokens, want[:, 1:], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("to", [(6, 6), (24, 20), (14, 9), (1, 3)])
def test_resampling_of_positions(to):
    table = np.random.default_rng(0).normal(size=(14, 14, 5)).astype(np.float32)
    x = torch.from_numpy(table).permute(2, 0, 1)[None]
    want = torch.nn.functional.interpolate(x, size=to, mode="bicubic", align_corners=False)
    got = resample(table, to)
    np.testing.assert_allclose(got, want[0].permute(1, 2, 0), rtol=1e-5, atol=2e-6)
    how = dict(size=to, mode="bicubic", align_corners=False, antialias=True)
    want = torch.nn.functional.interpolate(x, **how)[0].permute(1, 2, 0)
    np.testing.assert_allclose(resample(table, to, smooth=True), want, rtol=1e-5, atol=2e-6)
