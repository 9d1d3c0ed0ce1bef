"""Crops of a tracker: the object is where the box says, in both views."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.track_crops import TrackCrops, region

WANTED = Wanted(["objects"], kinds=1, places=1)


def frame(top, left, height, width, shape=(120, 160)):
    """A bright box on a dark ground."""
    image = np.full((*shape, 3), 20, np.uint8)
    image[top : top + height, left : left + width] = 240
    return Sample(image, box=np.float32([top, left, height, width]))


@pytest.fixture
def pair():
    return frame(50, 70, 16, 24)._replace(other=frame(10, 20, 12, 20))


def bright(view):
    """Corners of what is bright."""
    rows, columns = (np.flatnonzero((view[..., 0] > 130).any(axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def test_a_region_has_the_side_of_the_formula():
    box = np.float32([50, 70, 16, 24])
    more = 3 * (16 + 24) / 2
    side = np.sqrt((16 + more) * (24 + more))
    found = region(box, 160, area=4.0)
    np.testing.assert_allclose(found, [58 - side / 2, 82 - side / 2, side, side, 0, 160], rtol=1e-6)
    assert region(np.float32([3, 3, 1, 1]), 160, area=1.0)[2] == 10, "of no less than ten pixels"


def test_the_object_is_where_it_is_said_to_be(pair):
    crops, rng = TrackCrops(size=64, template=32), np.random.default_rng(0)
    places, sizes = [], []
    for _ in range(60):
        row = crops.annotated(pair, rng, WANTED)
        assert row.images["a"].shape == (64, 64, 3) and row.images["b"].shape == (32, 32, 3)
        said = row.annotations["a"].objects
        assert said.categories.tolist() == [0] and row.annotations["a"].present["objects"]
        np.testing.assert_allclose(bright(row.images["a"]), said.corners[0], atol=1.0)
        places.append((said.corners[0, :2] + said.corners[0, 2:]) / 2)
        sizes.append(said.corners[0, 2:] - said.corners[0, :2])
    assert (np.std(places, axis=0) > 6).all() and (np.std(sizes, axis=0) > 1).all()


def test_a_template_shows_the_object_in_its_middle(pair):
    row = TrackCrops(size=64, template=32)(pair, np.random.default_rng(1))
    ends = bright(row.images["b"])
    np.testing.assert_allclose((ends[:2] + ends[2:]) / 2, [16, 16], atol=0.6)
    more = (12 + 20) / 2
    gain = 32 / np.sqrt((12 + more) * (20 + more))
    np.testing.assert_allclose(ends[2:] - ends[:2], np.array([12, 20]) * gain, atol=1.0)
    unmoved = TrackCrops(size=64, template=32, scale=0.0, shift=0.0)(pair, np.random.default_rng(1))
    ends = bright(unmoved.images["a"])
    np.testing.assert_allclose((ends[:2] + ends[2:]) / 2, [32, 32], atol=0.6)


def test_beyond_a_frame_there_is_its_mean():
    one = frame(0, 0, 8, 8)
    view = TrackCrops(size=40, template=20)(one._replace(other=one), np.random.default_rng(0))
    mean = one.image.mean().round()
    assert (view.images["b"][0, 0] == mean).all()


def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(ConfigError, match="pairs of frames with a box each"):
        TrackCrops()(pair._replace(other=None), np.random.default_rng(0))
    with pytest.raises(ConfigError, match="are the views a and b, but a, c are looked at"):
        TrackCrops(views=("a", "c"))
