"""The photometric recipe: probabilities, independence of samples, order of the operations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import augment
from m3i_jax.augment import recipes

OFF = dict(jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(7), (256, 8, 8, 3))


def photometric(key, images, **options):
    return jax.jit(partial(recipes.photometric, **options))(key, images)


def changed(key, images, **options):
    got = photometric(key, images, **(OFF | options))
    return got, np.asarray((got != images).any((1, 2, 3)))


def test_probability_zero_everywhere_is_the_identity(key, images):
    np.testing.assert_array_equal(recipes.photometric(key, images, **OFF), images)


@pytest.mark.parametrize(
    "name, fn",
    [("grayscale", augment.grayscale), ("solarize", augment.solarize)],
)
def test_a_share_of_the_samples_is_changed_and_the_others_are_untouched(key, images, name, fn):
    got, rows = changed(key, images, **{name: 0.3})
    assert abs(rows.mean() - 0.3) < 4 * 0.46 / 16
    # Two programs: grey differs in the last place.
    np.testing.assert_allclose(got[rows], fn(images)[rows], atol=2e-7)
    always, rows = changed(key, images, **{name: 1.0})
    assert rows.all()
    np.testing.assert_allclose(always, fn(images), atol=2e-7)


@pytest.mark.parametrize("name", ["jitter", "blur"])
def test_jitter_and_blur_have_their_probability_too(key, images, name):
    images = jax.image.resize(images[:128], (128, 64, 64, 3), "nearest")
    _, rows = changed(key, images, **{name: 0.5})
    assert abs(rows.mean() - 0.5) < 4 * 0.5 / 128**0.5


def test_output_is_float32_within_zero_and_one(key, images):
    options = dict(brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, jitter=1.0, solarize=0.5)
    got = jax.jit(partial(recipes.photometric, **options))(key, images)
    assert got.dtype == jnp.float32 and got.shape == images.shape
    assert got.min() >= 0 and got.max() <= 1


def test_samples_draw_for_themselves(key):
    same = jnp.tile(jax.random.uniform(key, (1, 64, 64, 3)), (16, 1, 1, 1))
    draw = jax.jit(partial(recipes.photometric, jitter=1.0))
    got = np.asarray(draw(key, same))
    assert len({g.tobytes() for g in got}) == 16
    np.testing.assert_array_equal(draw(key, same), got)
    other = np.asarray(draw(jax.random.key(9), same))
    assert abs(other - got).max() > 0.05


def test_changing_one_probability_moves_no_other_draw(key, images):
    _, alone = changed(key, images, solarize=0.3)
    both = photometric(key, images, **(OFF | dict(grayscale=0.3, solarize=0.3)))
    gray = photometric(key, images, **(OFF | dict(grayscale=0.3)))
    np.testing.assert_array_equal(np.asarray((both != gray).any((1, 2, 3))), alone)


def test_blur_comes_before_solarisation(key):
    images = jax.random.uniform(key, (4, 64, 64, 3))
    got = photometric(key, images, **(OFF | dict(blur=1.0, solarize=1.0)))
    blurred = photometric(key, images, **(OFF | dict(blur=1.0)))
    np.testing.assert_allclose(got, augment.solarize(blurred), atol=1e-6)


@pytest.mark.parametrize("side, sigma", [(224, (0.1, 2.0)), (96, (0.1, 2.0)), (32, (0.1, 0.4))])
def test_the_blur_is_in_pixels_of_the_view(key, side, sigma):
    """DINO's and MSN's small crops are blurred as their views, by U(.1, 2) pixels."""
    images = np.zeros((256, side, side, 3), np.float32)
    images[:, side // 2, side // 2] = 1.0
    line = photometric(key, images, **(OFF | dict(blur=1.0, sigma=sigma)))[:, side // 2, :, 0]
    line = np.asarray(line / line.sum(1, keepdims=True), np.float64)
    # The ratio of the centre to its neighbour gives σ, whatever the reach of the kernel.
    ratio = line[:, side // 2] / np.maximum(line[:, side // 2 + 1], 1e-30)
    widths = np.sort(np.sqrt(0.5 / np.log(ratio)))[16:]  # the narrowest leave the neighbour at 0
    expected = sigma[0] + (sigma[1] - sigma[0]) * (np.arange(16, 256) + 0.5) / 256
    assert widths[-1] <= sigma[1] * (1 + 1e-5)
    # Kolmogorov's distance: more than 1.63 / √256 of the span once in a hundred keys.
    assert np.abs(widths - expected).max() < 1.63 / 16 * (sigma[1] - sigma[0])


def test_small_crops_have_room_for_their_blur(key):
    """Widths of 2 pixels at 96: what lies beyond the kernel's 3σ is .3 % of the weight."""
    images = np.zeros((4, 96, 96, 3), np.float32)
    images[:, 48, 48] = 1.0
    got = photometric(key, images, **(OFF | dict(blur=1.0, sigma=(2.0, 2.0))))[0, :, :, 0]
    line, place = np.asarray(got.sum(0), np.float64), np.arange(96) - 48
    np.testing.assert_allclose(np.sqrt((line * place**2).sum()), 2.0, rtol=0.02)


