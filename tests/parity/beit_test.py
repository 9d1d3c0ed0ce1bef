"""BEiT and data2vec against transformers: logits, outputs of every block, targets and losses."""

import jax
import numpy as np
import pytest

from m3i_jax import decoders, encoders, losses, normalize

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=128,
    image_size=32,
    patch_size=8,
    use_mask_token=True,
    layer_scale_init_value=0.1,
    layer_norm_eps=1e-6,
)


def encoder(relative_bias, *, final_norm):
    return encoders.create(
        "vit_nano",
        image=32,
        patch=8,
        width=32,
        depth=3,
        heads=4,
        positions="none",
        relative_bias=relative_bias,
        qkv_bias="qv",
        layer_scale=0.1,
        hide="mask",
        final_norm=final_norm,
    )


@pytest.fixture
def masked():
    return np.random.default_rng(1).random((3, 16)) < 0.4


def test_beit_logits_and_loss(drawn, images, masked):
    config = transformers.BeitConfig(**SIZES, vocab_size=50, use_shared_relative_position_bias=True)
    model, (x, x_torch) = transformers.BeitForMaskedImageModeling(config), images
    w = drawn(model)
    codes = np.random.default_rng(2).integers(0, 50, (3, 16))
    with torch.no_grad():
        want = model(
            x_torch,
            bool_masked_pos=torch.from_numpy(masked),
            labels=torch.from_numpy(codes[masked]),
        )
    module = encoder("shared", final_norm=True)
    params = w.encoder(module)
    head = decoders.create({"name": "linear"}, out=50)
    head_params = w.decoder("words")

    @jax.jit
    def predict(x):
        code = module.apply({"params": params}, x, visible=~masked.reshape(3, 4, 4))
        return head.apply({"params": head_params}, code)

    got = predict(x)
    np.testing.assert_allclose(got, want.logits, rtol=2e-5, atol=2e-5)
    loss = np.asarray(losses.categorical(got, codes))[masked].mean()
    np.testing.assert_allclose(loss, want.loss, rtol=1e-5)


def test_data2vec_targets_and_loss(drawn, images, masked):
    config = transformers.Data2VecVisionConfig(**SIZES, use_relative_position_bias=True)
    model, (x, x_torch) = transformers.Data2VecVisionModel(config), images
    w = drawn(model)
    with torch.no_grad():
        teacher = model(x_torch, output_hidden_states=True).hidden_states[1:]
        student = model(
            x_torch, bool_masked_pos=torch.from_numpy(masked), output_hidden_states=True
        ).hidden_states[-1][:, 1:]
        norm = lambda t: torch.nn.functional.layer_norm(t, t.shape[-1:])  # noqa: E731
        target = norm(torch.stack([norm(t[:, 1:]) for t in teacher[-2:]]).mean(0))
        loss = torch.nn.functional.smooth_l1_loss(student[masked], target[masked], beta=2.0)
    module = encoder("layer", final_norm=False)
    params = w.encoder(module)
    encode = jax.jit(lambda x, v: module.apply({"params": params}, x, visible=v, layers=True))
    layers = encode(x, np.ones((3, 4, 4), bool)).layers
    for ours, theirs in zip(layers, teacher, strict=True):
        np.testing.assert_allclose(ours, theirs[:, 1:], rtol=2e-5, atol=2e-5)
    ours = normalize.layer(normalize.layer(layers[-2:]).mean(0))
    np.testing.assert_allclose(ours, target, rtol=2e-5, atol=2e-5)
    predicted = encode(x, ~masked.reshape(3, 4, 4)).tokens
    got = np.asarray(losses.huber(predicted, ours, delta=2.0))[masked].mean()
    np.testing.assert_allclose(got, loss, rtol=1e-5)
