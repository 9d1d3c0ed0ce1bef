"""Exports: what is written is read again, bit for bit, and says how to build the model."""

import json
import os
import threading

import jax
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import exporting, files, importing
from m3i_jax.interop.rename import nested

SIZES = dict(image=(8, 12), patch=4, width=16, depth=2, heads=2)


def encoder(drawn, **fields):
    """A tiny ViT, its parameters nested and by path, and its block."""
    block = SIZES | fields
    module, params = drawn(**block)
    flat = {path.removeprefix("encoders/image/"): x for path, x in params.items()}
    return module, nested(flat), params, {"name": "vit_nano", **block}


@pytest.mark.parametrize("to", ["timm", "huggingface", "m3i_jax", "dinov2"])
@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_an_export_is_read_again_bit_for_bit(to, positions, drawn, same, tmp_path):
    module, tree, params, block = encoder(drawn, positions=positions)
    exporting.save(tmp_path, tree, {"encoder": block, "step": 7}, to=to)
    found, notes = importing.fitted(importing.read(tmp_path), params, grid=module.grid)
    same(found, params)
    written = positions == "sincos" and to != "m3i_jax"
    assert notes == ["encoders/image: pos_embed 1x7x16 is the fixed table, rows first"] * written


def test_the_description_makes_the_encoder_again(drawn, tmp_path):
    module, tree, _, block = encoder(drawn, hide="mask")
    assert exporting.save(tmp_path, tree, {"encoder": block, "step": 7}) == "timm"
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["model_args"]["img_size"] == [8, 12]
    assert described["m3i_jax"]["step"] == 7 and described["m3i_jax"]["layout"] == "timm"
    again = described["m3i_jax"]["encoder"]
    again["image"] = tuple(again["image"])  # JSON has lists
    assert encoders.create(again.pop("name"), **again) == module
    assert "mask_token" not in files.read(tmp_path / files.WEIGHTS)


@pytest.mark.parametrize(
    "to, fields, layout",
    [
        ("timm", dict(qkv_bias="qv", relative_bias="layer", positions="none"), "beit"),
        ("huggingface", dict(layer_scale=0.1), "dinov2_huggingface"),
        ("huggingface", dict(qkv_bias="qv", relative_bias="shared"), "beit_huggingface"),
        ("huggingface", dict(patch_bias=False, pre_norm=True), "clip_image_huggingface"),
    ],
)
def test_the_first_table_with_all_names_is_taken(to, fields, layout, drawn):
    module, tree, _, _ = encoder(drawn, **fields)
    state, taken = exporting.export(tree, module, to=to)
    assert taken.name == layout
    assert sum(x.size for x in state.values()) >= sum(x.size for x in jax.tree.leaves(tree))


def test_patches_are_a_convolution(drawn):
    module, tree, _, _ = encoder(drawn)
    weight = exporting.export(tree, module)[0]["patch_embed.proj.weight"]
    images = np.random.default_rng(1).normal(size=(2, 8, 12, 3)).astype(np.float32)
    want = jax.lax.conv_general_dilated(
        images, weight, (4, 4), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC")
    )
    cells = images.reshape(2, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 2, 3, 48)
    np.testing.assert_allclose(cells @ tree["patch_embed"]["kernel"], want, rtol=1e-4, atol=1e-4)


def test_what_has_no_name_is_listed(drawn, tmp_path):
    module, tree, _, _ = encoder(drawn)
    more = tree | {"a": {"kernel": np.ones(2)}, "b": np.ones(3)}
    with pytest.raises(ConfigError, match="without a name in timm: a/kernel, b$"):
        exporting.export(more, module)
    with pytest.raises(ConfigError, match="unknown format 'tim'; did you mean 'timm'"):
        exporting.export(tree, module, to="tim")
    with pytest.raises(ConfigError, match="'text_nano' is none of images"):
        exporting.save(tmp_path, {}, {"encoder": {"name": "text_nano"}})
    module, tree, _, block = encoder(drawn, final_norm=False)
    with pytest.raises(ConfigError, match="'vit' is an encoder with final_norm=True"):
        exporting.save(tmp_path / "x", tree, {"encoder": block}, to="huggingface")
    assert not (tmp_path / "x").exists()


NAMES = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_refused_by_name_and_nobody_waits_for_it(name, kind, drawn, tmp_path):
    _, tree, _, block = encoder(drawn)
    place, met = tmp_path / name, []
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda p: p.symlink_to("/dev/full")}
    make[kind](place)

    def act():
        try:
            exporting.save(tmp_path, tree, {"encoder": block, "step": 7}, to="huggingface")
        except Exception as error:  # noqa: BLE001
            met.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    (error,) = met
    assert isinstance(error, OSError) and error.filename == str(place), repr(error)
    assert place.is_fifo() or place.is_dir() or place.is_symlink(), "it is still there"


def test_a_target_that_cannot_be_a_folder_or_is_full_is_named(drawn, tmp_path, monkeypatch):
    _, tree, _, block = encoder(drawn)
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "in it"):
        with pytest.raises(OSError) as met:
            exporting.save(target, tree, {"encoder": block, "step": 7})
        assert met.value.filename == str(target)

    def full(*given, **how):
        raise files.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match="No space left") as met:
        exporting.save(tmp_path / "full", tree, {"encoder": block, "step": 7})
    assert met.value.filename == str(tmp_path / "full" / files.WEIGHTS)
