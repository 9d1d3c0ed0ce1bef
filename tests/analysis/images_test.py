"""Images that are shown are those that the model saw, and features those that it made of them."""

import numpy as np
import pytest

from m3i_jax.analysis import images
from m3i_jax.evaluation.features import NotMeasurable
from tests.analysis import toy_blocks


def test_chosen_records_are_seen_as_an_evaluation_sees_them(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    records = np.array([40, 3, 17])
    see = evaluation.seeing({"": {"pool": "tokens"}})
    shown = images.seen(evaluation, records, apply=lambda *x: see(*x)[""])
    whole = evaluation.features("test", pool="tokens")
    pixels = evaluation.mapped("test", lambda params, x: x.astype(np.float32), name="pixels")
    np.testing.assert_array_equal(shown.images, pixels.features[records])
    np.testing.assert_allclose(shown.features, whole.features[records], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(shown.labels, whole.labels[records])
    assert shown.index.tolist() == [40, 3, 17] and shown.images.dtype == np.uint8
    assert images.seen(evaluation, [5]).features is None


def test_what_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    evaluation = toy_blocks.evaluation(tmp_path)
    source = evaluation.source("test")
    read = source.read
    monkeypatch.setattr(source, "read", lambda i: None if i == 3 else read(i), raising=False)
    assert images.seen(evaluation, [40, 3, 17]).index.tolist() == [40, 17]
    with pytest.raises(NotMeasurable, match="none of 1 records can be read"):
        images.seen(evaluation, [3])


def test_any_tree_of_arrays_can_be_asked_for(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)

    def apply(params, x):
        return {"mean": x.mean((1, 2)), "corners": (x[:, :2, :2, 0], x[:, -1, -1])}

    shown = images.seen(evaluation, [1, 2], apply=apply)
    np.testing.assert_allclose(shown.features["mean"], shown.images.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(shown.features["corners"][1], shown.images[:, -1, -1])


def test_records_are_spread_and_classes_have_names(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    records = images.spread(evaluation, 5)
    assert len(set(records.tolist())) == 5 and max(records) < 43
    assert len(images.spread(evaluation, 100)) == 43
    assert images.name(evaluation, 0) == evaluation.classes[0] and images.name(evaluation, -1) == ""
