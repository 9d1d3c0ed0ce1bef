"""MAE against transformers' ViTMAEForPreTraining: prediction and loss under the same mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry, losses, networks, normalize

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

GRID, KEEP = (4, 4), 4


def published():
    config = transformers.ViTMAEConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        decoder_hidden_size=24,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=96,
        image_size=32,
        patch_size=8,
        mask_ratio=0.75,
        norm_pix_loss=True,
        layer_norm_eps=1e-6,
    )
    return transformers.ViTMAEForPreTraining(config)


def test_prediction_and_loss(drawn, images):
    """Its tables of positions, fixed as ours, code columns first; ours rows."""
    model, (x, x_torch) = published(), images
    with torch.no_grad():
        for table in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
            width = table.shape[-1]
            columns = np.roll(geometry.sincos(GRID, width), width // 2, -1)
            table.copy_(torch.from_numpy(np.pad(columns, ((1, 0), (0, 0))))[None])
    w = drawn(model)
    noise = np.random.default_rng(1).random((3, 16)).astype(np.float32)
    with torch.no_grad():
        want = model(x_torch, noise=torch.from_numpy(noise))
    visible = (np.argsort(np.argsort(noise, 1), 1) < KEEP).reshape(3, *GRID)
    np.testing.assert_array_equal(want.mask.numpy() == 0, visible.reshape(3, -1))

    network = networks.build(
        dict(name="vit_nano", image=32, patch=8, width=32, depth=3, heads=4),
        {},
        {"image": dict(name="infill", width=24, depth=2, heads=2)},
        image=32,
        dtype="float32",
        out={"image": 192},
    )
    params = w.network(jax.eval_shape(network.init, jax.random.key(0)), GRID)

    @jax.jit
    def predict(x):
        code = network.encode(params, "image", x, visible=visible, keep=KEEP)
        return network.decode(params, "image", code, grid=GRID)

    got = predict(x)
    np.testing.assert_allclose(got, want.logits, rtol=2e-5, atol=2e-5)
    target = geometry.patchify(normalize.patches(jnp.asarray(x), 8), 8)
    loss = np.asarray(losses.gaussian(got, target))[~visible.reshape(3, -1)].mean()
    np.testing.assert_allclose(loss, want.loss, rtol=1e-5)
