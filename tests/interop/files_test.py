"""Safetensors: whole, in shards, wrapped; torch files are sent to the converter."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax.build import ConfigError
from m3i_jax.interop import files

STATE = {"a.weight": np.ones((2, 3), np.float32), "b": np.arange(3)}


def test_a_file_or_its_folder(tmp_path):
    save_file(STATE, tmp_path / files.WEIGHTS)
    for path in (tmp_path, tmp_path / files.WEIGHTS, str(tmp_path)):
        found = files.read(files.located(path))
        assert found.keys() == STATE.keys()
        np.testing.assert_array_equal(found["b"], STATE["b"])
    assert files.located(tmp_path / "none") is None
    (tmp_path / "empty").mkdir()
    assert files.located(tmp_path / "empty") is None


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_who_reads_the_description_reads_the_weights(mode, tmp_path):
    (tmp_path / files.CONFIG).write_text("{}")
    (tmp_path / files.CONFIG).chmod(mode)
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    files.write(tmp_path, STATE | {"turned": turned})
    assert (tmp_path / files.WEIGHTS).stat().st_mode & 0o777 == mode
    np.testing.assert_array_equal(files.read(tmp_path / files.WEIGHTS)["turned"], turned)


def test_shards_that_an_index_names(tmp_path):
    for name, x in STATE.items():
        save_file({name: x}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {name: f"{name}.safetensors" for name in STATE}}
    (tmp_path / files.INDEX).write_text(json.dumps(index))
    assert files.read(files.located(tmp_path)).keys() == STATE.keys()


def write(path, kind, size, header=None):
    """A safetensors file of one leaf of this kind, or of this header."""
    entry = {"leaf.weight": {"dtype": kind, "shape": [4], "data_offsets": [0, size]}}
    text = (json.dumps(entry) if header is None else header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))


@pytest.mark.parametrize(
    "kind, size", [("F8_E4M3", 4), ("F8_E5M2", 4), ("F8_E8M0", 4), ("F4", 2), ("C64", 32)]
)
def test_weights_that_are_quantised_are_refused_by_name(kind, size, tmp_path):
    write(tmp_path / files.WEIGHTS, kind, size)
    with pytest.raises(ConfigError, match=f"keeps 'leaf.weight' as {kind}, which is quantised"):
        files.read(tmp_path / files.WEIGHTS)


def test_bfloat16_is_read(tmp_path):
    write(tmp_path / files.WEIGHTS, "BF16", 8)
    np.testing.assert_array_equal(
        np.float32(files.read(tmp_path / files.WEIGHTS)["leaf.weight"]), 0
    )


@pytest.mark.parametrize("header", ['{"a":' * 100_000, "[" * 1000, '{"a": NaN}', '{"a": [1e999]}'])
def test_headers_that_are_no_headers_are_refused(header, tmp_path):
    write(tmp_path / files.WEIGHTS, "", 4, header)
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        files.read(tmp_path / files.WEIGHTS)


@pytest.mark.parametrize(
    "shard", ["../a.safetensors", "/tmp/a.safetensors", "sub/a.safetensors", "..", "."]
)
def test_an_index_that_names_files_elsewhere_is_refused(shard, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder / "sub"):
        save_file({"a": np.ones(2)}, place / "a.safetensors")
    (folder / files.INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ConfigError, match=f"names the file '{shard}', which is not in its folder"):
        files.read(folder / files.INDEX)


def test_a_shard_that_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s")
    (tmp_path / files.INDEX).write_text(json.dumps({"weight_map": {"a": "s"}}))
    with pytest.raises(ConfigError, match="it is no ordinary file"):
        files.read(tmp_path / files.INDEX)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("[]", "no 'weight_map'"),
        ('{"weight_map": [1]}', "no 'weight_map'"),
        ('{"weight_map": {"a": 1}}', "no 'weight_map'"),
        ('{"weight_map": {"b": "a.safetensors"}}', "has no 'b', which the index says is there"),
        ("[" * 100_000, "nested more than 64 deep"),
        ('{"weight_map": {}, "total_size": Infinity}', "the number Infinity"),
    ],
)
def test_an_index_that_is_none_is_refused(text, reason, tmp_path):
    save_file({"a": np.ones(2)}, tmp_path / "a.safetensors")
    (tmp_path / files.INDEX).write_text(text)
    with pytest.raises(ConfigError, match=reason):
        files.read(tmp_path / files.INDEX)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("[1]", "is no JSON object"),
        ('{"a": ' * 100_000, "nested more than 64 deep"),
        ('{"layer_norm_eps": NaN}', "the number NaN"),
        ("{", "cannot be read"),
    ],
)
def test_what_lies_beside_weights_is_read_within_bounds(text, reason, tmp_path):
    (tmp_path / files.WEIGHTS).write_bytes(b"")
    assert files.beside(tmp_path, files.CONFIG) == {}
    (tmp_path / files.CONFIG).write_text('{"a": 1}')
    for path in (tmp_path, tmp_path / files.WEIGHTS):
        assert files.beside(path, files.CONFIG) == {"a": 1}
    (tmp_path / files.CONFIG).write_text(text)
    with pytest.raises(ConfigError, match=reason):
        files.beside(tmp_path, files.CONFIG)


def test_wrappers_go_only_where_every_name_has_them():
    assert files.unwrapped({"module.model.a": 1, "module.model.b": 2}) == {"a": 1, "b": 2}
    assert files.unwrapped({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert files.unwrapped({}) == {}


def test_what_cannot_be_read_is_said(tmp_path):
    torch_file = tmp_path / "mae.pth"
    torch_file.write_bytes(b"anything")
    with pytest.raises(ConfigError, match="m3i convert .*mae.pth --torch --encoder vit_s16 "):
        files.read(torch_file, encoder="vit_s16")
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        files.read(broken)
    index = tmp_path / files.INDEX
    index.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        files.read(index)
