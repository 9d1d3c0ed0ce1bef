"""Components of the patches of a few images, as colours under each."""

import numpy as np
import pytest

from m3i_jax.analysis import components, measures
from m3i_jax.data.sources.subset import places
from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable
from tests.analysis import toy_blocks


def test_patches_are_coloured_by_the_components_of_all_of_them(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "pca", "count": 5}])
    shown = toy_blocks.shown(measure, evaluation)
    x = evaluation.features("test", pool="tokens").features[places(43, 5)]
    fitted = components.fit(x.reshape(-1, 16))
    assert list(shown.values) == ["share_1", "share_2", "share_3"]
    np.testing.assert_allclose([*shown.values.values()], fitted.shares, rtol=1e-4)
    (picture,) = shown.pictures
    assert "of the patches of 5 images" in picture.caption
    # Tiles of 32 x 16 pixels, four times as large: the image above its 4 x 4 cells.
    tile = picture.image[8 : 8 + 128, 8 : 8 + 64]
    right = components.colours(components.scores(fitted, x.reshape(5, 4, 4, 16)))[0]
    cells = tile[64 + 8 :: 16, 8::16].astype(int)
    # A grey level is a 255th of the range, and tokens differ by float32's rounding.
    np.testing.assert_allclose(cells, right, atol=1)


def test_only_the_foreground_is_coloured(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "pca", "count": 5, "foreground": True}])
    (picture,) = toy_blocks.shown(measure, evaluation).pictures
    assert "patches in front of 5 images" in picture.caption
    cells = picture.image[8 + 64 + 8 : 8 + 128 : 16, 16 : 8 + 64 : 16]
    assert cells.shape == (4, 4, 3)
    x = evaluation.features("test", pool="tokens").features[places(43, 5)].reshape(5, 4, 4, 16)
    first = components.scores(components.fit(x.reshape(-1, 16), count=1), x)[..., 0]
    front = components.foreground(first)
    assert 0 < front.mean() < 1 and (cells[~front[0]] == 0).all()


def test_pixels_have_no_patches(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    evaluation.model = models.RAW._replace(image=16)
    (measure,) = measures.create([{"name": "pca"}])
    with pytest.raises(NotMeasurable, match="raw pixels have no patches"):
        measure.measure(evaluation, None)
