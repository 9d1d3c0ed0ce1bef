"""Shapes of batches are those that the data give."""

from dataclasses import replace

import jax
import numpy as np

from m3i_jax import framework as fw
from m3i_jax.framework import Code, Method
from m3i_jax.training import batch_shape
from tests.toy_runs import drawn


def test_what_is_said_of_pixels_has_the_shape_of_the_views(shrunk):
    codes = {"x": Code("a", fw.online()), "mask": Code("mask", fw.categories(classes=11))}
    codes["points"] = Code("points", fw.key_points(points=5))
    config = shrunk("classification")
    shapes = batch_shape.batch(config, Method(codes, {}), 8)
    real = drawn(8)
    assert shapes.images["a"].shape == real.images["a"].shape
    for name in ("mask", "points"):
        ours, theirs = (getattr(x.annotations["a"], name) for x in (shapes, real))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert set(shapes.annotations["a"].present) == {"mask", "points"}
    assert shapes.annotations["a"].depth is None


def test_views_may_be_no_squares(shrunk):
    crops = dict(name="scale_jitter", width=24)
    config = replace(shrunk("classification"), crops=crops)
    codes = {"x": Code("a", fw.online()), "depth": Code("depth", fw.depths())}
    shapes = batch_shape.batch(config, Method(codes, {}), 2)
    assert shapes.images["a"].shape == (2, 16, 24, 3)
    assert shapes.annotations["a"].depth == jax.ShapeDtypeStruct((2, 16, 24), np.float32)


def test_objects_have_the_places_that_crops_give_them(shrunk):
    crops = dict(name="scale_jitter", objects=7, outlines=20)
    config = replace(shrunk("classification"), crops=crops)
    codes = {"x": Code("a", fw.online())}
    for outlines in (False, True):
        codes["y"] = Code("objects", fw.objects(categories=3, outlines=outlines))
        said = batch_shape.batch(config, Method(codes, {}), 2).annotations["a"].objects
        assert said.corners.shape == (2, 7, 4) and said.categories.shape == (2, 7)
        assert (said.masks is not None) == outlines
        assert not outlines or said.masks.shape == (2, 7, 20, 20)
        assert said.shown is None
    codes["y"] = Code("objects", fw.objects(categories=3, counts=True))
    said = batch_shape.batch(config, Method(codes, {}), 2).annotations["a"].objects
    assert said.shown == jax.ShapeDtypeStruct((2, 3), np.float32)
