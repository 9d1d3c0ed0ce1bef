"""Findings on the page: each form drawn, side by side; what cannot be drawn is a sentence."""

import pytest

from m3i_jax.analysis.report import inside, material
from m3i_jax.analysis.report.sheet import Sheet
from tests.analysis.report.places import EVIL, found, looked, parse, workdir


def made(*places):
    of, notes = material.read(places), []
    sheet = Sheet(of.runs)
    part = inside.findings(of, sheet, notes)
    return part and parse(part), sheet.script()["charts"], notes


def test_heads_of_models_are_side_by_side(tmp_path):
    looked(tmp_path, found("a"), found("b", values={"heads": [[4.0], [5.0]], "mean": [4.5, 5.5]}))
    page, charts, notes = made(tmp_path)
    assert [h.text for h in page.all("h4")] == ["a", "b"] and not notes
    assert page.one("h3").text == "Attention distance"
    assert charts[1]["heads"] == [[4.0], [5.0]] and charts[0]["heads"] == [[1.0, 2.0], [3.0, 5.0]]
    assert "on digits, 9 images, in pixels" in page.text
    assert "not of the same images" not in page.text
    looked(tmp_path, found("c", records="others"))
    assert "in pixels, not of the same images for all models" in made(tmp_path)[0].text


def test_divergence_is_of_pairs_of_heads(tmp_path):
    looked(tmp_path, found("a", "head_divergence"), found("a", "attention_distance"))
    page, charts, _ = made(tmp_path)
    assert [chart["what"] for chart in charts] == ["pair", "head"]
    assert "pair 2" in [th.text for th in page.all("th")]


def test_layers_have_a_drawing_for_each_name(tmp_path):
    values = {"knn": [1.0, 2.0], "linear": [3.0, 4.0], "chance": 0.1}
    looked(
        tmp_path,
        found("a", "probes", "layers", values=values),
        found("b", "probes", "layers", values=values),
    )
    page, charts, _ = made(tmp_path)
    assert [h.text for h in page.all("h4")] == ["knn", "linear"]
    assert len(charts[0]["marks"]) == 4 and "0.1" in page.one("div", class_="wide").text


def test_names_have_intervals_of_their_own(tmp_path):
    values = {"knn": [0.5], "knn_low": [0.4], "knn_high": [0.6], "linear": [0.75], "low": [1.0]}
    looked(tmp_path, found("a", "probes", "layers", values=values, unit="share"))
    page, charts, _ = made(tmp_path)
    assert [h.text for h in page.all("h4")] == ["knn", "linear", "low"]
    assert charts[0]["marks"][0][2] == "a, block 1: 50.0 % (40.0 % to 60.0 %)"
    assert "in percent" in page.one("div", class_="family").text


def test_layers_with_intervals_are_one_drawing(tmp_path):
    values = {"rank": [1.0, 2.0], "low": [0.5, 1.5], "high": [1.5, 2.5]}
    looked(tmp_path, found("a", "rank", "layers", values=values, labels={"blocks": ["x", "y"]}))
    _, charts, _ = made(tmp_path)
    assert [m[2] for m in charts[0]["marks"]][1] == "a, block y: 2 pixels (1.500 to 2.500)"


def test_matrices_of_models_and_of_pairs_share_their_colours(tmp_path):
    run = workdir(tmp_path / "run")
    one = found(f"{run}@40", "cka", "matrix", values={"matrix": [[1.0, 0.5], [0.5, 1.0]]})
    pair = one._replace(other="vit", values={"matrix": [[0.25, 0.5]]}, labels={"rows": ["stem"]})
    looked(run, one, pair)
    page, charts, _ = made(run)
    assert [h.text for h in page.all("h4")] == ["run@40", "run@40 and vit"]
    assert charts[0]["values"] == [[1.0, 0.5], [0.5, 1.0]]
    assert charts[1]["rows"] == ["block of run@40 stem"]
    assert charts[1]["columns"][1] == "block of vit 2"


def test_pictures_have_alt_texts_and_captions(tmp_path):
    values = {"nats": 1.5}
    looked(tmp_path, found("a", "pca", "pictures", values=values), pictures=["first", EVIL])
    page, _, notes = made(tmp_path)
    images = [*page.all("img")]
    assert images[0].attributes["alt"] == "Attention distance of a: first" and not notes
    assert [c.text for c in page.all("figcaption")][0] == "first" and not [*page.all("script")]
    assert "1.500" in page.one("div", class_="wide").text


def test_a_picture_that_is_gone_is_a_sentence(tmp_path):
    looked(tmp_path, found("a", "pca", "pictures", values={}), pictures=["first"])
    for path in (tmp_path / "analysis").iterdir():
        path.unlink()
    _, _, notes = made(tmp_path)
    assert len(notes) == 1 and "cannot be shown: No such file" in notes[0]


@pytest.mark.parametrize(
    "form, values",
    [
        ("heads", {}),
        ("heads", {"heads": 3}),
        ("heads", {"heads": []}),
        ("heads", {"heads": [[]]}),
        ("heads", {"heads": [["x"]]}),
        ("layers", {"a": [[1], [2]]}),
        ("matrix", {"matrix": [1, 2]}),
        ("matrix", {"matrix": [[1], [2, 3]]}),
        ("matrix", {"matrix": []}),
        ("matrix", {"m": [[1]]}),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(form, values, tmp_path):
    looked(tmp_path, found("a", form=form, values=values))
    page, _, notes = made(tmp_path)
    assert len(notes) == 1 and "Attention distance cannot be drawn" in notes[0]
    assert page.one("h3").text == "Attention distance"
