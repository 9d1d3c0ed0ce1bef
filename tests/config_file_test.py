"""Files of configs are found, run beside what they import, and fail in sentences."""

import sys
import types

import pytest

from m3i_jax import config_file, shipped
from m3i_jax.build import ConfigError
from tests.cli_test import CONFIG, RECIPES


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(CONFIG)
    return str(path)


def test_a_missing_config_names_the_nearest_file(config, tmp_path):
    with pytest.raises(ConfigError, match="no config file .*; did you mean 'some.py'?"):
        config_file.load(str(tmp_path / "sme.py"))


def test_a_file_that_is_no_python_is_a_sentence(tmp_path):
    (tmp_path / "some.safetensors").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="some.safetensors' is no Python or JSON file"):
        config_file.load(str(tmp_path / "some.safetensors"))


def test_a_config_anywhere_imports_what_lies_beside_it_or_else_ours(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "mine.py").write_text(RECIPES)
    (theirs / "recipes.py").write_text("def digit_scenes(objective): return objective")
    left = lambda: [name for name in sys.modules if not name.startswith("m3i_jax.")]  # noqa: E731
    before = left(), list(sys.path), list(sys.meta_path)
    found = [config_file.load(str(folder / "mine.py")) for folder in (ours, theirs, ours)]
    configs = str(shipped.FOLDER / "recipes" / "__init__.py")
    assert [config.whose for config in found] == [configs, str(theirs / "recipes.py"), configs]
    assert found[1].name == "mae" and found[0].objective.name == found[2].objective.name == "mae"
    assert before == (left(), sys.path, sys.meta_path), "nothing of them stays"


def test_a_module_that_somebody_else_has_loaded_is_not_taken(tmp_path, monkeypatch):
    foreign = types.ModuleType("recipes")
    foreign.__file__ = str(tmp_path / "recipes.py")
    monkeypatch.setitem(sys.modules, "recipes", foreign)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "recipes.py").write_text("raise RuntimeError")
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "mine.py"
    path.write_text(RECIPES)
    assert config_file.load(str(path)).whose.endswith("configs/recipes/__init__.py")
    assert sys.modules["recipes"] is foreign


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("import nothing_there", "fails in line 1: ModuleNotFoundError: No module named 'nothing"),
        ("x = (", "fails in line 1: SyntaxError"),
        ("\ndef get_config():\n    return 1 / 0", "fails in line 3: ZeroDivisionError"),
        ("def get_config(): return 3", "get_config of '.*' returns 3, expected a ConfigDict$"),
        (
            "def get_config(): pass",
            "returns None, expected a ConfigDict; it lacks its 'return conf",
        ),
        ("x = 1", "mine.py' has no function get_config\\(\\)$"),
        ("def getconfig(): pass", "no function get_config.*; did you mean 'getconfig' to be it?"),
        (
            "def get_config(size): pass",
            "get_config\\(size\\) of '.*' wants an argument: --config=.*:A",
        ),
        (
            "def small(batch): pass\ndef get_config(): return small(batsh=3)",
            "fails in line 2: small takes no 'batsh'; did you mean 'batch'?",
        ),
        (
            "import recipes\ndef get_config():\n    return recipes.images_only(confg={})",
            "fails in line 3: images_only takes no 'confg'; did you mean 'config'?",
        ),
        ("def get_config(): return ''.strip(x=1)", "fails in line 1: TypeError: .*keyword"),
    ],
)
def test_a_config_that_fails_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        config_file.load(str(tmp_path / "mine.py"))


def test_an_argument_that_a_file_does_not_take_is_said(tmp_path):
    (tmp_path / "mine.py").write_text("def get_config(): return {}")
    sentence = r"get_config\(\) of '.*' takes no argument, and ':images' is one; write .*mine.py$"
    with pytest.raises(ConfigError, match=sentence):
        config_file.load(f"{tmp_path}/mine.py:images")
