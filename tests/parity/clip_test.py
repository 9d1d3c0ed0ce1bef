"""CLIP against transformers' CLIPModel: both towers, logits and loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, encoders, losses

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128)
END = 59
# Begin, words, end, padding.
TEXTS = np.array([[58, 5, 9, END, 0, 0, 0], [58, 7, END, 0, 0, 0, 0], [58, 3, 4, 8, 6, 2, END]])


@pytest.fixture
def clip(drawn):
    config = transformers.CLIPConfig(
        text_config=dict(
            **SIZES,
            vocab_size=60,
            max_position_embeddings=7,
            bos_token_id=58,
            eos_token_id=END,
            pad_token_id=0,
        ),
        vision_config=dict(**SIZES, image_size=32, patch_size=8),
        projection_dim=16,
    )
    model = transformers.CLIPModel(config)
    return model, drawn(model, keep=("logit_scale",))


def vision(w):
    module = encoders.create(
        "vit_nano",
        image=32,
        patch=8,
        width=32,
        depth=3,
        heads=4,
        positions="learned",
        patch_bias=False,
        pre_norm=True,
        eps=1e-5,
        activation="quick_gelu",
    )
    return module, w.encoder(module)


def text(w):
    sizes = dict(width=32, depth=3, heads=4, vocabulary=60, length=7, projection=16)
    module = encoders.create("clip_text", unit_norm=True, **sizes)
    return module, w.encoder(module, "text")


def test_towers_logits_and_loss(clip, images):
    model, w = clip
    x, x_torch = images
    with torch.no_grad():
        want = model(torch.from_numpy(TEXTS), x_torch, return_loss=True)
    image, image_params = vision(w)
    words, text_params = text(w)
    head = decoders.create(
        {"name": "linear", "pool": "class", "bias": False, "logit_scale": True}, out=16
    )
    head_params = w.decoder("text")
    features = jax.jit(lambda x: image.apply({"params": image_params}, x))(x)
    theirs = want.vision_model_output.last_hidden_state
    # Ours end in the norm that theirs give to the class token only.
    tokens = model.vision_model.post_layernorm(theirs).detach()
    np.testing.assert_allclose(features.tokens, tokens[:, 1:], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(features.pooled, tokens[:, 0], rtol=2e-5, atol=2e-5)
    scaled = head.apply({"params": head_params}, features)
    unit = scaled / jnp.exp(head_params["unit"]["logit_scale"])
    np.testing.assert_allclose(unit, want.image_embeds, rtol=2e-5, atol=2e-6)
    codes = jax.jit(lambda t: words.apply({"params": text_params}, t).pooled)(TEXTS)
    np.testing.assert_allclose(codes, want.text_embeds, rtol=2e-5, atol=2e-6)
    logits = scaled @ codes.T
    np.testing.assert_allclose(logits, want.logits_per_image, rtol=2e-5, atol=2e-5)
    both = [losses.categorical(a, jnp.arange(3)).mean() for a in (logits, logits.T)]
    np.testing.assert_allclose(sum(both) / 2, want.loss, rtol=1e-5)
