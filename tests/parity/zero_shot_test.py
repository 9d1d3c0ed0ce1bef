"""Zero-shot classification by an ensemble of prompts, against transformers' CLIPModel."""

import jax
import numpy as np
import pytest

from m3i_jax import networks, normalize
from m3i_jax.evaluation import terms, zero_shot

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
START, END, CLASSES, TEMPLATES = 58, 59, 5, 3


@pytest.fixture
def clip(drawn):
    ends = dict(bos_token_id=START, eos_token_id=END, pad_token_id=0)
    config = transformers.CLIPConfig(
        text_config=dict(**SIZES, vocab_size=60, max_position_embeddings=7, **ends),
        vision_config=dict(**SIZES, image_size=32, patch_size=8),
        projection_dim=16,
    )
    model = transformers.CLIPModel(config)
    return model, drawn(model, keep=("logit_scale",))


def sentences():
    """Tokens of every class in every template: begin, up to five words, end, padding."""
    rng = np.random.default_rng(0)
    tokens = np.zeros((CLASSES * TEMPLATES, 7), np.int32)
    for row in tokens:
        words = rng.integers(1, 58, rng.integers(1, 6))
        row[: len(words) + 2] = [START, *words, END]
    return tokens


def theirs(model, tokens, images):
    """Logits, step by step: normalise, mean over templates, normalise, scaled cosines."""
    processor = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False)
    with torch.no_grad():
        pixels = processor([*images], return_tensors="pt")["pixel_values"]
        # Behind each tower, in versions whose get_*_features return all that it made.
        image = model.visual_projection(model.vision_model(pixels).pooler_output)
        text = torch.from_numpy(tokens).long()
        text = model.text_projection(model.text_model(text).pooler_output)
        image, text = (
            image / image.norm(dim=-1, keepdim=True),
            text / text.norm(dim=-1, keepdim=True),
        )
        classes = text.reshape(CLASSES, TEMPLATES, -1).mean(1)
        classes = classes / classes.norm(dim=-1, keepdim=True)
        return (model.logit_scale.exp() * image @ classes.T).numpy()


def test_the_whole_path_gives_their_logits(clip):
    model, weights = clip
    shape = dict(width=32, depth=2, heads=4)
    network = networks.build(
        dict(name="vit_nano", patch=8, positions="learned", patch_bias=False, pre_norm=True,
             eps=1e-5, activation="quick_gelu", normalization="clip", **shape),
        dict(text=dict(name="clip_text", vocabulary=60, length=7, projection=16, **shape)),
        dict(text=dict(name="linear", pool="class", bias=False, logit_scale=True)),
        image=32,
        dtype="float32",
        out={"text": 16},
    )  # fmt: skip
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    params = weights.network(shapes, network.towers["image"].grid)
    rng = np.random.default_rng(1)
    tokens, images = sentences(), rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    codes = network.encode(params, "text", tokens).pooled
    classes = zero_shot.prototypes(np.reshape(codes, (CLASSES, TEMPLATES, -1)))
    pair = terms.Pair("text", "text")
    features = network.encode(params, "image", normalize.channels(images / np.float32(255)))
    told = terms.told(network, params, pair, features)
    found = zero_shot.scores(told, classes)
    expected = theirs(model, tokens, images)
    # Of logits up to 14: 1e-5 of them is what two float32 towers of 2 blocks differ by.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected) > 1
