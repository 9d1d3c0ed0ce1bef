"""Encoders cut behind a block, of blocks drawn at random, without a head or a block: models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, named, results, run, surgery, tasks
from m3i_jax.interop import exporting

VIT = dict(name="vit_nano", image=16, width=16, depth=4, heads=2)
SWIN = dict(name="swin_v2_t", width=8, depths=(1, 4), heads=(1, 2), image=16, stride=2, window=2)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vit():
    return shaken(VIT)


@pytest.fixture(scope="module")
def swin():
    return shaken(SWIN)


def shaken(block):
    """A model whose norms and biases do something."""
    model = models.fresh(block)
    rng = np.random.default_rng(1)
    noise = lambda leaf: np.asarray(leaf + 0.1 * rng.standard_normal(leaf.shape), np.float32)  # noqa: E731
    return model._replace(params=jax.tree.map(noise, model.params))


def tokens(model):
    return np.asarray(models.encode(model, model.params, IMAGES).tokens)


def layers(model):
    return [np.asarray(x) for x in models.encode(model, model.params, IMAGES, layers=True).layers]


def close(found, expected):
    # float32 of two programs, and of scans of another length
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_the_first_blocks_of_a_vit_give_what_is_behind_them(vit):
    whole = layers(vit)
    for count in (1, 3, 4):
        cut = surgery.truncated(vit, count)
        close(tokens(cut), whole[count - 1])
        assert cut.name.endswith(f":blocks={count}")
    kept = surgery.truncated(vit, 2, final_norm=True)
    norm = models.last_norm(vit, vit.params, jnp.asarray(whole[1]))
    close(tokens(kept), norm)


def test_the_first_blocks_of_a_swin_over_all_stages_or_in_one(swin):
    whole = layers(swin)
    for count in (1, 2, 5):
        close(tokens(surgery.truncated(swin, count)), whole[count - 1])
    in_stage = surgery.truncated(swin, 2, stage=2)
    close(tokens(in_stage), whole[2])
    assert in_stage.block["depths"] == (1, 2) and in_stage.name.endswith(":blocks=2,stage=2")
    assert models.digest(in_stage) == models.digest(surgery.truncated(swin, 3))


def test_blocks_are_put_in_the_order_in_which_they_are_said(vit):
    made = surgery.sampled(vit, (2, 4))
    blocks, own = (m.params["encoders"]["image"]["blocks"] for m in (made, vit))
    for leaf, whole in zip(jax.tree.leaves(blocks), jax.tree.leaves(own), strict=True):
        np.testing.assert_array_equal(leaf, np.asarray(whole)[[1, 3]])
    first = surgery.sampled(vit, (1, 2))
    close(tokens(first), tokens(surgery.truncated(vit, 2)))
    digests = [models.digest(surgery.sampled(vit, order)) for order in ((2, 4), (4, 2), (1, 4))]
    assert len({*digests, models.digest(vit)}) == 4


def test_whether_windows_shift_is_of_the_place_of_a_block(swin):
    made = surgery.sampled(swin, (2, 4), stage=2)
    assert made.block["depths"] == (1, 2)
    # Block 2 shifted where it was; in the first place it does not, as block 1 with its weights.
    params = jax.tree.map(np.array, swin.params)
    stage = params["encoders"]["image"]["stages_1"]["blocks"]
    for leaf in jax.tree.leaves(stage):
        leaf[0], leaf[1] = leaf[1].copy(), leaf[3].copy()
    close(tokens(made), layers(swin._replace(params=params))[2])
    assert made.name.endswith(":sampled=(2,4),stage=2")


def test_without_a_block_or_a_head_a_model_is_as_large_and_another(vit):
    whole = layers(vit)
    made = surgery.without_block(vit, 2)
    np.testing.assert_array_equal(layers(made)[1], whole[0])
    other = surgery.without_head(vit, 3, 1)
    close(layers(other)[1], whole[1])
    assert np.abs(layers(other)[2] - whole[2]).max() > 1e-3
    assert made.block == vit.block
    assert len({models.digest(m) for m in (vit, made, other)}) == 3


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (dict(blocks=5), "no block of number 5, expected 1 to 4"),
        (dict(blocks=0), "no block of number 0"),
        (dict(blocks=2.5), "blocks is 2.5, expected COUNT"),
        (dict(blocks=True), "blocks is True, expected COUNT"),
        (dict(blocks=(1, 2)), r"blocks is \(1, 2\), expected COUNT"),
        (dict(blocks=2, without_block=1), "expected one of"),
        (dict(stage=1), "expected one of"),
        (dict(blocks=2, stage=2), "no stage of number 2"),
        (dict(sampled=(1, 1)), "none of them twice"),
        (dict(sampled=()), "none of them twice"),
        (dict(sampled=(1, 9)), "no block of stage 1 of number 9"),
        (dict(without_head=3), r"expected \(BLOCK,HEAD\)"),
        (dict(without_head=(1, 3)), "no head of block 1 of number 3"),
        (dict(without_block=1, final_norm=True), "final_norm is not said beside without_block"),
    ],
)
def test_what_there_is_not_is_a_sentence(vit, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        surgery.operated(vit, settings)


def test_what_an_encoder_cannot_is_a_sentence(swin):
    with pytest.raises(ConfigError, match="say stage=1 to 2"):
        surgery.sampled(swin, (1,))
    with pytest.raises(ConfigError, match="final_norm is of a ViT"):
        surgery.truncated(swin, 1, final_norm=True)
    resnet = models.fresh(dict(name="resnet_nano", image=16))
    with pytest.raises(ConfigError, match="a ViT or a SwinV2 is cut"):
        surgery.truncated(resnet, 1)
    with pytest.raises(ConfigError, match="a ResNet has no heads"):
        surgery.without_head(resnet, 1, 1)
    with pytest.raises(ConfigError, match="raw pixels"):
        surgery.operated(models.RAW, dict(blocks=1))


def test_a_run_cut_is_named_evaluated_and_exported(finished_run, tmp_path):
    cut = named.model(f"{finished_run}:blocks=1,final_norm=True")
    assert cut.name == f"{finished_run}@8:blocks=1,final_norm=True"
    assert (cut.branch, cut.step) == ("ema", 8)
    (knn,) = tasks.create([{"name": "knn"}])
    on = [datasets.named("digit_scenes:length=60")]
    (found,) = run.evaluate([knn], [cut], on=on, place=tmp_path)
    assert results.read(tmp_path) == [found]
    assert found.weights == models.digest(cut)
    plain = named.model(f"{finished_run}:blocks=1")
    folder = tmp_path / "export"
    exporting.save(
        folder, plain.params["encoders"]["image"], {"encoder": plain.block}, to="m3i_jax"
    )
    np.testing.assert_allclose(tokens(named.model(str(folder))), tokens(plain), rtol=1e-6)
    of_file = named.model(f"{folder}:without_block=1")
    assert models.digest(of_file) != models.digest(plain)
    untrained = named.model(f"untrained:{finished_run}:blocks=1")
    assert untrained.branch == "untrained" and untrained.block == plain.block
    assert named.model("untrained:vit_nano:depth=3,seed=2,blocks=2").block["depth"] == 2
