"""Weights of another run: of a real work directory, of an export, and every way not to fit."""

import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax import networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.interop import exporting, layouts
from m3i_jax.interop.rename import to_theirs
from m3i_jax.training.assemble import assemble

BLOCK = dict(name="vit_nano", image=8, patch=4, width=16, depth=2, heads=2)


def encoder(**changes):
    """Random parameters of a tiny encoder, and its block."""
    block = BLOCK | changes
    network = networks.build(block, {}, {}, image=8, dtype="float32", out={})
    shapes = jax.eval_shape(network.init, jax.random.key(0))["encoders"]["image"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), shapes), block


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def assert_same(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


class Codebook(NamedTuple):
    rows: Any
    uses: Any


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two checkpoints of a run with two towers, two decoders and encoders with states."""
    path = tmp_path_factory.mktemp("saved") / "run"
    with Checkpoints(path / "checkpoints") as kept:
        for step in (3, 7):
            kept.save(step, items(step), {}, wait=True)
    return path


def items(step):
    params, _ = encoder(positions="learned")
    image = jax.tree.map(lambda x: jnp.float32(x + step), params)
    text = {"token_embed": jnp.full((5, 4), step, jnp.float32)}
    heads = {"pixels": {"kernel": jnp.full((4, 2), step, jnp.float32)}, "text": {"b": jnp.ones(3)}}
    codes = {
        "tokenizer": Codebook(jnp.full((6, 3), step, jnp.float32), jnp.arange(6)),
        "queue/image": jnp.full((2, 2), step, jnp.float32),
        "online/image": (),
    }
    return {
        "online": {"encoders": {"image": image, "text": text}, "decoders": heads},
        "ema": {"encoders": {"image": jax.tree.map(lambda x: -x, image)}},
        "state": {"step": jnp.int32(step), "optimizer": (jnp.ones(3),), "codes": codes},
    }


def test_the_newest_or_the_named_step_and_the_branch_and_tower_asked_for(workdir):
    wanted = shapes(items(7)["online"]["encoders"])
    for path, step in ((workdir, 7), (workdir / "checkpoints" / "3", 3), (str(workdir), 7)):
        image = items(step)["ema"]["encoders"]["image"]
        assert_same(weights.load(path, wanted["image"]), image)
    assert_same(
        weights.load(workdir, wanted["image"], branch="online"),
        items(7)["online"]["encoders"]["image"],
    )
    text = weights.load(workdir, wanted["text"], tower="text", branch="online")
    assert text["token_embed"][0, 0] == 7


def test_heads_and_code_states(workdir):
    heads = weights.load_heads(workdir, ["text", "pixels"], "online")
    assert_same(heads, items(7)["online"]["decoders"])
    before = weights.load_heads(workdir / "checkpoints" / "3", ["pixels"], "online")
    assert list(before) == ["pixels"] and (before["pixels"]["kernel"] == 3).all()
    book = weights.load_slot(workdir, "tokenizer")
    assert_same(book, dict(items(7)["state"]["codes"]["tokenizer"]._asdict()))
    assert (weights.load_slot(workdir / "checkpoints" / "3", "queue/image") == 3).all()
    assert_same(weights.load_slot(workdir, "ema"), items(7)["ema"])


def test_everything_that_does_not_fit_is_listed_at_once(workdir):
    wanted = shapes(items(7)["online"]["encoders"]["image"])
    del wanted["cls_token"]
    wanted["mask_token"] = jax.ShapeDtypeStruct((1, 1, 16), jnp.float32)
    wanted["norm"]["bias"] = jax.ShapeDtypeStruct((8,), jnp.float32)
    wanted["norm"]["scale"] = jax.ShapeDtypeStruct((16,), jnp.bfloat16)
    with pytest.raises(ConfigError) as error:
        weights.load(workdir, wanted)
    said = str(error.value)
    assert "'mask_token' is not in the checkpoint" in said
    assert "'cls_token' is in the checkpoint only" in said
    assert "'norm/bias' is float32[16] in the checkpoint, float32[8] here" in said
    assert "'norm/scale' is float32[16] in the checkpoint, bfloat16[16] here" in said
    assert said.count(";") == 3 and "resampled" not in said


def test_positions_of_another_image_size_are_refused_with_their_shapes(workdir):
    wanted = shapes(encoder(positions="learned", image=16)[0])
    with pytest.raises(ConfigError, match=r"float32\[1, 5, 16\].*\[1, 17, 16\].*not resampled"):
        weights.load(workdir, wanted)


def test_positions_of_another_grid_of_as_many_cells_are_refused(workdir):
    (workdir / "config.json").write_text(json.dumps({"image": 8, "encoder": BLOCK}))
    wanted = shapes(items(7)["ema"]["encoders"]["image"])
    how = dict(grid=(1, 4), block=BLOCK | dict(image=(4, 16), positions="learned"))
    with pytest.raises(ConfigError, match=r"for a grid of \(2, 2\), and this run has \(1, 4\)"):
        weights.load(workdir, wanted, **how)
    weights.load(workdir, wanted, grid=(2, 2), block=BLOCK)
    with pytest.raises(ConfigError, match="heads is 4, and 2 in the config of"):
        weights.load(workdir, wanted, grid=(2, 2), block=BLOCK | dict(heads=4))
    weights.load(workdir, wanted, grid=(2, 2), block=BLOCK | dict(heads=4), ignore="heads")
    (workdir / "config.json").unlink()


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda w: weights.load(w, {}, branch="emma"), "branches ema and online, not 'emma'"),
        (lambda w: weights.load(w, {}, tower="imag"), "no encoders/imag; did you mean 'image'"),
        (lambda w: weights.load(w, {}, tower="text"), "branch 'ema' .* no encoders/text; there"),
        (lambda w: weights.load(w / "none", {}), "there are no weights at .*none'"),
        (lambda w: weights.load_heads(w, ["pixel"], "online"), "did you mean 'pixels'"),
        (lambda w: weights.load_heads(w, ["pixels"], "ema"), "'ema' .* no decoders/pixels"),
        (
            lambda w: weights.load_slot(w, "online/image"),
            "no state of encoder 'online/image'",
        ),
        (lambda w: weights.load_slot(w, "queue/image/x"), "did you mean 'queue/image'"),
    ],
)
def test_what_is_not_there_is_said(workdir, call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        call(workdir)


def test_no_step_yet_and_a_step_that_is_gone(workdir, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match="no sound checkpoint yet"):
        weights.load(tmp_path, {})
    with pytest.raises(CheckpointError, match="steps on disk: 3, 7"):
        weights.load(workdir / "checkpoints" / "4", {})


@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_an_export_is_read_back_bit_for_bit(positions, tmp_path):
    params, block = encoder(positions=positions)
    exporting.save(tmp_path, params, {"encoder": block})
    for path in (tmp_path, tmp_path / "model.safetensors"):
        assert_same(weights.load(path, shapes(params)), params)
    with pytest.raises(ConfigError, match="has no tower 'text'"):
        weights.load(tmp_path, shapes(params), tower="text")


def test_learned_positions_are_not_dropped_in_silence(tmp_path):
    params, block = encoder(positions="learned")
    exporting.save(tmp_path, params, {"encoder": block})
    wanted = shapes(encoder(positions="sincos")[0])
    with pytest.raises(
        ConfigError, match="has encoders/image/pos_embed, which the encoder has not"
    ):
        weights.load(tmp_path, wanted)
    found = weights.load(tmp_path, wanted, ignore="pos_embed$")
    assert_same(found, {k: x for k, x in params.items() if k != "pos_embed"})


def test_a_file_is_made_to_fit_and_says_so(tmp_path, caplog):
    params, block = encoder(positions="learned")
    exporting.save(tmp_path, params, {"encoder": block}, to="huggingface")
    caplog.set_level("INFO")
    large = weights.load(tmp_path, shapes(encoder(positions="learned", image=16)[0]), grid=(4, 4))
    assert large["pos_embed"].shape == (1, 17, 16)
    assert "pos_embed resized from 1x5x16 to 1x17x16" in caplog.text


def test_heads_of_a_file(tmp_path):
    params, _ = encoder(patch_bias=False, pre_norm=True, positions="learned")
    head = np.arange(32, dtype=np.float32).reshape(16, 2)
    text = {"encoders": {"image": params}, "decoders": {"text": {"head": {"kernel": head}}}}
    state, _ = to_theirs(dict(trees.named_leaves(text)), layouts.lookup("clip"))
    save_file(state | {"logit_scale": np.zeros((), np.float32)}, tmp_path / "clip.safetensors")
    wanted = {"teacher_head": {"head": {"kernel": jax.ShapeDtypeStruct((16, 2), jnp.float32)}}}
    found = weights.load_file_heads(tmp_path / "clip.safetensors", wanted)
    np.testing.assert_array_equal(found["teacher_head"]["head"]["kernel"], head)
    wrong = {"teacher_head": {"head": {"kernel": jax.ShapeDtypeStruct((16, 3), jnp.float32)}}}
    with pytest.raises(ConfigError, match="heads of .* does not fit"):
        weights.load_file_heads(tmp_path / "clip.safetensors", wrong)
    with pytest.raises(ConfigError, match="has no tower 'text'"):
        weights.load(tmp_path / "clip.safetensors", {}, tower="text")


def test_files_of_others_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="not a safetensors file"):
        weights.load(tmp_path, {})
    save_file({"zebra.weight": np.zeros((2, 2), np.float32)}, file)
    with pytest.raises(ConfigError, match="no layout knows all 1 keys of .*zebra.weight"):
        weights.load(file, {})


def test_the_checkpoint_of_a_real_run_and_its_export_hold_the_same_encoder(
    shrunk, one_device, tmp_path
):
    mesh, devices = one_device
    run = assemble(shrunk("mae", mesh=mesh), images=24, devices=devices)
    state = run.create()
    state = state.replace(slots=state.slots | {"ema": jax.tree.map(jnp.cos, state.slots["ema"])})
    with Checkpoints(tmp_path / "checkpoints") as kept:
        kept.save(0, state.items(), {}, wait=True)
    image = run.abstract.params["encoders"]["image"]
    averaged = weights.load(tmp_path, image)
    assert_same(averaged, jax.device_get(state.slots["ema"]["encoders"]["image"]))
    online = weights.load(tmp_path, image, branch="online")
    assert_same(online, jax.device_get(state.params["encoders"]["image"]))
    heads = weights.load_heads(tmp_path, run.abstract.params["decoders"], "online")
    assert_same(heads, jax.device_get(state.params["decoders"]))
    weights.check(heads, run.abstract.params["decoders"], what="the heads")
    block = {"image": run.config.image, **run.config.encoder}
    exporting.save(tmp_path / "export", averaged, {"encoder": block})
    exported = {k: v for k, v in averaged.items() if k != "mask_token"}  # timm has none
    assert_same(weights.load(tmp_path / "export", shapes(exported)), exported)
