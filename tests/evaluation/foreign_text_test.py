"""The text tower of a file is what was put into it; transformers' is in tests/parity."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from m3i_jax import networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.evaluation import datasets, foreign_text, image_text, named, terms
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.foreign import of_file
from m3i_jax.interop import clip
from m3i_jax.interop.rename import to_theirs
from tests.evaluation import toy_models

TEXTS = ["a red two", "a blue seven", "zzz", "a small red seven on a photograph of a cup"]
IMAGE = dict(
    name="vit_nano", image=16, patch=8, width=64, depth=1, heads=1, positions="learned",
    patch_bias=False, pre_norm=True, eps=1e-5, activation="quick_gelu", normalization="clip",
)  # fmt: skip
TEXT = dict(name="clip_text", width=64, depth=1, heads=1, projection=8, length=9, unit_norm=True)
KNOWN = {field: x for field, x in IMAGE.items() if field != "name"}
HEAD = dict(name="linear", pool="class", bias=False, logit_scale=True)


@pytest.fixture
def saved(tmp_path):
    """(folder, network, parameters, tokenizer) of a CLIP in transformers' names."""
    tokenizer = captions.train(["a small red two on a photograph of a cup, a blue seven"], length=9)
    towers, heads = {"text": dict(TEXT, vocabulary=tokenizer.vocabulary)}, {"text": HEAD}
    network = networks.build(IMAGE, towers, heads, image=16, dtype="float32", out={"text": 8})
    params = jax.tree.map(np.asarray, network.init(jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + np.float32(0.1) * rng.normal(size=x.shape), params)
    params = jax.tree.map(np.float32, params)
    state, unknown = to_theirs(dict(trees.named_leaves(params)), clip.HUGGING_FACE)
    assert not unknown
    save_file({name: np.array(x, order="C") for name, x in state.items()}, _weights(tmp_path))
    tokenizer.save(tmp_path / "clip" / "tokenizer.json")
    return tmp_path / "clip", network, params, tokenizer


def _weights(path):
    (path / "clip").mkdir()
    return path / "clip" / "model.safetensors"


def on_scenes(model, **how):
    data = datasets.of_run(toy_models.of_config("classification"))
    return Evaluation(model, data, batch=10, **how)


def test_images_and_texts_are_what_its_towers_make_of_them(saved):
    folder, network, params, tokenizer = saved
    evaluation = on_scenes(of_file(folder), test_limit=12)
    compared = image_text.of(evaluation, what="it")
    found = evaluation.mapped("test", compared.image, name=compared.name).features
    images = toy_models.images(evaluation.source("test"))
    pair = terms.Pair("text", "text")
    told = terms.told(network, params, pair, network.encode(params, "image", images))
    np.testing.assert_allclose(found, told, rtol=1e-4, atol=1e-5)
    tokens = np.stack([tokenizer.encode(text) for text in TEXTS])
    codes = network.encode(params, "text", tokens).pooled
    np.testing.assert_allclose(compared.text(TEXTS), codes, rtol=1e-4, atol=1e-6)
    assert compared.tokens == 9


def test_both_towers_have_the_activation_that_is_said_once(saved):
    folder = saved[0]
    for said in ("gelu", "quick_gelu"):
        model = of_file(folder, activation=said)
        whole, tokenizer = foreign_text.with_text(model, what="it")
        network = networks.build(
            IMAGE | {"activation": said},
            {"text": dict(TEXT, vocabulary=tokenizer.vocabulary, activation=said)},
            {"text": HEAD},
            image=16,
            dtype="float32",
            out={"text": 8},
        )
        tokens = np.stack([tokenizer.encode(text) for text in TEXTS])
        codes = [
            net.encode(whole.params, "text", tokens).pooled for net in (network, whole.network)
        ]
        np.testing.assert_array_equal(*codes)


def test_a_tokenizer_that_ends_no_text_is_told_its_end_behind_the_name_of_the_file(saved):
    folder, _, _, tokenizer = saved
    file = folder / "tokenizer.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"post_processor": None}))
    with pytest.raises(ConfigError, match=r"name the token that does in --model .*:end=TOKEN; the"):
        foreign_text.with_text(of_file(folder), what="it")
    with pytest.raises(ConfigError, match=r"--model .*:end=TOKEN is '2', which .* does not have"):
        foreign_text.with_text(named.model(f"{folder}:end=2"), what="it")
    _, ended = foreign_text.with_text(named.model(f"{folder}:end=[END]"), what="it")
    for text in TEXTS:
        np.testing.assert_array_equal(ended.encode(text), tokenizer.encode(text))


def test_a_file_without_texts_or_without_a_tokenizer_is_a_sentence(saved, tmp_path):
    folder, _, params, _ = saved
    (folder / "tokenizer.json").unlink()
    with pytest.raises(NotMeasurable, match="needs the tokenizer of the text tower, and there is"):
        image_text.of(on_scenes(of_file(folder)), what="it")
    alone = {"encoders": {"image": params["encoders"]["image"]}}
    state, _ = to_theirs(dict(trees.named_leaves(alone)), clip.HUGGING_FACE_IMAGE)
    (tmp_path / "alone").mkdir()
    state = {name: np.array(x, order="C") for name, x in state.items()}
    save_file(state, tmp_path / "alone" / "model.safetensors")
    with pytest.raises(NotMeasurable, match="images and texts, and '.*alone' has no text tower"):
        image_text.of(on_scenes(of_file(tmp_path / "alone")), what="it")
    own = tmp_path / "own"
    own.mkdir()
    both = {path: np.array(x) for path, x in trees.named_leaves(params)}
    save_file(both, own / "model.safetensors")
    with pytest.raises(NotMeasurable, match="no text tower of CLIP's or SigLIP's; of a run"):
        image_text.of(on_scenes(of_file(own, **{"encoder": "vit_nano", **KNOWN})), what="it")


@pytest.mark.parametrize("kept", ["text_model", "text_projection", "logit_scale", "visual_proj"])
def test_whatever_a_file_lacks_is_named(saved, kept):
    """A CLIP whose file lacked text_projection had codes of another space, and nobody said so."""
    folder, weights = saved[0], saved[0] / "model.safetensors"
    state = load_file(weights)
    for name in [name for name in state if name.startswith(kept)]:
        save_file({other: x for other, x in state.items() if other != name}, weights)
        with pytest.raises((NotMeasurable, ConfigError), match="lacks|no layout knows"):
            foreign_text.with_text(of_file(folder), what="it")
