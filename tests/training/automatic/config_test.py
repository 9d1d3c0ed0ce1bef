"""Automatic configs: every method that is offered is one that a run accepts, as it is."""

import pytest

from m3i_jax import config_file, shipped
from m3i_jax.build import ConfigError
from m3i_jax.commands import _automatic
from m3i_jax.training import assemble
from m3i_jax.training.automatic import config as automatic
from m3i_jax.training.automatic.facts import Images, Machine, Wish
from m3i_jax.training.config import Config

LABELLED = Images(250, 200, classes=3, labelled=250, captioned=True)
BLOCK = {"name": "image_folder", "root": "photos"}
OFFERED = [name.partition("/")[2] for name in shipped.names() if name.startswith("folder/")]
# Of methods that have a config of their own, and of one whose crops keep objects, as no rule does.
# What is no method, or is of objects, of which a folder says nothing.
OTHERS = {"dark_secrets", "m3i_mixture", "detection", "mask2former", "dino_detector", "swin_track"}


def made(method, images=LABELLED, machine=Machine(2, 8), encoder=""):
    wish = Wish(method, encoder, "20 steps")
    recipe = _automatic.recipe_of(method)
    return automatic.config(recipe, images, machine, wish, data=BLOCK)


def test_every_method_that_images_are_enough_for_has_a_recipe():
    names = {name.partition("/")[2] for name in shipped.names() if name.startswith("digit_scenes/")}
    alone = {name for name in names if not config_file.load(f"digit_scenes/{name}").weights}
    assert set(OFFERED) == alone - OTHERS - set(_automatic.TOKENIZERS)


@pytest.mark.parametrize("method", OFFERED)
def test_a_recipe_has_the_heads_of_scenes_and_the_views_that_are_published(method):
    recipe, scenes = _automatic.recipe_of(method), config_file.load(f"digit_scenes/{method}")
    for key in (*automatic.OF_METHOD, "optimizer", "batch"):
        assert recipe[key] == scenes.to_dict()[key], key
    if published := _automatic.published_of(method):
        assert recipe["crops"]["scale"] == published["crops"]["scale"]
        small = "local_size" in recipe["crops"]
        views = {view: x for view, x in published["augment"].items() if small or view != "local"}
        assert recipe["augment"] == views


@pytest.mark.parametrize("method", OFFERED)
def test_every_method_is_a_run(method):
    one = made(method)
    parts = assemble.check(Config.of(one.config))
    assert parts.config.batch == 64 and parts.config.data["of"] == BLOCK
    assert set(one.why) >= {"image", "batch", "encoder.name", "crops.scale", "duration"}


def test_what_needs_another_run_says_so():
    for method, said in (("beit", "needs the weights"), ("simclar", "did you mean 'simclr'")):
        with pytest.raises(ConfigError, match=said):
            _automatic.recipe_of(method)


def test_too_few_images_are_refused_with_how_many_it_takes():
    for count, test in ((2, False), (1, True)):
        with pytest.raises(ConfigError, match=f"'.*' has {count} image.* is of {count + 1} at lea"):
            automatic.require_enough(Images(count, 28, test=test), BLOCK)
    automatic.require_enough(Images(3, 28), BLOCK)
    assemble.check(Config.of(made("simclr", Images(3, 28)).config))


def test_m3i_does_without_what_the_images_lack_and_others_say_so():
    plain = Images(250, 28, grey=True)
    config = made("m3i", plain).config
    assert not config["objective"]["category"] and not config["objective"]["text"]
    assert config["towers"] == {} and set(config["decoders"]) == {"image"}
    assert config["augment"]["a"]["hue"] == 0.0 and "momentum" not in config["target"]
    assemble.check(Config.of(config))
    labelled = made("m3i", plain._replace(classes=3, labelled=9)).config
    assert labelled["towers"] == {"category": {"name": "table", "size": 3, "width": 128}}
    assemble.check(Config.of(labelled))
    for method, what in (
        ("clip", "captions"),
        ("classification", "labels"),
        ("supcon", "labels"),
    ):
        with pytest.raises(ConfigError, match=f"--method={method} learns from {what}"):
            made(method, plain)


def test_other_encoders_and_accelerators():
    config = made("dino", encoder="vit_s16").config
    assert (
        config["encoder"] == {"name": "vit_s16", "patch": 8} and config["crops"]["local_size"] == 16
    )
    assert made("simclr", encoder="resnet18").config["encoder"] == {"name": "resnet18"}
    gpu = made("mae", machine=Machine(16, 8, accelerated=True)).config
    assert (gpu["image"], gpu["dtype"], gpu["encoder"]["patch"]) == (192, "bfloat16", 16)
    assemble.check(Config.of(gpu))
