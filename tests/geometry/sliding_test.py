"""Windows against networks that do not know where they look, and counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry
from m3i_jax.geometry import sliding

RNG = np.random.default_rng(8)
IMAGES = RNG.normal(size=(2, 11, 17, 3)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 4)).astype(np.float32)


def pointwise(x):
    """A 1 x 1 convolution."""
    return jnp.einsum("bhwc,cd->bhwd", x, KERNEL, precision="highest")


def window_mean(x):
    """What knows its window and nothing of where it is."""
    return jnp.broadcast_to(x.mean((1, 2, 3), keepdims=True), (*x.shape[:3], 1))


def by_hand(images, tops, lefts, height, width):
    total, count = np.zeros((2, 11, 17, 1)), np.zeros((11, 17))
    for top in tops:
        for left in lefts:
            at = np.s_[top : top + height, left : left + width]
            total[:, *at] += images[:, *at].mean((1, 2, 3), keepdims=True)
            count[at] += 1
    return total / count[None, :, :, None]


@pytest.mark.parametrize(
    "window, stride", [((5, 7), (3, 4)), ((5, 20), (5, 20)), ((11, 17), (1, 1))]
)
def test_a_network_of_single_pixels_does_not_know_windows(window, stride):
    slid = jax.jit(geometry.windows(pointwise, window=window, stride=stride))
    np.testing.assert_allclose(slid(IMAGES), pointwise(IMAGES), rtol=1e-6, atol=1e-6)


def test_what_overlaps_is_the_mean_of_its_windows():
    slid = geometry.windows(window_mean, window=(5, 7), stride=(3, 4))(IMAGES)
    wanted = by_hand(IMAGES, (0, 3, 6), (0, 4, 8, 10), 5, 7)
    np.testing.assert_allclose(slid, wanted, atol=1e-6)
    squares = geometry.squares(window_mean, count=4)(IMAGES)
    np.testing.assert_allclose(squares, by_hand(IMAGES, (0,), (0, 2, 4, 6), 11, 11), atol=1e-6)
    np.testing.assert_allclose(
        geometry.squares(pointwise, count=2)(IMAGES), pointwise(IMAGES), rtol=1e-6, atol=1e-6
    )


def test_windows_begin_where_the_published_tests_have_them():
    """As many as ⌈(side − window)/stride⌉ + 1, the last one moved inside."""
    assert sliding.starts(2048, 512, 341) == (0, 341, 682, 1023, 1364, 1536)
    assert sliding.starts(512, 512, 341) == sliding.starts(300, 512, 341) == (0,)
    for side in range(1, 40):
        begin = sliding.starts(side, 7, 3)
        assert len(begin) == max(-(-(side - 7) // 3), 0) + 1
        assert len({*begin}) == len(begin) and begin[-1] == max(side - 7, 0)
    assert sliding.spread(640, 480, 2) == (0, 160)
    kitti = sliding.spread(1216, 352, 16)
    assert kitti[:2] == (0, 57) and kitti[-1] == 864 and len(kitti) == 16


def test_the_network_is_traced_once_however_many_windows_there_are():
    traced = []

    def counting(x):
        traced.append(x.shape)
        return pointwise(x)

    jax.jit(geometry.windows(counting, window=(3, 3), stride=(1, 1)))(IMAGES)
    assert {*traced} == {(2, 3, 3, 3)} and len(traced) <= 3


def test_gaps_and_answers_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"a stride of \(6, 4\) leave gaps"):
        geometry.windows(pointwise, window=(5, 7), stride=(6, 4))
    with pytest.raises(ValueError, match="leave gaps"):
        geometry.windows(pointwise, window=(5, 7), stride=(0, 4))
    smaller = geometry.windows(lambda x: x[:, ::2], window=(4, 4), stride=(4, 4))
    with pytest.raises(ValueError, match=r"answers \(2, 2, 4, 3\) to windows of \(2, 4, 4, 3\)"):
        smaller(IMAGES)
    with pytest.raises(ValueError, match="1 windows of 11 pixels do not cover a side of 17"):
        geometry.squares(pointwise, count=1)(IMAGES)
    with pytest.raises(ValueError, match="do not cover"):
        geometry.squares(pointwise, count=9)(IMAGES.swapaxes(1, 2))
