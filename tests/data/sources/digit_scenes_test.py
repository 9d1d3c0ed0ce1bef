"""Digit scenes: reproducible, disjoint splits, and captions that say what is in the picture."""

import concurrent.futures
import itertools

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import digit_scenes as module
from m3i_jax.data.sources import scene_materials
from m3i_jax.data.sources.digit_scenes import COLOURS, DIGITS, digit_scenes

pytest.importorskip("sklearn")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def scenes():
    return digit_scenes("train", length=400, dark=0.5)  # both polarities, whatever the default


def test_a_record_depends_on_split_seed_and_index_alone(scenes):
    again = digit_scenes(
        "train", length=60, dark=0.5
    )  # another length is another prefix of the same scenes
    for i in (59, 3, 17):
        for x, y in zip(scenes[i], again[i], strict=True):
            assert np.array_equal(x, y)
    other = digit_scenes("train", length=60, seed=1, dark=0.5)
    test = digit_scenes("test", length=60, dark=0.5)
    assert not np.array_equal(scenes[3].image, other[3].image)
    assert not np.array_equal(scenes[3].image, test[3].image)


def test_threads_render_what_one_thread_renders(scenes):
    alone = [scenes[i].image for i in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: scenes[i % 64].image, range(256)))
    assert all(np.array_equal(alone[i % 64], x) for i, x in enumerate(together))


def test_every_prefix_is_balanced_and_covers_every_word(scenes):
    assert [scenes.scene(i).label for i in range(20)] == list(range(10)) * 2
    captions = list(itertools.islice(scenes.captions(), 400))
    words = set(" ".join(captions).replace(",", "").split())
    assert words >= {"small", "medium", "large", "upper", "lower", "left", "right", *DIGITS}
    assert words >= set(COLOURS)
    assert words >= {w for p in scene_materials.PHOTOGRAPHS for w in p.noun.split()}


def test_captions_agree_with_label_box_colour_and_photograph(scenes):
    for i, caption in zip(range(200), scenes.captions(), strict=False):
        sample, scene = scenes[i], scenes.scene(i)
        assert caption == sample.caption
        article, size, *colour, digit = caption.partition(" on a photograph")[0].split()
        row, column = caption.rpartition(", ")[2].split()
        assert article == "a" and digit == DIGITS[sample.label]
        assert f"of {scene_materials.PHOTOGRAPHS[scene.photograph].noun}," in caption
        top, left, height, width = sample.box
        # Two pixels: pen strokes end inside the 8 x 8 square, and the square may be turned.
        low, high = (48 * bound for bound in scenes.recipe.digit)
        third = (high - low) / 3
        bounds = {"small": (0, low + third), "medium": (low + third, high - third)}
        bounds["large"] = (high - third, 48)
        assert bounds[size][0] - 5 <= max(height, width) <= bounds[size][1] + 5
        assert ("upper", "middle", "lower")[int((scene.top + scene.tall / 2) // 16)] == row
        assert ("left", "centre", "right")[int((scene.left + scene.tall / 2) // 16)] == column
        assert abs(top + height / 2 - scene.top - scene.tall / 2) < 4
        assert abs(left + width / 2 - scene.left - scene.tall / 2) < 8
        # The paint is nearest to the palette colour that the caption names ...
        shade = module.DARKER if scene.dark else 1.0
        far = {c: np.abs(scene.rgb - shade * np.array(COLOURS[c])).sum() for c in COLOURS}
        name = min(far, key=far.get)
        name = module.DARK_NAMES.get(name, f"dark {name}") if scene.dark else name
        assert name == " ".join(colour)
        # ... and the inner pixels of the digit show it, up to what its opacity lets through.
        inside = sample.image[sample.mask > 0].astype(float)
        off = np.abs(inside - scene.rgb).max(1)
        assert np.sort(off)[: max(5, len(off) // 4)].max() <= (1 - scene.opacity) * 255 + 2


def test_mask_and_box_hold_the_digit_and_it_stands_out(scenes):
    for i in range(100):
        sample = scenes[i]
        top, left, height, width = sample.box.astype(int)
        assert sample.image.shape == (48, 48, 3) and sample.image.dtype == np.uint8
        assert sample.mask.shape == (48, 48) and sample.mask.dtype == np.uint8
        assert set(np.unique(sample.mask)) == {0, sample.label + 1}
        rows, columns = np.nonzero(sample.mask)
        assert (rows.min(), rows.max()) == (top, top + height - 1)
        assert (columns.min(), columns.max()) == (left, left + width - 1)
        assert 20 < (sample.mask > 0).sum() < 0.5 * 48 * 48
        around = sample.image[top : top + height, left : left + width]
        digit = sample.mask[top : top + height, left : left + width] > 0
        # Off its surroundings by about the contrast asked for, the right way; edges are mixed.
        luminance = around @ np.array([0.299, 0.587, 0.114]) / 255
        lead = luminance[digit].mean() - luminance[~digit].mean()
        assert (-lead if scenes.scene(i).dark else lead) > scenes.recipe.contrast / 2
    assert {scenes.scene(i).dark for i in range(100)} == {False, True}
    assert not any(digit_scenes("train", length=50, dark=0.0).scene(i).dark for i in range(50))


def test_other_sizes_show_the_same_scene():
    small, large = (
        digit_scenes("test", size=32, length=10),
        digit_scenes("test", size=96, length=10),
    )
    for i in range(10):
        assert small[i].label == large[i].label
        np.testing.assert_allclose(small[i].box * 3, large[i].box, atol=6)


def test_fingerprint_names_the_recipe(scenes):

    def make(split="train", **change):
        return digit_scenes(split, **{"length": 400, "dark": 0.5, **change})

    same = make().fingerprint()
    assert same == scenes.fingerprint()
    others = [make(seed=1), make("test"), make(length=401), make(clutter=0.1), make(dark=0.0)]
    assert len({same, *(o.fingerprint() for o in others)}) == 6


@pytest.mark.parametrize(
    "arguments,said",
    [
        (dict(split="val"), "train"),
        (dict(size=4), "size is 4"),
        (dict(length=0), "length 0"),
        (dict(digit=(0.5, 0.2)), "digit is"),
        (dict(opacity=(0.5, 2.0)), "opacity is"),
        (dict(clutter=-1.0), "clutter is"),
        (dict(light=1.5), "light is"),
        (dict(dark=1.5), "dark is"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments, said):
    with pytest.raises(ConfigError, match=said):
        digit_scenes(**{"split": "train", **arguments})


def test_light_scales_the_photograph_and_moves_nothing():
    plain, lit = (digit_scenes("train", length=40, dark=0.0, light=v) for v in (0.0, 0.8))
    for i in range(40):
        even, slope = plain.scene(i).light, lit.scene(i).light
        assert np.array_equal(even, [[0, 0, 0], [0, 0, 0], [1, 1, 1]])  # times (y, x, 1)
        assert (np.abs(slope[2] - 1) <= 0.4).all() and np.abs(slope[:2]).sum(0).max() <= 0.8 * 1.4
        assert np.array_equal(plain[i].mask, lit[i].mask)
    assert not np.array_equal(plain[0].image, lit[0].image)


def test_records_outside_are_an_index_error(scenes):
    for i in (-1, 400):
        with pytest.raises(IndexError):
            scenes[i]
