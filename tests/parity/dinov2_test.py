"""DINOv2 against transformers: LayerScale, and positions interpolated for another size."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(("side", "registers"), [(32, 0), (48, 0), (24, 2), (48, 2)])
def test_features_and_masked_features(drawn, side, registers):
    kind = "Dinov2WithRegisters" if registers else "Dinov2"
    more = dict(num_register_tokens=registers) if registers else {}
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        layerscale_value=0.1,
        **more,
    )
    model = getattr(transformers, f"{kind}Model")(config)
    w = drawn(model)
    module = encoders.create(
        "vit_nano",
        image=32,
        patch=8,
        width=32,
        depth=2,
        heads=4,
        positions="learned",
        layer_scale=1.0,
        hide="mask",
        registers=registers,
    )
    params = w.encoder(module)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    masked = rng.random((2, (side // 8) ** 2)) < 0.4
    x_torch = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    for hidden in (None, masked):
        with torch.no_grad():
            mask = None if hidden is None else torch.from_numpy(hidden)
            want = model(x_torch, bool_masked_pos=mask).last_hidden_state
        visible = None if hidden is None else ~hidden.reshape(2, side // 8, side // 8)
        got = jax.jit(lambda x, v: module.apply({"params": params}, x, visible=v))(x, visible)
        np.testing.assert_allclose(got.pooled, want[:, 0], rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(got.tokens, want[:, 1 + registers :], rtol=2e-5, atol=2e-5)
