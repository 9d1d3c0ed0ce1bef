"""Configs that command lines wish: what is looked at, chosen and written."""

import contextlib
import logging
import re

import numpy as np
import pytest
from PIL import Image

from m3i_jax import command_flags, config_file
from m3i_jax.build import ConfigError
from m3i_jax.commands import _automatic as automatic
from m3i_jax.commands import pretrain
from m3i_jax.data.sources import places
from m3i_jax.training import reading
from m3i_jax.training.config import Config


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat/1", "cat/2", "dog/1", "dog/2", "dog/3"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
        picture.save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def said(*argv):
    words = ["m3i pretrain", *map(str, argv)]
    return command_flags.said(command_flags.of(pretrain), words, switches=("show",))


def test_words_and_flags_are_told_apart():
    values, words = said("--workdir", "runs/x", "--distributed", "photos", "--show", "--minutes", 4)
    assert words == ["photos"] and values["minutes"] == 4.0 and values["workdir"] == "runs/x"
    assert automatic.wished(values, words) and not automatic.wished(*said("--workdir", "runs/x"))
    assert not automatic.wished(*said("--config.optimizer.lr", "1e-3", "--config", "x.py"))
    places = ("/data/photos/", "photos.zip", "~/photos")
    assert {automatic.workdir(place, "mae") for place in places} == {"runs/photos-mae"}


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("photos more", "a run is of one data set"),
        ("--method simclr", "--method is of a folder or a source"),
        ("photos --minutes 3 --epochs 4", "--minutes and --epochs both say how long"),
        ("mine.py", "'mine.py' is a config, no images; --config=mine.py takes it"),
        ("digit_scenes/m3i:images", "is a config, no images; --config=digit_scenes/m3i:images"),
        ("phtos", "there is no source or folder 'phtos'"),
    ],
)
def test_wishes_that_do_not_go_together(line, sentence):
    with pytest.raises(ConfigError, match=sentence):
        automatic.config(*said(*line.split()), contextlib.ExitStack())


def test_a_config_is_made_printed_written_and_read(photos, tmp_path, capsys, monkeypatch):
    walks, walk = [], places.walk
    monkeypatch.setattr(places, "walk", lambda *of, **how: walks.append(of) or walk(*of, **how))
    with contextlib.ExitStack() as command:
        own = {"batch": "2"}
        config = automatic.config(*said(photos, "--epochs", 5), command, said=own).to_dict()
        listed = len(walks)
        read = reading.read(Config.of(config), tmp_path, split="train")
        assert len(read) == 4 and len(walks) - listed < listed, "its files are listed once"
    told = capsys.readouterr().err
    assert "found: 5 images, 5 with a label of 2 classes, no captions; short side 40" in told
    assert re.search("batch = 2 +as you say", told)
    assert "duration = 5 epochs" in told and config["data"]["of"]["root"] == str(photos)
    for name in ("mine.py", "mine.json"):
        config_file.written(str(tmp_path / name), config, title="Mine.")
        again = Config.of(config_file.load(str(tmp_path / name)))
        assert again == Config.of(config)
    with pytest.raises(ConfigError, match="mine.py' is there, and may have been edited"):
        config_file.written(str(tmp_path / "mine.py"), config, title="Mine.")
    with pytest.raises(ConfigError, match="neither Python nor JSON"):
        config_file.written("mine.yaml", config, title="")


def test_what_is_said_over_the_rules_is_one_word_or_two():
    line = "m3i photos --config.batch=8 --config.optimizer.lr .1 --steps 3".split()
    assert automatic._over(line) == {"batch": "8", "optimizer.lr": ".1"}


def test_folders_that_nobody_sorted_are_taken_as_they_are(photos, capsys):
    (photos / "dog/3.png").rename(photos / "loose.png")
    block, images = automatic.looked_at(str(photos))
    assert block["labels"] == "some" and (images.count, images.labelled) == (5, 4)
    assert "folders are classes, and images beside them have no label: " in capsys.readouterr().err
    (photos / "cat").rename(photos / "dog" / "cat")
    block, images = automatic.looked_at(str(photos))
    assert block["labels"] == "none" and (images.count, images.classes) == (5, 0)
    err = capsys.readouterr().err
    assert "no folder is taken for a class: 'dog' is the only class, which tells nothing" in err
    (photos / "dog" / "cat").rename(photos / "fold1")
    block, images = automatic.looked_at(str(photos))
    assert block["labels"] == "none" and (images.count, images.classes) == (5, 0)


def test_the_latest_word_of_a_log_that_is_not_open_is_heard():
    logger = logging.getLogger("m3i_jax.heard")
    with automatic._heard("m3i_jax.heard", "counting") as latest:
        assert latest() == "counting"
        logger.info("%d so far", 7)
        assert latest() == "7 so far"
    assert not logger.handlers
