"""A file in our tree: read, fitted with its decoder, and accounted for."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax import geometry, networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.interop import importing, layouts
from m3i_jax.interop.rename import to_theirs

MAE = {"image": dict(name="infill", width=12, depth=1, heads=2)}


def network(positions):
    block = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)
    block["positions"] = positions
    return networks.build(block, {}, MAE, image=16, dtype="float32", out={"image": 48})


def shapes(net):
    return jax.eval_shape(net.init, jax.random.key(0))


def flat_shapes(net):
    return dict(trees.named_leaves(shapes(net)))


@pytest.fixture
def mae(filled):
    """A file of MAE as published: both tables are sines with columns first."""
    params = filled("", shapes(network("learned")))
    for name, width in (("encoders", 16), ("decoders", 12)):
        rows = np.pad(np.asarray(geometry.sincos((4, 4), width)), ((1, 0), (0, 0)))
        params[f"{name}/image/pos_embed"] = np.roll(rows, width // 2, -1)[None]
    state, unknown = to_theirs(params, layouts.lookup("mae"))
    assert not unknown
    return params, state


def test_a_pretrained_mae_fits_an_encoder_and_a_decoder_with_rows_first(mae):
    """That they are the same function is compared with transformers in tests/parity."""
    params, state = mae
    imported = importing.renamed(state, what="it")
    assert imported.layout.name == "mae"
    wanted = flat_shapes(network("sincos"))
    found, notes = importing.fitted(imported, wanted, grid=(4, 4))
    account = importing.report(found, wanted, notes=notes, what="it")
    assert not account.missing and not account.extra and len(account.matched) == len(wanted)
    assert [note.split(":")[0] for note in account.notes] == ["encoders/image", "decoders/image"]
    # The first layer of the decoder reads the encoder's swapped channels, and writes its own.
    want = np.roll(params["decoders/image/embed/kernel"], (8, 6), (0, 1))
    np.testing.assert_array_equal(found["decoders/image/embed/kernel"], want)


def test_learned_positions_stay_and_the_decoder_swaps_its_own_channels_only(mae):
    params, state = mae
    wanted = flat_shapes(network("learned"))
    found, _ = importing.fitted(importing.renamed(state, what="it"), wanted, grid=(4, 4))
    np.testing.assert_array_equal(
        found["encoders/image/pos_embed"], params["encoders/image/pos_embed"]
    )
    want = np.roll(params["decoders/image/embed/kernel"], 6, 1)
    np.testing.assert_array_equal(found["decoders/image/embed/kernel"], want)


def test_modules_that_are_not_wanted_are_left_as_they_are(mae):
    params, state = mae
    wanted = {p: x for p, x in flat_shapes(network("sincos")).items() if p.startswith("encoders")}
    found, notes = importing.fitted(importing.renamed(state, what="it"), wanted, grid=(4, 4))
    account = importing.report(found, wanted, notes=notes, what="it")
    assert all(path.startswith("decoders/image/") for path in account.extra)
    assert "decoders/image/pos_embed" in account.extra and len(account.notes) == 1


def test_the_account_says_everything():
    array = lambda *shape: np.zeros(shape)  # noqa: E731
    found = {"encoders/image/a": array(2), "encoders/image/c": array(1)}
    wanted = {"encoders/image/a": array(2), "encoders/image/b": array(1)}
    account = importing.report(found, wanted, notes=["resized"], what="it")
    assert str(account).splitlines() == [
        "matched 1",
        "missing 1: encoders/image/b",
        "extra 1: encoders/image/c",
        "resized",
    ]
    clip = layouts.lookup("clip")
    with pytest.raises(ConfigError) as error:
        importing.complete(account, clip, what="it")
    said = str(error.value)
    assert "it lacks encoders/image/b; it has encoders/image/c, which the encoder has not" in said
    assert "layout 'clip' usually have positions='learned', patch_bias=False" in said
    importing.complete(account, clip, ignore="/(b|c)$", what="it")
    with pytest.raises(ConfigError, match=r"encoders/image/a is \[2\], wanted \[3\]"):
        importing.report(found, {"encoders/image/a": array(3)}, notes=[], what="it")


def test_files_are_found_and_missed(tmp_path, mae):
    save_file(mae[1], tmp_path / "model.safetensors")
    assert importing.read(tmp_path).params.keys() == mae[0].keys()
    with pytest.raises(ConfigError, match="no model.safetensors at '.*none'"):
        importing.read(tmp_path / "none")


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, 1e39])
def test_weights_that_are_not_finite_are_refused_and_named(strange, mae):
    _, state = mae
    state["blocks.0.mlp.fc1.bias"] = np.float64(state["blocks.0.mlp.fc1.bias"])
    state["blocks.0.mlp.fc1.bias"][3] = strange
    with pytest.raises(ConfigError, match="'blocks.0.mlp.fc1.bias' with 1 of 64 numbers that are"):
        importing.renamed(state, what="it")
    state["blocks.0.mlp.fc1.bias"][3] = 0
    importing.renamed(state | {"head.bias": np.array([np.nan])}, what="it")  # nobody reads a head


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, bool, np.complex64])
def test_weights_that_are_no_floats_are_refused_and_named(kind, mae):
    _, state = mae
    state["norm.weight"] = state["norm.weight"].astype(kind)
    with pytest.raises(ConfigError, match="'norm.weight' as .*, and weights are floating-point"):
        importing.renamed(state, what="it")


@pytest.mark.parametrize("name", ["a" * 501, "norm\x1b[2J", "\udcff"])
def test_names_that_no_network_has_are_refused(name):
    state = {"norm.weight": np.ones(2, np.float32), name: np.ones(2, np.float32)}
    with pytest.raises(ConfigError, match="which is no name of a weight"):
        importing.renamed(state, what="'x'")
    many = {f"a{n}": np.ones(0) for n in range(100_001)}
    with pytest.raises(ConfigError, match="has 100001 weights, expected at most 100000"):
        importing.renamed(many, what="'x'")
