"""Neighbours through the measure are those of the features, and shown as they are."""

import numpy as np
import pytest

from m3i_jax.analysis import measures, neighbours
from m3i_jax.data.sources.subset import places
from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable
from tests.analysis import toy_blocks


def test_neighbours_and_what_they_are(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "neighbours", "queries": 3, "k": 2}])
    shown = toy_blocks.shown(measure, evaluation)
    table = evaluation.features("test")
    asked = places(43, 3)
    near, cosines = neighbours.nearest(table.features, asked, k=2)
    assert len(shown.pictures) == 3 and shown.counts == {"test": 43, "queries": 3}
    names = [evaluation.classes[label] for label in table.labels]
    for picture, one, others, alike in zip(shown.pictures, asked, near, cosines, strict=True):
        said = ", ".join(f"{names[i]} {c:.2f}" for i, c in zip(others, alike, strict=True))
        assert picture.caption == f"{names[one]} and its nearest: {said}"
        # The query's own pixels, eight times as large, are the first tile.
        image = evaluation.mapped("test", lambda params, x: x.astype(np.float32), name="pixels")
        tile = picture.image[8 : 8 + 128, 8 : 8 + 128]
        np.testing.assert_array_equal(tile[::8, ::8], image.features[one])
    same = table.labels[asked][:, None] == table.labels[near]
    assert shown.values == {"same_class": same.mean()}


def test_pixels_have_neighbours_and_one_image_has_none(tmp_path):
    (measure,) = measures.create([{"name": "neighbours"}])
    evaluation = toy_blocks.evaluation(tmp_path)
    evaluation.model = models.RAW._replace(image=16)
    assert len(measure.measure(evaluation, None).pictures) == 8
    with pytest.raises(NotMeasurable, match="need two images"):
        toy_blocks.shown(measure, toy_blocks.evaluation(tmp_path, test_limit=1))
