"""Maps at another size against PyTorch, and by what must stay as it is."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry

SIZES = [
    ((5, 7), (11, 3)),
    ((4, 6), (16, 24)),
    ((9, 8), (4, 4)),
    ((2, 3), (2, 3)),
    ((1, 5), (6, 6)),
]


def drawn(shape):
    return np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)


@pytest.mark.parametrize("size, to", SIZES)
def test_both_are_those_of_pytorch(size, to):
    functional = pytest.importorskip("torch.nn.functional")
    from_numpy = pytest.importorskip("torch").from_numpy
    x = drawn(size)
    theirs = from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2)
    want = functional.interpolate(theirs, size=to, mode="bilinear", align_corners=False)
    got = geometry.bilinear(x, to)
    np.testing.assert_allclose(got, want.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)
    want = functional.adaptive_avg_pool2d(theirs, to)
    got = geometry.adaptive_mean(x, to)
    np.testing.assert_allclose(got, want.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_a_plane_stays_a_plane_inside_and_edges_are_repeated():
    rows, columns = np.mgrid[:4, :5].astype(np.float32) + 0.5
    plane = (2 * rows + 3 * columns)[None, ..., None]
    got = geometry.bilinear(plane, (8, 10))[0, ..., 0]
    rows, columns = (np.mgrid[:8, :10] + 0.5) / 2
    want = 2 * np.clip(rows, 0.5, 3.5) + 3 * np.clip(columns, 0.5, 4.5)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_results_are_float32_and_its_own_size_is_itself():
    x = jnp.asarray(drawn((3, 4)), jnp.bfloat16)
    for fn in (geometry.bilinear, geometry.adaptive_mean):
        got = fn(x, (3, 4))
        assert got.dtype == jnp.float32
        np.testing.assert_array_equal(got, x.astype(jnp.float32))
    mean = geometry.adaptive_mean(x, (1, 1))[:, 0, 0]
    np.testing.assert_allclose(mean, np.float64(x).mean((1, 2)), rtol=1e-5)
