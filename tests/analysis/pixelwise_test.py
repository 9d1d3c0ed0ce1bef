"""What is said of pixels, drawn: each category, depth and joint is where and what it is."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import heatmaps, methods
from m3i_jax.analysis import pixelwise
from m3i_jax.analysis.gallery import gallery
from m3i_jax.analysis.predictions import Seen
from m3i_jax.framework.scoring import Prepared
from m3i_jax.training.assemble import assemble
from m3i_jax.types import Detections, Objects, View


def test_a_category_has_a_colour_and_what_nobody_has_named_has_none():
    image = np.full((4, 6, 3), 100, np.uint8)
    drawn = pixelwise.masked(image, np.uint8([[0, 1, 9], [255, 255, 8]]))
    grey = 0.35 * 100
    np.testing.assert_array_equal(
        drawn[0, 2], np.round([grey, 0.65 * 114 + grey, 0.65 * 178 + grey])
    )
    assert (drawn[2:, :4] == 100).all(), "2 x 2 pixels for each"
    assert (drawn[2, 4].astype(int) > drawn[0, 2]).all(), "lighter: 8 is the first again"
    assert (
        len({tuple(int(x) for x in drawn[y, x]) for y, x in ((0, 0), (0, 2), (0, 4), (2, 4))}) == 4
    )
    assert len(np.unique(pixelwise.COLOURS, axis=0)) == 8


def test_depths_share_a_scale_and_the_title_says_it():
    true = np.float32([[[1, 3], [0, 2]]])
    told = pixelwise.Told(np.zeros((1, 2, 2, 3)), np.float32([[[9, 1], [2, 3]]]), true)
    shown = pixelwise.columns("depth", "depth", told, ())
    said, so = shown.values()
    assert list(shown)[0] == "said, 1 to 3"
    np.testing.assert_array_equal(said[0][0, 0], so[0][0, 1])  # beyond the scale is its end
    np.testing.assert_array_equal(said[0][1, 0], so[0][1, 1])
    assert (so[0][1, 0] == 255).all(), "not measured"
    assert so[0][0, 0, 2] > so[0][0, 0, 0] and so[0][0, 1, 0] > so[0][0, 1, 2]


def test_joints_are_where_they_are_said_to_be():
    points = jnp.float32([[[4.5, 10.5, 2], [12.5, 3.5, 2]]])
    maps = heatmaps.encode(points, (16, 16), crop=(16, 16), sigma=1.0).maps
    views = {"a": View(jnp.zeros((1, 16, 16, 3))), "points": View(points.at[0, 1, 2].set(0))}
    seen = Seen(Prepared(views, {}, {}, {}), {}, {"points": (maps, None)})
    told = pixelwise.told(seen, methods.pose(points=2), "points")
    np.testing.assert_allclose(told.said, points, atol=0.05)
    ((title, (tile,)),) = pixelwise.columns("points", "points", told, [(0, 1)]).items()
    assert title == "points, true in blue" and tile.shape == (128, 128, 3)
    at = lambda y, x: tuple(tile[int(8 * y), int(8 * x)])  # noqa: E731
    assert at(12.5, 3.5) == pixelwise.SAID == at(4.5, 10.5) == at(8.5, 7.0)
    assert (tile == pixelwise.TRUE).all(-1).any(), "a joint that is labelled, below"


@pytest.mark.parametrize("name, count", [("segmentation", 3), ("depth", 3), ("pose", 2)])
def test_a_step_shows_what_is_said_beside_what_is_so(shrunk, batch, fits, one_device, name, count):
    mesh, devices = one_device
    run = assemble(shrunk(name, mesh=mesh), images=100, devices=devices)
    picture = gallery(run, rows=2, bones=((0, 4),))(run.create(), fits(run, batch), 1)["views"]
    assert picture.shape[1] == 8 + count * (128 + 8)


def test_objects_that_are_found_are_drawn_over_those_that_are_there():
    """Of two terms of one head there is one picture; what is not sure is not drawn."""
    there = Objects(jnp.float32([[[2, 2, 8, 10], [0, 0, 0, 0]]]), jnp.int32([[1, -1]]))
    found = Detections(
        jnp.float32([[[9, 4, 14, 12], [1, 1, 3, 3]]]), jnp.float32([[0.9, 0.2]]),
        jnp.int32([[0, 1]]), jnp.ones((1, 2, 3, 3)),
    )  # fmt: skip
    codes = {"x": fw.Code("a", fw.online()), "y": fw.Code("objects", fw.objects(categories=2))}
    predict = fw.Distribution("Boltzmann", lambda y, t: 0.0, dense=False)
    method = fw.Method(codes, {n: fw.Term("x", "y", "finder", predict) for n in ("first", "other")})
    assert pixelwise.terms(method) == {"first": "objects"}
    views = {"a": View(jnp.zeros((1, 16, 16, 3))), "objects": View(there)}
    seen = Seen(Prepared(views, {}, {}, {}), {}, {"first": (found, None)})
    told = pixelwise.told(seen, method, "first")
    ((title, (tile,)),) = pixelwise.columns("first", "objects", told, ()).items()
    assert title == "first, true in blue" and tile.shape == (128, 128, 3)
    line = lambda colour: (tile == colour).all(-1)  # noqa: E731
    assert line(pixelwise.TRUE)[16, 16:80].all() and line(pixelwise.TRUE)[16:64, 16].all()
    assert line(pixelwise.SAID)[72, 32:96].all() and not line(pixelwise.SAID)[:64].any()
    assert (tile[90, 60] != tile[30, 30]).any(), "a mask is tinted"
