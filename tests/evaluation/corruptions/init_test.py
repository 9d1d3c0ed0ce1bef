"""Every corruption of every size is an image, and a function of its number alone."""

import numpy as np
import pytest

from m3i_jax.evaluation import corruptions


@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
@pytest.mark.parametrize("side", [8, 28, 97])
def test_an_image_is_corrupted_alike_in_every_batch(name, side):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3)).astype(np.uint8)
    images[2] = 0  # black is an image, too
    numbers = np.array([5, 700, 6])
    for severity in (1, 5):
        how = dict(name=name, severity=severity, table=corruptions.chosen(side))
        made = corruptions.corrupted(images, numbers, **how)
        assert made.shape == images.shape and made.dtype == np.uint8
        again = corruptions.corrupted(images[1:2], numbers[1:2], **how)
        np.testing.assert_array_equal(again, made[1:2])


@pytest.mark.parametrize("name", ["gaussian_noise", "glass_blur", "fog", "elastic_transform"])
def test_what_is_drawn_differs_by_number_seed_and_severity(name):
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    base = dict(name=name, severity=3, table="cifar", seed=0)
    first = corruptions.corrupted(image, np.array([1]), **base)
    others = [(2, {}), (1, {"seed": 1}), (1, {"severity": 4})]
    for number, change in others:
        made = corruptions.corrupted(image, np.array([number]), **{**base, **change})
        assert (made != first).any()


def test_the_standard_ones_are_those_of_the_paper_but_for_frost():
    assert len(corruptions.STANDARD) == 14 and len(corruptions.CORRUPTIONS) == 18
    assert not set(corruptions.EXTRA) & set(corruptions.STANDARD)
