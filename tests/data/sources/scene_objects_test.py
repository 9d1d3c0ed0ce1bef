"""Scenes of several digits: what is said is what is seen, and no digit is in both splits."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.data.sources import outlines, sample_objects
from m3i_jax.data.sources.digit_scenes import DIGITS, digit_scenes

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

HOW = dict(size=64, length=40, digit=(0.2, 0.45), objects=5)


@pytest.fixture(scope="module")
def scenes():
    return digit_scenes("train", **HOW)


@pytest.fixture(scope="module")
def samples(scenes):
    return [scenes[i] for i in range(len(scenes))]


def test_what_is_said_of_objects_is_what_is_seen(scenes, samples):
    counts, hidden = set(), 0
    for index, sample in enumerate(samples):
        objects, digits = sample.objects, scenes.layout(index)
        sample_objects.checked(objects, 64, 64)
        shown, shares = scenes.seen(digits)
        assert 2 <= len(digits) <= 5 and sample.image.shape == (64, 64, 3)
        counts.add(len(digits))
        hidden += int((shares < 1).sum())
        assert (shown.sum(0) <= 1).all(), "a pixel shows one digit"
        masks = [outlines.decoded(runs) for runs in objects.outlines]
        for k, mask in enumerate(masks):
            rows, columns = np.nonzero(mask)
            tight = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            np.testing.assert_array_equal(objects.corners[k], tight)
            assert objects.area[k] == mask.sum()
            assert (sample.mask[mask] == objects.categories[k] + 1).all()
        assert (sample.mask > 0).sum() == sum(mask.sum() for mask in masks)
        assert not objects.crowd.any() and sample.label == -1 and sample.box is None
        assert len({digit.colour for digit in digits}) == len(digits)
    assert counts == {2, 3, 4, 5} and hidden > 10


def test_the_nearer_and_larger_digit_hides_the_other(scenes):
    for index in range(40):
        digits = scenes.layout(index)
        assert [one.tall for one in digits] == sorted(one.tall for one in digits)
        shown, shares = scenes.seen(digits)
        own = [scenes._one.cover(one) > 0.5 for one in digits]
        np.testing.assert_array_equal(shown[-1], own[-1])
        assert shares[-1] == 1
        for k in range(len(digits)):
            behind = own[k].copy()
            for nearer in own[k + 1 :]:
                behind &= ~nearer
            np.testing.assert_array_equal(shown[k], behind)


def test_digits_are_mostly_seen(scenes):
    shares = np.concatenate([scenes.seen(scenes.layout(i))[1] for i in range(40)])
    assert (shares > 0.5).mean() > 0.9


def test_no_handwriting_is_in_both_splits(scenes):
    other = digit_scenes("test", **HOW)
    train, test = (
        {one.digit for i in range(40) for one in source.layout(i)} for source in (scenes, other)
    )
    assert max(train) < 1437 <= min(test)
    assert (scenes[3].image != other[3].image).any()


def test_a_record_depends_on_split_seed_and_index_alone(scenes, samples):
    again = digit_scenes("train", **HOW | dict(length=50))
    for index in (0, 7):
        np.testing.assert_array_equal(again[index].image, samples[index].image)
    assert (digit_scenes("train", **HOW, seed=1)[7].image != samples[7].image).any()
    prints = {scenes.fingerprint(), digit_scenes("train", **HOW | dict(objects=4)).fingerprint()}
    one = digit_scenes("train", **HOW | dict(objects=1))
    assert len(prints | {one.fingerprint()}) == 3 and one[0].objects is None
    with pytest.raises(IndexError):
        scenes[40]


def test_captions_name_the_digits_the_nearest_first(scenes, samples):
    assert [sample.caption for sample in samples] == list(scenes.captions())
    digits, caption = scenes.layout(3), samples[3].caption
    parts = caption.split("; ")
    assert len(parts) == len(digits) + 1 and parts[-1].startswith("on a photograph of ")
    for part, digit in zip(parts, digits[::-1], strict=False):
        assert f" {digit.colour} {DIGITS[digit.label]}, " in part


def test_depth_is_that_of_who_is_seen():
    scenes = digit_scenes("train", **HOW, dense=True)
    sample, digits = scenes[5], scenes.layout(5)
    shown, _ = scenes.seen(digits)
    for digit, pixels in zip(digits, shown, strict=True):
        np.testing.assert_allclose(sample.depth[pixels], 0.15 * 64 / digit.tall, rtol=1e-6)
    assert sample.depth[~shown.any(0)].min() > sample.depth[shown.any(0)].max()
    assert sample.points is None


def test_a_config_opens_it_for_both_splits():
    block = dict(name="digit_scenes", **HOW)
    train = data.source(block, split="train")
    test = data.source(block, split="test", classes=train.classes)
    assert train.object_names == test.object_names == DIGITS and train.classes == ()
    assert train.categories == ("ground", *DIGITS)
    assert Image.fromarray(test[0].image).size == (64, 64)
    assert test.where(0) == "digit_scenes/test/0"
