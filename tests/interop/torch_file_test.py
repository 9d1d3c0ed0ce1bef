"""Torch files: weights only, whichever part; nothing in them is executed."""

import sys

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import torch_file


def test_without_torch_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="needs PyTorch: pip install torch"):
        torch_file.read(tmp_path / "x.pth")


def test_an_unsafe_version_is_refused(monkeypatch, tmp_path):
    class Old:
        __version__ = "2.9.1+cpu"

    monkeypatch.setitem(sys.modules, "torch", Old)
    with pytest.raises(ConfigError, match=r"2.9.1\+cpu can be made to run code"):
        torch_file.read(tmp_path / "x.pth")


@pytest.fixture
def written(tmp_path):
    torch = pytest.importorskip("torch")

    def write(content):
        path = tmp_path / "x.pth"
        torch.save(content(torch), path)
        return path

    return write


def test_a_bare_state_dict_and_the_usual_wrappers(written):
    for wrap in (lambda s: s, lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}):
        path = written(lambda t: wrap({"module.a": t.ones(2), "module.b": t.arange(3)}))  # noqa: B023
        found = torch_file.read(path)
        np.testing.assert_array_equal(found["a"], np.ones(2, np.float32))
        assert found["b"].dtype == np.int64


def test_half_precision_becomes_float32(written):
    path = written(lambda t: {"a": t.full((2,), 0.5, dtype=t.bfloat16)})
    np.testing.assert_array_equal(torch_file.read(path)["a"], np.full(2, 0.5, np.float32))


def test_a_part_is_named_and_a_choice_is_asked_for(written):
    path = written(lambda t: {"student": {"a": t.zeros(1)}, "teacher": {"module.a": t.ones(1)}})
    assert torch_file.read(path, part="teacher")["a"] == 1
    with pytest.raises(ConfigError, match=r"name one with --part: \['student', 'teacher'\]"):
        torch_file.read(path)
    with pytest.raises(ConfigError, match="no part 'teachr'; did you mean 'teacher'"):
        torch_file.read(path, part="teachr")
    with pytest.raises(ConfigError, match="holds no weights"):
        torch_file.read(written(lambda t: {"epoch": 3}))


class Payload:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_file_is_not_run(written, tmp_path):
    path = written(lambda t: {"a": t.zeros(1), "b": Payload(str(tmp_path / "was_here"))})
    with pytest.raises(ConfigError, match="cannot be read as weights only"):
        torch_file.read(path)
    assert not (tmp_path / "was_here").exists()
    with pytest.raises(ConfigError, match="cannot be read"):
        torch_file.read(tmp_path / "gone.pth")
