"""Every shipped config is found by name from any folder, and by the name it had before."""

import pytest

from m3i_jax import cli, shipped
from m3i_jax.build import ConfigError

FORMER = {
    "mae_digit_scenes": "digit_scenes/mae",
    "cim_classification_digit_scenes": "digit_scenes/cim_classification",
    "simmim_swin_v2_b_in1k": "imagenet/simmim_swin_v2_b",
    "m3i_vit_b16_yfcc": "yfcc/m3i_vit_b16",
    "m3i_internimage_h": "mixture/m3i_internimage_h",
    "finetune_digit_scenes": "finetune/digit_scenes",
    "finetune_cim_resnet50_in1k": "finetune/cim_resnet50",
    "linear_vit_b16_in1k": "finetune/linear_vit_b16",
}


def test_names_are_those_of_the_files_and_former_names_are_all_different():
    known = shipped.names()
    assert len(known) > 60 and "imagenet/mae_vit_b16" in known
    assert not any(name.startswith("recipes/") or "__" in name for name in known)
    former = [old for old in map(shipped.former, known) if old]
    assert len(set(former)) == len(former) > 60
    assert shipped.former("fashion_mnist/simclr") is None
    assert shipped.former("finetune/small") is shipped.former("finetune/beit_vit_b16") is None
    assert shipped.by_former_name("finetune_small_in1k") is None


@pytest.mark.parametrize("old, new", FORMER.items())
@pytest.mark.parametrize("shape", ["{}", "{}.py", "configs/{}.py", "/other/place/configs/{}.py"])
def test_a_former_name_answers_with_the_new_one(old, new, shape, caplog):
    assert shipped.find(shape.format(old)) == shipped.names()[new]
    assert f"is now '{new}'" in caplog.text


def test_a_name_is_a_config_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = cli.load(str(shipped.names()["digit_scenes/m3i"]) + ":images")
    assert cli.load("digit_scenes/m3i:images") == right
    assert cli.load("configs/m3i_digit_scenes.py:images") == right
    with pytest.raises(ConfigError, match="no config 'digit_scenes/mea'; did you mean 'digit_sc"):
        cli.load("digit_scenes/mea")


def test_a_users_config_imports_ours_by_their_old_and_their_new_names(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import recipes, m3i_digit_scenes\n"
        "from m3i_jax.configs.digit_scenes import m3i\n"
        "def get_config():\n"
        "    assert recipes.QUERY['name'] == 'query'\n"
        "    assert m3i_digit_scenes.get_config() == m3i.get_config()\n"
        "    return m3i.get_config('images')\n"
    )
    assert cli.load(str(file)) == cli.load("digit_scenes/m3i:images")
