"""Torch files: weights only, whichever part, or whole modules; nothing in them is executed."""

import functools
import os
import pickle
import subprocess
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import torch_file
from tests.jsonfile_test import odd


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
    """Calls something when unpickled."""

    def __init__(self, called, *arguments):
        self.reduced = called, arguments

    def __reduce__(self):
        return self.reduced


# Each would write the file: a module that torch blocks, builtins, one that has to be imported.
ATTACKS = {
    "os.system": lambda path: Payload(os.system, f"touch {path}"),
    "open": lambda path: Payload(open, path, "w"),
    "eval": lambda path: Payload(eval, f"open({path!r}, 'w')"),
    "subprocess": lambda path: Payload(subprocess.check_call, ["touch", path]),
}


@pytest.fixture(params=ATTACKS)
def attack(request, tmp_path):
    """An object that writes a file when it is unpickled; asserts that it was not."""
    path = tmp_path / "was_here"
    pickle.loads(pickle.dumps(ATTACKS[request.param](str(path))))  # a real one
    assert path.exists()
    path.unlink()
    yield ATTACKS[request.param](str(path))
    assert not path.exists()


def test_code_in_a_state_dict_is_not_run(written, attack):
    for wrap in (lambda s: s, lambda s: {"model": s}):
        path = written(lambda t: wrap({"a": t.zeros(1), "b": attack}))  # noqa: B023
        with pytest.raises(ConfigError, match="objects among its weights: b|posix is blocked$"):
            torch_file.read(path)
    with pytest.raises(ConfigError, match="holds no weights|posix is blocked$"):
        torch_file.read(written(lambda t: attack))


def read_or_refused(path):
    """The state dict; {} where the file cannot be read."""
    try:
        return torch_file.read(path)
    except ConfigError as error:
        assert "posix is blocked" in str(error)
        return {}


def test_code_beside_weights_is_not_run_and_not_returned(written, attack):
    """As the arguments of a program that many files hold: the weights are read."""
    path = written(lambda t: {"model": {"a": t.ones(1)}, "args": attack})
    assert read_or_refused(path).keys() <= {"a"}


def test_code_in_a_whole_module_is_not_run(written, attack):
    def planted(torch):
        layer = torch.nn.Linear(2, 3)
        layer.note = attack
        return torch.nn.Sequential(layer)

    assert read_or_refused(written(planted)).keys() <= {"0.weight", "0.bias"}

    def weight(torch):
        layer = torch.nn.Linear(2, 3)
        layer._parameters["weight"] = attack
        return layer

    with pytest.raises(ConfigError, match="objects among its weights: weight|posix is blocked$"):
        torch_file.read(written(weight))


def test_a_whole_module_is_its_state_dict(tmp_path, monkeypatch):
    """Of a class that is gone when it is read, too, by itself and in a dict."""
    torch = pytest.importorskip("torch")
    package = types.ModuleType("a_package")
    package.Body = type("Body", (torch.nn.Module,), {"__module__": "a_package"})
    body = package.Body()
    body.norm = torch.nn.BatchNorm2d(4)
    body.scale = torch.nn.Parameter(torch.full((2,), 0.5, dtype=torch.bfloat16))
    body.register_buffer("seen", torch.ones(1), persistent=False)
    body.act, body.how = torch.nn.GELU(), functools.partial(int, base=2)
    model = torch.nn.Sequential(OrderedDict(body=body, last=torch.nn.Conv2d(1, 2, 3, bias=False)))
    want = {name: x.float().numpy() for name, x in model.state_dict().items()}
    assert "body.norm.num_batches_tracked" in want and "body.seen" not in want
    before = torch.serialization.get_safe_globals()
    for content in (model, {"epoch": 1, "module": model}):
        with monkeypatch.context() as there:
            there.setitem(sys.modules, "a_package", package)
            torch.save(content, tmp_path / "x.pkl")
        found = torch_file.read(tmp_path / "x.pkl")
        assert found.keys() == want.keys()
        for name, x in found.items():
            np.testing.assert_array_equal(x, want[name], err_msg=name)
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda torch: torch.zeros(10**6, 10**6, device="meta"), "without its numbers, or sparse"),
        (lambda torch: torch.ones(2, 2).to_sparse(), "without its numbers, or sparse"),
        (lambda torch: torch.ones(1).expand(10**6, 10**6), "as 4000000000000 bytes, of which"),
    ],
)
def test_tensors_that_are_larger_than_their_file_are_refused_by_name(make, sentence, written):
    path = written(lambda torch: {"a": torch.ones(1).expand(3, 2), "b": make(torch)})
    with pytest.raises(ConfigError, match=f"keeps 'b' {sentence}"):
        torch_file.read(path)


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "quint8"])
def test_weights_that_are_quantised_are_refused_by_name(kind, written):
    def quantised(torch):
        if kind == "quint8":
            return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)
        return torch.ones(2).to(getattr(torch, kind))

    path = written(lambda torch: {"a": torch.ones(2), "b": quantised(torch)})
    with pytest.raises(ConfigError, match=f"keeps 'b' as torch.{kind}, which is quantised"):
        torch_file.read(path)


def test_what_cannot_be_read_is_said_in_a_line(written, tmp_path):
    torch = pytest.importorskip("torch")
    with pytest.raises(ConfigError, match="cannot be read as weights only: .*No such file"):
        torch_file.read(tmp_path / "gone.pth")
    old = tmp_path / "old.pkl"
    torch.save(torch.nn.Linear(2, 3), old, _use_new_zipfile_serialization=False)
    with pytest.raises(ConfigError, match="allowed global by default; of files in the format bef"):
        torch_file.read(old)
    torch.save({"a": torch.ones(1)}, old, _use_new_zipfile_serialization=False)
    assert torch_file.read(old)["a"] == 1
    around = torch.nn.Sequential()
    around._modules["itself"] = around
    with pytest.raises(ConfigError, match="a name of 50. letters"):
        torch_file.read(written(lambda _: around))


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_not_waited_for(kind, tmp_path):
    with pytest.raises(ConfigError, match="x.pth' is no ordinary file"):
        torch_file.read(odd(kind, tmp_path / "x.pth"))