@pytest.mark.parametrize("sigma", [(2.0, 0.1), (-1.0, 2.0), (1.0,)])
def test_widths_that_are_none_are_refused(key, images, sigma):
    with pytest.raises(ValueError, match="sigma"):
        recipes.photometric(key, images, sigma=sigma)


def test_a_stage_of_probability_zero_is_not_in_the_program(key, images):
    def operations(**options):
        fn = partial(recipes.photometric, **(OFF | options))
        return str(jax.make_jaxpr(fn)(key, images))

    assert "dot_general" in operations(blur=0.1) and "dot_general" not in operations(jitter=1.0)
    assert "scan" in operations(jitter=0.1) and "scan" not in operations(blur=1.0)
    nothing = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    assert "scan" not in operations(jitter=1.0, **nothing)
    assert "argmax" not in operations(jitter=1.0, hue=0.0)


def test_a_probability_is_between_zero_and_one(key, images):
    with pytest.raises(ValueError, match="grayscale is between 0 and 1, not 1.2"):
        recipes.photometric(key, images, grayscale=1.2)


def test_three_augment_is_in_front_of_the_jitter(key, images):
    """The order of DeiT III: a grey picture is grey after its colours have changed, too."""
    strengths = dict(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.0)
    one = OFF | strengths | dict(solarize=1.0, exclusive=True)
    solarised = augment.solarize(images)
    got = photometric(key, images, **(one | dict(jitter=1.0)))
    jittered = photometric(key, solarised, **(OFF | strengths | dict(jitter=1.0)))
    np.testing.assert_allclose(got, jittered, atol=1e-6)


def test_erasing_comes_behind_normalisation_and_moves_no_other_draw(key, images):
    scaled = lambda x: 10.0 + x  # noqa: E731
    options = dict(jitter=0.5, grayscale=0.3, solarize=0.3, normalize=scaled)
    plain = np.asarray(photometric(key, images, **(OFF | options)))
    got = np.asarray(photometric(key, images, **(OFF | options | dict(erasing=0.25))))
    changed = abs(got - plain) > 1e-4  # two programs: the last place differs elsewhere
    erased = changed.any((1, 2, 3))
    assert abs(erased.mean() - 0.25) < 4 * 0.43 / 16
    # What is erased is N(0, 1) and not 10 + N(0, 1), nor cut off at 0 and 1.
    noise = got[changed]
    assert abs(noise.mean()) < 5 / noise.size**0.5 and abs(noise.std() - 1) < 0.1
    assert plain.min() >= 10


def test_at_most_one_of_three(key, images):
    """3-Augment: every sample is grey, blurred or solarised, a third of them each."""
    images = jax.image.resize(images[:192], (192, 64, 64, 3), "nearest")  # wide enough to blur
    third = dict(grayscale=1 / 3, blur=1 / 3, solarize=1 / 3, exclusive=True)
    got, rows = changed(key, images, **third)
    grey = np.abs(got - augment.grayscale(images)).max((1, 2, 3)) < 1e-6
    solar = np.abs(got - augment.solarize(images)).max((1, 2, 3)) < 1e-6
    assert not (grey & solar).any()
    for share in (grey.mean(), solar.mean()):
        assert abs(share - 1 / 3) < 4 * 0.47 / 192**0.5
    # The others are blurred, some so little that nothing is to be seen of it.
    others = ~grey & ~solar
    assert rows[others].mean() > 0.6 and rows[~others].all()
    # What is left of 1 stays as it is.
    _, rows = changed(key, images, grayscale=0.2, solarize=0.2, exclusive=True)
    assert abs(rows.mean() - 0.4) < 4 * 0.49 / 192**0.5


def test_more_than_one_in_all_is_refused(key, images):
    with pytest.raises(ValueError, match="add up to 1 or less, not to 1.2"):
        recipes.photometric(key, images, grayscale=0.6, blur=0.6, exclusive=True)


def test_a_blur_that_few_want_is_the_same_as_one_that_all_could_have(key, images):
    """One half and less are computed apart from the others, more are not."""
    options = OFF | dict(sigma=(1.0, 1.0))
    half = photometric(key, images, **options | dict(blur=recipes.SELDOM))
    rows = np.asarray((half != images).any((1, 2, 3)))
    assert abs(rows.mean() - 0.5) < 4 * 0.5 / 16
    all_of_them = photometric(key, images, **options | dict(blur=1.0))
    np.testing.assert_allclose(half[rows], all_of_them[rows], atol=1e-6)


def test_rand_augment_comes_first(key, images):
    settings = dict(magnitude=5.0, probability=1.0)
    got = photometric(key, images, **OFF | dict(grayscale=1.0), rand_augment=settings)
    own = jax.random.fold_in(key, 7)
    want = jax.jit(lambda x: augment.grayscale(augment.rand_augment(own, x, **settings)))(images)
    np.testing.assert_allclose(got, want, atol=1e-6)
