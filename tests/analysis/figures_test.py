"""Figures have a panel for each model, on common axes, with a dot for each head and block."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax.analysis import figures
from m3i_jax.analysis.finding import Finding
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)


def finding(measure, form, **values):
    """A finding as its line in analysis.jsonl has it."""
    of = dict(title="", unit="", labels={}, protocol={}, counts={}, weights="", branch="ema")
    of |= dict(model="toy", step=0, image=16, data="", records="")
    return Finding(measure=measure, form=form, values=values, **of)


def heads(measure, top=1.0):
    rows = [[top * float(x) for x in RNG.random(3)] for _ in range(4)]
    return finding(measure, "heads", heads=rows, mean=[float(np.mean(row)) for row in rows])


def table():
    return finding("cka", "matrix", matrix=np.eye(3).tolist())


def test_the_ten_figures_are_those_of_the_supplement():
    assert [*figures.FIGURES] == [*range(1, 11)]
    kinds = [figure.encoder for figure in figures.FIGURES.values()]
    assert kinds == 3 * ["ViT"] + 4 * ["SwinV2"] + 3 * ["RepLKNet"]


def test_those_of_an_encoder():
    vit = models.fresh(dict(name="vit_nano", image=16, width=16, depth=1, heads=1))
    assert figures.numbers(vit) == [1, 2, 3]
    resnet = models.fresh(dict(name="resnet_nano", image=16))
    with pytest.raises(ConfigError, match="is a ResNet; the figures are of ViT, SwinV2, RepLKNet"):
        figures.numbers(resnet)


def test_every_figure_that_there_is_something_for_is_written(tmp_path):
    found = {
        title: [heads("attention_distance", top), heads("kernel_entropy"), table()]
        for title, top in (("supervised", 1.0), ("MAE", 5.0))
    }
    paths = figures.written(found, tmp_path / "figures")
    assert [path.name for path in paths] == [
        f"figure_{number}.{form}" for number in (1, 4, 7, 9) for form in ("png", "svg")
    ]
    width, height = Image.open(paths[0]).size
    assert width > height  # two panels side by side
    assert [path.name for path in figures.written(found, tmp_path, numbers=[9])] == [
        "figure_9.png",
        "figure_9.svg",
    ]


def test_panels_have_letters_titles_and_one_axis_of_words(tmp_path):
    found = {title: [heads("attention_distance")] for title in ("supervised", "MAE & <b>")}
    (path,) = figures.draw(found, "pixels", tmp_path / "figure.svg")
    text = path.read_text()
    assert "(a) supervised" in text and "(b) MAE &amp; &lt;b" in text
    assert text.count(">pixels<") == 1 and text.count(">block<") == 2


def test_a_picture_shows_another_head_elsewhere(tmp_path):
    """One dot is moved, and the picture changes where that dot is, and nowhere else far off."""
    one, two = ([[0.2, 0.4], [0.5, 1.0]], [[0.2, 0.4], [0.8, 1.0]])
    drawn = []
    for number, rows in enumerate((one, two)):
        panel = {"a": [finding("x", "heads", heads=rows, mean=[0.3, 0.5])]}
        (path,) = figures.draw(panel, "y", tmp_path / f"{number}.png")
        drawn.append(np.asarray(Image.open(path).convert("L"), float))
    rows, columns = np.nonzero(np.abs(drawn[0] - drawn[1]) > 30)
    assert len(rows) and columns.min() > drawn[0].shape[1] / 2  # of the second block
    assert columns.max() - columns.min() < 30


def test_a_panel_of_several_seeds_shows_all_of_their_dots_and_the_mean(tmp_path):
    several = [heads("attention_entropy") for _ in range(3)]
    (path,) = figures.draw({"three": several}, "nats", tmp_path / "three.svg")
    assert path.stat().st_size > 1000
    lines = finding("rank", "layers", rank=[1.0, 2.0])
    assert figures.draw({"lines": [lines, lines]}, "rank", tmp_path / "lines.png")


def test_what_is_no_figure(tmp_path):
    with pytest.raises(ValueError, match=r"of the forms \['heads', 'matrix'\]"):
        figures.draw({"a": [heads("x")], "b": [table()]}, "y", tmp_path / "a.png")
    short = finding("x", "heads", heads=[[1.0]], mean=[1.0])
    with pytest.raises(ValueError, match=r"blocks"):
        figures.draw({"a": [heads("x"), short]}, "y", tmp_path / "a.png")
