"""What is lacking is said once, of what it is lacking, and ends as what it is."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.refusals import Place, Refusal, end

LABELS, HEADS = ConfigError("there are no labels"), NotMeasurable("there are no heads")


def refusals(error, *cells, **how):
    return [Refusal(Place(*cell.split()), error, **how) for cell in cells]


def test_nothing_is_said_where_nothing_lacks_but_what_raw_pixels_cannot_have():
    pixels = refusals(HEADS, "told pixels photos", expected=True)
    end([], [])
    end(pixels, [Place("knn", "pixels", "photos")])
    with pytest.raises(NotMeasurable, match="^there are no heads$"):
        end(pixels, [])


@pytest.mark.parametrize(
    "cells, of",
    [
        (["knn vit flat", "knn pixels flat", "told vit flat", "told pixels flat"], "on flat: "),
        (["knn vit flat", "knn vit photos", "told vit flat", "told vit photos"], "of vit: "),
        (["knn vit flat", "told vit flat"], "of vit on flat: "),
        (["knn vit flat"], "knn of vit on flat: "),
    ],
)
def test_a_reason_is_said_once_of_what_it_holds_for(cells, of):
    asked = [Place(task, model, data) for task in ("knn", "told") for model in ("vit", "pixels")
             for data in ("flat", "photos")]  # fmt: skip
    found = [place for place in asked if " ".join(place) not in cells]
    with pytest.raises(NotMeasurable) as said:
        end(refusals(LABELS, *cells), found)
    assert str(said.value) == f"{of}there are no labels" and said.value.status == 65


def test_other_reasons_and_other_places_are_parts_of_one_sentence():
    lacking = refusals(LABELS, "knn a flat", "told b flat") + refusals(HEADS, "told a flat")
    with pytest.raises(NotMeasurable) as said:
        end(lacking, [Place("knn", "b", "flat")])
    assert str(said.value) == (
        "knn of a: there are no labels; told of b: there are no labels; "
        "told of a: there are no heads"
    )


def test_where_nothing_could_be_measured_the_first_reason_of_each_data_set_is_said():
    others = ConfigError("told needs labels"), ConfigError("there is no test split")
    cells = ("knn a flat", "knn b flat"), ("told a flat", "told b flat"), ("knn a raw", "knn b raw")
    lacking = [
        refusal
        for error, places in zip((LABELS, *others), cells, strict=True)
        for refusal in refusals(error, *places)
    ]
    with pytest.raises(ConfigError) as said:
        end(refusals(HEADS, "heads a flat") + lacking, [])
    assert said.value.status == 2
    assert str(said.value) == "on flat: there are no labels; on raw: there is no test split"
