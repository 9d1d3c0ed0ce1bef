"""Findings as text have the numbers of the finding."""

import pytest

from m3i_jax.analysis import tables
from tests.analysis.finding_test import ONE

FORMS = {
    "heads": ({"heads": [[1.0, 3.0], [2.0, 2.0, 5.0]]}, ["1 2 1 3", "2 3 2 5"]),
    "layers": ({"rank": [4.0, 2.5], "share": [0.5, 0.25]}, ["1 4 0.5", "2 2.5 0.25"]),
    "matrix": ({"matrix": [[1.0, 0.5], [0.25, 1.0]]}, ["1 1 0.5", "2 0.25 1"]),
    "pictures": ({"auc": 0.75}, ["auc 0.75"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_a_table(form):
    values, rows = FORMS[form]
    one = ONE._replace(form=form, values=values, labels={}, unit="pixels")
    head, *lines = tables.table(one).splitlines()
    assert head == "CKA of runs/a@3 on digits, in pixels, 40 images"
    assert [" ".join(line.split()) for line in lines][-len(rows) :] == rows


def test_pictures_and_the_other_model_are_named():
    one = ONE._replace(other="runs/b@3", pictures=[("digits", "0.png")])
    text = tables.table(one)
    assert "of runs/a@3 and runs/b@3 on" in text
    assert "\nanalysis/0.png: digits" in text
    for place in ("runs/mae", "runs/mae/found.jsonl"):
        assert "\nruns/mae/analysis/0.png: digits" in tables.table(one, place=place)
