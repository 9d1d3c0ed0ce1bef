"""Safetensors: whole, in shards, wrapped; torch files are sent to the converter."""

import json

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


def test_wrappers_go_only_where_every_name_has_them():
    assert files.unwrapped({"module.model.a": 1, "module.model.b": 2}) == {"a": 1, "b": 2}
    assert files.unwrapped({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert files.unwrapped({}) == {}


def test_what_cannot_be_read_is_said(tmp_path):
    torch_file = tmp_path / "mae.pth"
    torch_file.write_bytes(b"anything")
    with pytest.raises(ConfigError, match="convert.py --torch --input .*mae.pth"):
        files.read(torch_file)
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        files.read(broken)
    index = tmp_path / files.INDEX
    index.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        files.read(index)
