"""The training on the page: all metrics in families, the newest pictures by step."""

from m3i_jax.analysis.report import material, training
from m3i_jax.analysis.report.sheet import Sheet
from tests.analysis.report.places import EVIL, metrics, parse, workdir


def made(*places):
    of, notes = material.read(places), []
    sheet = Sheet(of.runs)
    progress, shots = training.progress(of, sheet), training.pictures(of, sheet, notes)
    return [p and parse(p) for p in (progress, shots)], sheet.script(), notes


def test_every_metric_is_a_chart_that_the_script_knows(tmp_path):
    (page, shots), script, _ = made(workdir(tmp_path / "run"))
    assert shots is None
    names = [figure.attributes["data-metric"] for figure in page.all("figure", class_="card")]
    logged = {name for line in metrics() for name in line} - {"step"}
    assert {
        name.replace("/", "/").replace("probe/ema_", "probe/").replace("probe/online_", "probe/")
        for name in logged
    } == {*names}
    numbers = [int(svg.attributes["data-chart"]) for svg in page.all("svg")]
    assert sorted(numbers) == list(range(len(script["charts"])))
    loss = script["charts"][0]["lines"][0]
    assert script["steps"][loss["steps"]] == list(range(1, 41))
    assert loss["values"][3] == 0.5


def test_runs_of_other_lengths_share_the_axis_of_steps(tmp_path):
    places = workdir(tmp_path / "a"), workdir(tmp_path / "b", lines=metrics(20))
    _, script, _ = made(*places)
    assert all(chart["x"][:2] == [1, 40] for chart in script["charts"])


def test_a_page_without_metrics_has_no_curves(tmp_path):
    (page, _), _, _ = made(workdir(tmp_path / "a", lines=[]))
    assert page is None


def test_the_newest_pictures_and_the_first_can_be_chosen(tmp_path):
    images = [f"views-{step:08d}.png" for step in (1, 10, 20, 30, 40)]
    (_, page), _, notes = made(workdir(tmp_path / "run", images=images))
    labels = [label.text for label in page.all("label")]
    assert labels == ["step 40", "step 30", "step 20", "step 1"] and not notes
    inputs = [*page.all("input", type="radio")]
    assert [i.has("checked", True) for i in inputs] == [True, False, False, False]
    assert (
        len({i.attributes["id"] for i in inputs}) == 4
        and len({i.attributes["name"] for i in inputs}) == 1
    )
    alts = [img.attributes["alt"] for img in page.all("img")]
    assert alts[0].startswith("views at step 40: what each sample became")
    assert all(img.attributes["src"].startswith("data:image/") for img in page.all("img"))


def test_a_broken_picture_is_a_sentence_and_a_name_is_text(tmp_path):
    place = workdir(tmp_path / "run", images=["views-1.png"])
    (place / "images" / "views-2.png").write_bytes(b"x")
    evil = EVIL.replace("/", "").replace("\x00", "")
    (place / "images" / f"{evil}-3.png").write_bytes(
        (place / "images" / "views-1.png").read_bytes()
    )
    (_, page), _, notes = made(place)
    assert notes == ["views-2.png cannot be shown: it is no picture"]
    assert len([*page.all("img")]) == 2 and not [*page.all("script")]
