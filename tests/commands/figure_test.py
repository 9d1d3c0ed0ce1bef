"""Figures are asked for by number, panels by title; both are refused in sentences."""

import pytest
from absl import flags

from m3i_jax import command_flags
from m3i_jax.analysis import figures, run
from m3i_jax.build import ConfigError, UserError
from m3i_jax.commands import figure
from tests.commands.starts import refused

VIT = "untrained:vit_nano:image=16,width=16,depth=2,heads=2,patch=8"
SWIN = "untrained:swin_v2_t:image=16,width=8,depths=(1,1),heads=(1,2),window=2"


@pytest.fixture
def said(monkeypatch):
    """said(words...): the flags of a command line."""

    def say(*words):
        found = flags.FlagValues()
        command_flags.define(command_flags.of(figure), flag_values=found)
        found(["m3i", *words])
        monkeypatch.setattr(command_flags.flags, "FLAGS", found)

    return say


def test_a_wrong_start_is_one_sentence(tmp_path):
    line = "--figure=11 --model=a=pixels"
    assert "--figure is '11', expected numbers from 1 to 10" in refused("figure", line, tmp_path)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ((), "no model is named to draw"),
        (("--model=a=pixels", "--model=a=pixels"), "two panels have one title"),
        (("--model=a=pixels", "--workdir=b"), "--workdir is no panel"),
        (("--model=a=pixels",), "raw pixels have no encoder"),
        (("--model=a=pixels", "--data=mnist", "--data=digit_scenes"), "is of one data set"),
    ],
)
def test_what_is_refused(words, sentence, said, tmp_path):
    said(f"--output={tmp_path}/x", *words)
    with pytest.raises(ConfigError, match=sentence):
        figure.main()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "last, sentence",
    [
        ("b=runs/nothing", "there is no 'runs/nothing'"),
        ("b=untrained:resnet50:image=32,width=4,depths=(1,1,1,1)", "do not attend to each other"),
        ("b=pixels", "raw pixels have no"),
    ],
)
def test_a_last_model_that_has_no_figure_is_refused_before_the_first_is_measured(
    last, sentence, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(run, "analyzed", None)
    how = ("--data=digit_scenes:length=60", "--test_limit=8", "--batch=8", "--cache=none")
    said("--figure=1", f"--output={tmp_path}", *how, f"--model=a={VIT}", f"--model={last}")
    with pytest.raises(UserError, match=sentence):
        figure.main()


def test_a_figure_of_two_models(said, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    how = ("--data=digit_scenes:length=60", "--test_limit=8", "--batch=8", "--cache=none")
    models = (f"--model=one={VIT}", f"--model=two={VIT.replace('vit_nano:', 'vit_nano:seed=1,')}")
    said("--figure=7", f"--output={tmp_path}", *how, *models)
    assert figure.main() is None
    names = [f"figure_7.{form}" for form in ("png", "svg")]
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in names]
    text = (tmp_path / names[1]).read_text()
    assert "(a) one" in text and "(b) two" in text


def test_each_model_is_in_the_figures_of_its_kind(said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda panels, axis, *paths: [(*panels, paths[0].stem)])
    how = ("--data=digit_scenes:length=60", "--test_limit=8", "--batch=8", "--cache=none")
    said(f"--output={tmp_path}", *how, f"--model=a={VIT}", f"--model=b={SWIN}")
    figure.main()
    drawn = [("a", f"figure_{n}") for n in (1, 2, 3)] + [("b", f"figure_{n}") for n in (4, 5, 6, 7)]
    assert capsys.readouterr().out.splitlines() == [str(one) for one in drawn]


@pytest.mark.parametrize(
    "word, expected",
    [
        ("MoCo v3=runs/moco", ("MoCo v3", "runs/moco")),
        ("runs/mae", ("runs/mae", "runs/mae")),
        ("runs/mae:blocks=9", ("runs/mae:blocks=9", "runs/mae:blocks=9")),
        ("MAE=runs/mae:blocks=9", ("MAE", "runs/mae:blocks=9")),
        (" a = b ", ("a", "b")),
    ],
)
def test_a_title_stands_in_front_of_a_model(word, expected):
    assert figure.titled(word) == expected


def test_a_path_with_such_a_sign_is_a_path(tmp_path):
    path = tmp_path / "a=b"
    path.mkdir()
    assert figure.titled(str(path)) == (str(path), str(path))
    with pytest.raises(ConfigError, match="expected TITLE=MODEL"):
        figure.titled("=runs/mae")
