"""Views cut by other libraries are Pillow's to a grey level, or are said to be others."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax import augment
from m3i_jax.build import ConfigError
from m3i_jax.data.views import resizing
from m3i_jax.data.views.resizing import RESIZES, Box


def photograph(height, width):
    """Smooth colours with edges and noise that no filter makes black or white: uint8."""
    y, x = np.mgrid[:height, :width]
    waves = 128 + 90 * np.sin(x / 9) * np.cos(y / 13)
    image = np.stack([waves, 255 * ((x // 17 + y // 11) % 2), 255 * x / width], -1)
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return np.clip(64 + (image + noise) / 2, 32, 224).astype(np.uint8)


BOXES = (Box(0, 0, 260, 190), Box(13, 7, 230, 151), Box(40, 30, 71, 66))


def cut(kind, image, interpolation):
    if kind in resizing.NEEDS:
        pytest.importorskip(resizing.NEEDS[kind][0])
    opened = RESIZES[kind](image)
    assert (opened.height, opened.width) == image.shape[:2]
    return [opened.cut(box, 64, interpolation, mirrored=False).astype(int) for box in BOXES]


@pytest.mark.parametrize("interpolation", resizing.INTERPOLATIONS)
def test_fast_views_are_pillows_to_a_grey_level(interpolation):
    image = photograph(190, 260)
    for box, view in zip(BOXES, cut("fast", image, interpolation), strict=True):
        part = Image.fromarray(image[box.top : box.bottom, box.left : box.right])
        pillow = part.resize((64, 64), resizing.INTERPOLATIONS[interpolation])
        apart = np.abs(view - np.asarray(pillow).astype(int))
        assert view.shape == (64, 64, 3)
        assert apart.max() <= 1 and apart.mean() < 0.3  # more where one pass is clipped


def test_only_aliased_views_have_steps():
    """A grid of single pixels is grey when it is made smaller; without antialiasing it is not."""
    y, x = np.mgrid[:256, :256]
    grid = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, -1)
    spread = {}
    for kind in ("exact", "fast", "aliased"):
        if kind in resizing.NEEDS:
            pytest.importorskip(resizing.NEEDS[kind][0])
        spread[kind] = (
            RESIZES[kind](grid).cut(Box(0, 0, 250, 250), 60, "bilinear", mirrored=False).std()
        )
    assert spread["exact"] < 4 and spread["fast"] < 4 and spread["aliased"] > 30


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("interpolation", resizing.INTERPOLATIONS)
def test_what_the_device_resizes_is_the_view_that_the_host_would_make(interpolation, mirrored):
    """Canvases of 128: longer parts are reduced before; two filters in a row are a bit softer."""
    image, boxes = photograph(190, 260), BOXES + (Box(9, 9, 10, 10), Box(100, 20, 228, 120))
    cuts = [RESIZES["device"](image).cut(b, 64, interpolation, mirrored=mirrored) for b in boxes]
    assert {cut.shape for cut in cuts} == {(128, 128, 3)}
    packed = [[b.top, b.left, b.bottom - b.top, b.right - b.left, mirrored, 260] for b in boxes]
    packed = np.array(packed, np.float32)
    got = augment.views_of(np.stack(cuts), packed, interpolation=interpolation)
    for box, view in zip(boxes, np.asarray(got), strict=True):
        want = RESIZES["exact"](image).cut(box, 64, interpolation, mirrored=mirrored)
        apart = np.abs(want.astype(int) - view)
        longer = max(box.right - box.left, box.bottom - box.top) > 128
        assert apart.max() <= (40 if longer else 1) and apart.mean() < (3 if longer else 0.3), box


def test_what_is_not_installed_is_said():
    with pytest.raises(ConfigError, match=r"x='y' needs nothing-like-it.*'m3i_jax\[fast\]'"):
        resizing.require("nothing_like_it", "nothing-like-it", "x='y'")
