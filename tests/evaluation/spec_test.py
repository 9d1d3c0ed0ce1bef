"""Names with settings, as a command line has them."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.spec import blocks, parsed


@pytest.mark.parametrize(
    "text, name, settings",
    [
        ("knn", "knn", {}),
        ("knn:k=(1,20),temperature=0.1", "knn", {"k": (1, 20), "temperature": 0.1}),
        ("digit_scenes:clutter=0, shade=0", "digit_scenes", {"clutter": 0, "shade": 0}),
        ("image_folder:root=a/b:c", "image_folder", {"root": "a/b:c"}),
        ("C:\\runs\\vit.pth:encoder=vit_b16", "C:\\runs\\vit.pth", {"encoder": "vit_b16"}),
        ("a:b/c", "a:b/c", {}),
        ("t:root={a,b}/{0..2}.tar,n=1", "t", {"root": "{a,b}/{0..2}.tar", "n": 1}),
        ("m:of={'a': {'k': (1, 2)}, 'b': {}}", "m", {"of": {"a": {"k": (1, 2)}, "b": {}}}),
        ("c:kinds=(fog, gaussian_noise,2)", "c", {"kinds": ("fog", "gaussian_noise", 2)}),
        ("c:kinds=[fog,],root=(old)", "c", {"kinds": ("fog",), "root": "(old)"}),
    ],
)
def test_a_name_and_its_settings(text, name, settings):
    assert parsed(text, what="--data") == (name, settings)


def test_a_path_that_is_there_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:k=1").mkdir()
    assert parsed("a:k=1", what="--data") == ("a:k=1", {})


@pytest.mark.parametrize("text", ["knn:k", "knn:k=1,t"])
def test_a_setting_without_a_value_is_a_sentence(text):
    with pytest.raises(ConfigError, match="--task is '.*', expected knn:SETTING=VALUE"):
        parsed(text, what="--task")


@pytest.mark.parametrize(
    "text, names",
    [
        ("linear, knn", [{"name": "linear"}, {"name": "knn"}]),
        ("knn:k=(1,2),", [{"name": "knn", "k": (1, 2)}]),
        (
            "ncm,rank:views=False,pool=cls,norms",
            [{"name": "ncm"}, {"name": "rank", "views": False, "pool": "cls"}, {"name": "norms"}],
        ),
        ("a:x=(1,2),b:y=3", [{"name": "a", "x": (1, 2)}, {"name": "b", "y": 3}]),
    ],
)
def test_a_list_whose_names_may_have_settings(text, names):
    assert blocks(text, what="--task") == names


@pytest.mark.parametrize("text, right", [("ncm,knn,k=3", "knn:k=3"), ("k=3", "NAME:k=3")])
def test_a_setting_that_is_of_no_name_is_told_where_it_belongs(text, right):
    with pytest.raises(ConfigError, match=f"'k=3' is of no name; expected {right}$"):
        blocks(text, what="--task")
