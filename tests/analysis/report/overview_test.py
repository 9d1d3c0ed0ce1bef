"""What was trained and what it is worth: numbers of the files, in tables that can be read."""

from m3i_jax.analysis.report import material, overview
from m3i_jax.analysis.report.sheet import Sheet
from tests.analysis.report.places import CONFIG, EVIL, measured, parse, workdir


def parts(*places):
    of = material.read(places)
    sheet = Sheet(of.runs)
    made = overview.trained(of, sheet), overview.measured(of, sheet)
    return [None if part is None else parse(part) for part in made]


def rows(page, table=0):
    return [[c.text for c in row.inside] for row in [*page.all("table")][table].all("tr")]


def test_a_card_says_where_a_run_stands(tmp_path):
    page, nothing = parts(workdir(tmp_path / "run"))
    assert nothing is None
    card = page.one("article", class_="run")
    assert card.one("h3").text == "run"
    assert card.one("progress").attributes == {
        "max": "40",
        "value": "40",
        "aria-label": "step 40 of 40",
    }
    large = [part.text for part in card.one("p", class_="large").inside]
    assert large == ["0.05000loss", "40.0 %nearest neighbours", "140images per second"]
    facts = dict(
        zip((t.text for t in card.all("dt")), (d.text for d in card.all("dd")), strict=True)
    )
    assert facts["Command"].strip() == "m3i pretrain --workdir=a" and facts["Machine"] == "4 × abc"


def test_of_a_fine_tuning_the_best_is_what_it_is_worth(tmp_path):
    lines = [{"step": 1, "validation/ema/top1": 0.3, "validation/best": 0.4}]
    page, _ = parts(workdir(tmp_path / "run", lines=lines))
    assert page.one("p", class_="large").text == "40.0 %best validation"


def test_an_alarm_is_said(tmp_path):
    lines = [{"step": 1, "train/loss": 1.0, "health/alarm": 1.0}]
    page, _ = parts(workdir(tmp_path / "run", lines=lines))
    assert "alarm" in page.one("p", class_="large").text


def test_settings_of_one_run_have_default_and_meaning(tmp_path):
    page, _ = parts(workdir(tmp_path / "run"))
    assert rows(page)[0] == ["setting", "value", "default", "meaning"]
    found = {row[0]: row[1:] for row in rows(page)}
    assert found["image"][:2] == ["32", "224"] and found["optimizer.lr"][0] == "0.001"


def test_settings_that_differ_come_first(tmp_path):
    other = CONFIG | {"seed": 7, "encoder": {"name": "vit_nano"}, "target": {"name": "ema"}}
    page, _ = parts(workdir(tmp_path / "a"), workdir(tmp_path / "b", config=other))
    first, second = (s.text for s in page.all("summary"))
    assert first == "Settings that differ (3)" and second.startswith("Settings in common")
    assert [row[:4] for row in rows(page)] == [
        ["setting", "a", "b", "default"],
        ["encoder.patch", "8", "4", "4"],
        ["seed", "0", "7", "0"],
        ["target.name", "–", "ema", "–"],
    ]


def test_results_have_intervals_the_best_is_bold_and_each_column_is_drawn(tmp_path):
    place = workdir(tmp_path / "run")
    measured(place, (f"{place}@40", 0.75, (0.7, 0.8)), ("pixels", 0.5, (0.45, 0.55)))
    _, page = parts(place)
    assert rows(page)[1:] == [
        ["run@40", "75.0 %70.0 % to 80.0 %"],
        ["pixels", "50.0 %45.0 % to 55.0 %"],
    ]
    assert [b.text for b in page.all("b")] == ["75.0 %"]
    assert page.one("section").attributes["aria-labelledby"] == page.one("h2").attributes["id"]
    tones = [c.attributes["class"] for c in page.all("circle")]
    assert tones == ["dot c0", "dot grey"] and "on digits" in page.one("h3").text


def test_names_of_models_are_text(tmp_path):
    measured(tmp_path / "x.jsonl", (EVIL, 0.75, (0.7, 0.8)))
    nothing, page = parts(tmp_path / "x.jsonl")
    assert nothing is None and not [*page.all("script")] and "alert(1)" in page.text
