"""Random erasing: who is erased, how large, where, and by what; against a plain loop."""

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from m3i_jax import augment
from m3i_jax.augment.erasing import rectangles

HEIGHT, WIDTH = 48, 36


def host_rectangles(count, height, width):
    """Zhong et al. (2020) with timm's constants, image by image: (top, left, height, width)."""
    rng, found = random.Random(0), []
    for _ in range(count):
        for _ in range(10):
            area = rng.uniform(0.02, 1 / 3) * height * width
            ratio = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < height and w < width:
                found.append((rng.randint(0, height - h), rng.randint(0, width - w), h, w))
                break
        else:
            found.append((0, 0, 0, 0))
    return np.array(found).T


def boxes(inside):
    """(top, left, height, width) of each mask; refuses what is no rectangle."""
    inside = np.asarray(inside)
    rows, columns = inside.any(2), inside.any(1)
    np.testing.assert_array_equal(inside, rows[:, :, None] & columns[:, None, :])
    for line in (rows, columns):  # in one piece: at most one beginning
        assert (np.diff(line.astype(int), axis=1, prepend=0) == 1).sum(1).max() == 1
    return rows.argmax(1), columns.argmax(1), rows.sum(1), columns.sum(1)


def test_rectangles_are_distributed_as_a_plain_loop_has_them(key):
    n = 20_000
    found = boxes(jax.jit(lambda k: rectangles(k, n, HEIGHT, WIDTH))(key))
    wanted = host_rectangles(n, HEIGHT, WIDTH)
    for ours, theirs in zip((*found, found[2] * found[3]), (*wanted, wanted[2] * wanted[3]),
                            strict=True):  # fmt: skip
        assert ks_2samp(ours, theirs).pvalue > 1e-3
    area = found[2] * found[3] / (HEIGHT * WIDTH)
    # Two sides rounded by half a pixel at most, of which the shorter may be 3.
    assert 0.014 < area.min() < 0.03 and 0.32 < area.max() < 0.36
    assert (found[2] < HEIGHT).all() and (found[3] < WIDTH).all()
    assert (found[0] + found[2]).max() == HEIGHT and (found[1] + found[3]).max() == WIDTH


def test_an_image_in_which_no_rectangle_fits_stays_whole(key):
    # A line is as long as any rectangle in it is wide.
    assert not jax.jit(lambda k: rectangles(k, 64, 1, 40))(key).any()


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_a_share_of_the_images_has_noise_inside_and_itself_outside(key, probability):
    n = 2000
    images = 7.0 + jax.random.uniform(jax.random.key(3), (n, 24, 24, 3))  # no noise reaches 7
    got = np.asarray(jax.jit(augment.random_erasing, static_argnames="probability")(
        key, images, probability=probability
    ))  # fmt: skip
    changed = (got != np.asarray(images)).all(-1)
    np.testing.assert_array_equal(changed, (got != np.asarray(images)).any(-1))
    boxes(changed)
    erased = changed.any((1, 2)).mean()
    assert abs(erased - probability) < 4 * math.sqrt(probability * (1 - probability) / n) + 1e-9
    noise = got[changed]  # every value by itself: three channels of a pixel are three draws
    assert kstest(noise.ravel()[:50_000], "norm").pvalue > 1e-3
    correlation = np.corrcoef(noise.T) - np.eye(3)
    assert abs(correlation).max() < 5 / math.sqrt(len(noise))


def test_probability_zero_erases_nothing_and_no_other_is_taken(key):
    images = jnp.ones((4, 8, 8, 3))
    np.testing.assert_array_equal(augment.random_erasing(key, images, probability=0.0), images)
    certain = [augment.random_erasing(key, images, probability=one) for one in (1, 1.0)]
    np.testing.assert_array_equal(*certain)  # a config may say 1
    with pytest.raises(ValueError, match="erasing is between 0 and 1, not 1.5"):
        augment.random_erasing(key, images, probability=1.5)


def test_erasing_does_not_depend_on_the_number_of_devices(key):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    images = jnp.zeros((16, 12, 12, 3))
    fn = jax.jit(lambda k, x: augment.random_erasing(k, x, probability=0.5))
    here, there = fn(key, images), fn(key, jax.device_put(images, rows))
    np.testing.assert_array_equal(here, there)
    assert 0 < (np.asarray(here) != 0).any((1, 2, 3)).sum() < 16
