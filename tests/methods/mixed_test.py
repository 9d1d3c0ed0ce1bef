"""M3I: what it is made of, and what its arguments change."""

import pytest

from m3i_jax import methods


def names(method):
    return set(method.terms)


def test_m3i_predicts_everything_for_both_images():
    assert names(methods.m3i()) == {
        "intra", "inter", "category_first", "category_second", "text_first", "text_second"
    }  # fmt: skip
    assert names(methods.m3i(category=False, text=False)) == {"intra", "inter"}


@pytest.mark.parametrize(
    "first, second, views, terms",
    [
        ("same", "same", ("a", "a"), {"intra", "intra_second"}),
        ("different", "different", ("b", "b"), {"inter_first", "inter"}),
        ("different", "same", ("b", "a"), {"inter_first", "intra_second"}),
        ("same", "different", ("a", "b"), {"intra", "inter"}),
    ],
)
def test_target_views_of_table_14(first, second, views, terms):
    method = methods.m3i(
        target_view_first=first, target_view_second=second, category=False, text=False
    )
    assert method.views["mix"].needs == views
    assert names(method) == terms
    assert method.codes["y"].view == "a"


def test_a_misspelt_target_view_is_refused():
    with pytest.raises(ValueError, match="'same' or 'different' from the input, not 'sme'"):
        methods.m3i(target_view_first="sme")


def test_without_mix_blocks_are_dropped_and_one_image_is_predicted():
    method = methods.m3i(mix=False)
    assert names(method) == {"inter", "category", "text"}
    assert method.codes["x"].mask.hidden == 0.5 and not method.views


def test_the_two_images_share_the_weight_of_a_label():
    method = methods.m3i()
    assert method.terms["category_first"].weight == method.terms["text_second"].weight == 0.5
    assert method.terms["intra"].weight == method.terms["inter"].weight == 1.0
