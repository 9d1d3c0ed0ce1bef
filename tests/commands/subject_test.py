"""What is evaluated and on what, as flags say it."""

import pytest
from absl import flags

from m3i_jax import command_flags
from m3i_jax.build import ConfigError, UserError
from m3i_jax.commands import _subject as subject
from m3i_jax.evaluation import cache


@pytest.fixture
def said(monkeypatch):
    """said(words...): the flags of a command line."""

    def say(*words):
        found = flags.FlagValues()
        command_flags.define(command_flags.of(subject), flag_values=found)
        found(["m3i", *words])
        monkeypatch.setattr(command_flags.flags, "FLAGS", found)

    return say


def test_models_come_one_after_another(said):
    said("--model=pixels", "--model=untrained:vit_nano:depth=1,width=16", "--image=16")
    assert [model.image for model in subject.models("evaluate")] == [16, 16]
    said("--model=pixels", "--workdir=runs/mae")
    with pytest.raises(ConfigError, match="--workdir and --model both say what is evaluated"):
        list(subject.models("evaluate"))


def test_a_model_that_cannot_be_read_has_its_place_or_ends_it(said, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    said(f"--model={tmp_path}/model.safetensors", "--model=pixels")
    (name, error), pixels = subject.models("evaluate", unread=lambda *pair: pair)
    assert name == f"{tmp_path}/model.safetensors" and pixels.name == "pixels"
    with pytest.raises(UserError, match="safetensors"):
        next(subject.models("evaluate"))
    assert isinstance(error, UserError)


@pytest.mark.parametrize(
    "last, sentence",
    [
        ("untrained:vit_nan:depth=1", "there is no encoder 'vit_nan'; did you mean 'vit_nano'"),
        ("vit_nano", "there is no 'vit_nano'; did you mean 'untrained:vit_nano'"),
        ("{run}@5", "has no checkpoint of step 5; the nearest one is 4"),
        ("untrained:{run}@5", "has no checkpoint of step 5; the nearest one is 4"),
        ("{run}#best", "a checkpoint has the branches ema and online, not 'best'"),
        ("{run}s", "there is no '.*'"),
    ],
)
def test_a_model_that_is_not_there_is_said_before_the_first_is_read(
    said, finished_run, last, sentence
):
    said("--model=pixels", f"--model={last.format(run=finished_run)}")
    with pytest.raises(ConfigError, match=sentence):
        next(subject.models("evaluate"))


def test_data_sets_have_a_part_held_out_where_it_is_asked_for(said):
    said("--data=digit_scenes:length=40", "--split=train")
    (held,) = subject.tested(always=True)
    assert len(held.open("train", None)) == 32 and len(held.open("test", None)) == 8
    said("--split=train")
    with pytest.raises(ConfigError, match="--holdout and --split are of --data; name the data"):
        subject.tested(always=True)
    said()
    assert subject.tested() == []


@pytest.mark.parametrize("word, folder", [("none", None), ("", cache.home()), ("here", "here")])
def test_features_are_kept_where_the_flag_says(said, word, folder):
    said(f"--cache={word}")
    found = subject.settings()["cache"]
    assert str(found) == str(folder)
