"""The library's face: what it gives of images is what `m3i embed` writes of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import m3i_jax
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.data.views.crops import center_crop
from m3i_jax.evaluation import embedding, models
from m3i_jax.evaluation.datasets import of_run
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.interop import exporting

RNG = np.random.default_rng(0)
PHOTOS = [RNG.integers(0, 256, (side, 40, 3), np.uint8) for side in (30, 44, 61)]
close = dict(rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def encoder(finished_run):
    return m3i_jax.load(finished_run)


@pytest.fixture(scope="module")
def embedded(finished_run, tmp_path_factory):
    """What `m3i embed` writes of the run's own test images, and these images."""
    model = models.restore(finished_run)
    evaluation = Evaluation(model, of_run(model), batch=13, quiet=True)
    path = tmp_path_factory.mktemp("embed") / "f.npz"
    embedding.write(path, evaluation, "test")
    source = evaluation.source("test")
    return np.load(path), [source[i].image for i in range(len(source))]


def test_encode_equals_what_embed_writes_whatever_the_batch(encoder, embedded):
    file, images = embedded
    for batch in (64, 8):
        np.testing.assert_allclose(encoder.encode(images, batch=batch), file["features"], **close)
    pillow = [Image.fromarray(image) for image in images[:3]]
    floats = np.stack(images[:3]).astype(np.float32) / 255
    for given in (pillow, floats, jnp.asarray(floats)):
        np.testing.assert_allclose(encoder.encode(given), file["features"][:3], **close)


def test_embed_equals_what_embed_writes(encoder, embedded, capsys):
    file, images = embedded
    features, names, labels, classes = encoder.embed(split="test")
    np.testing.assert_allclose(features, file["features"], **close)
    np.testing.assert_array_equal(labels, file["labels"])
    assert (names, classes) == (tuple(file["names"]), tuple(file["classes"]))
    assert f": image {len(images)} of {len(images)}" in capsys.readouterr().err


def test_a_folder_has_names_and_labels_and_the_features_of_its_files(encoder, tmp_path, capsys):
    for i, photo in enumerate(PHOTOS):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    found = encoder.embed(tmp_path / "photos", quiet=True)
    assert found.classes == ("a", "b") and found.labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(encoder.encode(found.names), found.features, **close)
    assert encoder.embed(tmp_path / "photos", limit=2, quiet=True).features.shape == (2, 32)
    assert not capsys.readouterr().err
    with pytest.raises(ConfigError, match="embed takes a folder or a source"):
        encoder.embed(PHOTOS)


def test_sizes_crop_and_normalisation_are_inside(encoder, finished_run):
    model = models.restore(finished_run)
    encode = jax.jit(lambda x: model.network.encode(model.params, "image", x).tokens.mean(1))
    for crop in (1.0, 0.875):
        loaded = m3i_jax.load(finished_run, crop=crop)
        cut = np.stack([center_crop(photo, size=16, ratio=crop)[0] for photo in PHOTOS])
        x = (cut / 255 - np.float64([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
        found = loaded.encode(PHOTOS)
        np.testing.assert_allclose(found, encode(np.float32(x)), rtol=1e-4, atol=1e-5)
    assert encoder.crop == 1.0  # digit scenes are small squares
    assert m3i_jax.load("untrained:vit_nano").crop == 0.875


def test_tokens_of_blocks_are_on_the_grid(encoder):
    one, last = encoder.features(PHOTOS, layers=(1, -1))
    assert one.block == last.block == 1 and last.tokens.shape == (3, 4, 4, 32)
    np.testing.assert_allclose(last.tokens.mean((1, 2)), encoder.encode(PHOTOS), **close)
    if last.class_token is not None:
        np.testing.assert_allclose(last.class_token, encoder.encode(PHOTOS, pool="cls"), **close)
    tokens = encoder.encode(PHOTOS, pool="tokens")
    np.testing.assert_allclose(last.tokens.reshape(tokens.shape), tokens, **close)
    (raw,) = encoder.features(PHOTOS, norm=False)
    assert np.abs(raw.tokens - last.tokens).max() > 1e-3
    with pytest.raises(ConfigError, match="there is no block 2, expected 1 to 1"):
        encoder.features(PHOTOS, layers=2)


def test_stages_have_maps_of_their_own_size():
    loaded = m3i_jax.load("untrained:resnet_nano:depths=(1,1),width=8")
    blocks = len(loaded._shapes(loaded._every).layers)
    maps = loaded.features(PHOTOS, layers=range(1, blocks + 1))
    sides = [m.tokens.shape[1] for m in maps]
    assert sides == sorted(sides, reverse=True) and sides[0] > sides[-1]
    assert all(m.class_token is None for m in maps)


def test_params_and_apply_are_for_jax(encoder):
    images = jnp.asarray(RNG.uniform(size=(2, 16, 16, 3)), jnp.float32)
    levels = jnp.rint(255 * images).astype(jnp.uint8)

    def mean(params, images):
        return encoder.apply(params, images).tokens.mean(1)

    found = jax.jit(mean)(encoder.params, levels)
    np.testing.assert_allclose(found, encoder.encode(np.asarray(levels)), **close)
    np.testing.assert_allclose(
        jax.jit(mean)(encoder.params, levels / 255), found, rtol=1e-5, atol=1e-5
    )
    grads = jax.jit(jax.grad(lambda x: mean(encoder.params, x).sum()))(images)
    assert grads.shape == images.shape and np.abs(grads).max() > 0


def test_few_shapes_are_compiled(encoder):
    loaded = dataclasses.replace(encoder)
    for count in (1, 2, 3, 5, 8):
        loaded.encode([PHOTOS[0]] * count)
    assert loaded._pooled._cache_size() == 1  # eight devices, one image each
    loaded.encode([PHOTOS[0]] * 17, batch=16)
    assert loaded._pooled._cache_size() == 2


def test_nothing_of_it_changes_and_it_says_what_it_is(encoder, finished_run):
    with pytest.raises(dataclasses.FrozenInstanceError):
        encoder.crop = 0.5
    for part in ("vit", "mae, ema of step 8", "16x16", "(N, 32)", "1 blocks"):
        assert part in repr(encoder)
    assert encoder.encode([]).shape == (0, 32) and encoder.dim == 32
    online = m3i_jax.load(finished_run, branch="online", step=4, image=32)
    assert "online of step 4" in repr(online) and online.image == 32


def test_an_export_is_its_run(encoder, finished_run, tmp_path):
    model = models.restore(finished_run)
    block = {"image": model.image, **weights.block(model.config, "image")}
    said = {"encoder": block, "crop": model.crop}
    exporting.save(tmp_path, model.params["encoders"]["image"], said, to="timm")
    loaded = m3i_jax.load(tmp_path)
    assert loaded.crop == 1.0
    np.testing.assert_allclose(loaded.encode(PHOTOS), encoder.encode(PHOTOS), **close)


@pytest.mark.parametrize(
    "path, options, sentence",
    [
        ("nowhere/at/all", {}, "there is no 'nowhere/at/all'"),
        ("pixels", {}, "raw pixels have no encoder"),
        ("untrained:vit_nano", {"pool": "means"}, "did you mean 'mean'"),
        ("untrained:vit_nano", {"crop": 2.0}, "crop is 2"),
    ],
)
def test_a_wrong_word_is_a_sentence(path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        m3i_jax.load(path, **options)
