"""Methods with categories and texts."""

import pytest

from m3i_jax import methods


def test_blended_images_have_two_categories():
    method = methods.mixed_classification()
    assert set(method.terms) == {"category_first", "category_second"}
    assert method.sources == {"a", "label"} and not method.views["mix"].mixes


def test_binary_categories_are_one_term_that_is_not_smoothed():
    method = methods.mixed_classification(binary=True, label_smoothing=0.0)
    assert set(method.terms) == {"category_both"}
    assert method.terms["category_both"].predict.name == "Bernoulli"
    assert methods.classification(binary=True, label_smoothing=0.0).terms["category"].predict.name \
        == "Bernoulli"  # fmt: skip
    with pytest.raises(ValueError, match="not smoothed"):
        methods.classification(binary=True)
    methods.mixed_classification(binary=True, label_smoothing=0.0, least=0.2)
    with pytest.raises(ValueError, match="set least to 0"):
        methods.mixed_classification(least=0.2)


def test_blended_images_may_stay_within_groups():
    assert methods.mixed_classification().views["mix"].group is None
    assert methods.mixed_classification(mix_group=4, per="row").views["mix"].group == 4


def test_clip_may_drop_patches():
    assert methods.clip().codes["x"].mask is None
    assert methods.clip(hidden=0.5).codes["x"].mask.hidden == 0.5


def test_siglip_is_clip_with_another_distribution():
    one, other = methods.clip(), methods.siglip()
    assert one.terms["text"]._replace(predict=None) == other.terms["text"]._replace(predict=None)
    assert other.terms["text"].predict.name == "Bernoulli"
