"""The quantiser against float64 loops, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import quantize

RNG = np.random.default_rng(0)
N, K, D = 96, 7, 5


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


POINTS = RNG.normal(size=(N, D)).astype(np.float32)
CODES = unit(RNG.normal(size=(K, D))).astype(np.float32)


def rows(*arrays):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.device_put(arrays, NamedSharding(mesh, PartitionSpec("data")))


def nearest(z, codes):
    z, codes = (unit(x.astype(np.float64)) for x in (z, codes))
    return np.array([np.argmin([((a - b) ** 2).sum() for b in codes]) for a in z])


def moved(codes, z, index, decay):
    out = codes.astype(np.float64)
    for k in range(len(out)):
        own = unit(z[index == k].astype(np.float64))
        if len(own):
            out[k] = unit(decay * out[k] + (1 - decay) * unit(own.mean(0)))
    return out


def kmeans(points, start, iterations):
    codes = start.astype(np.float64)
    for _ in range(iterations):
        index = nearest(points, codes)
        codes = np.stack(
            [
                unit(unit(points[index == k].astype(np.float64)).sum(0))
                if (index == k).any()
                else codes[k]
                for k in range(len(codes))
            ]
        )
    return codes


def test_the_nearest_code_is_the_nearest_on_the_sphere_at_any_length():
    index = jax.jit(quantize.nearest)(POINTS.reshape(8, 12, D), CODES)
    assert index.shape == (8, 12) and index.dtype == np.int32
    np.testing.assert_array_equal(index.reshape(-1), nearest(POINTS, CODES))
    lengths = RNG.uniform(0.1, 9, (K, 1)).astype(np.float32)
    np.testing.assert_array_equal(quantize.nearest(9 * POINTS, lengths * CODES), index.reshape(-1))


def test_every_code_is_nearest_to_itself_and_ties_go_to_the_lower():
    twice = np.concatenate([CODES, CODES])
    np.testing.assert_array_equal(quantize.nearest(twice, twice), np.r_[:K, :K])


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    z, codes = POINTS * 1e3, CODES[nearest(POINTS, CODES)]
    value = jax.jit(quantize.straight_through)(z, codes)
    np.testing.assert_array_equal(value, codes)  # z + (codes − z) would be rounded
    weights = RNG.normal(size=(N, D)).astype(np.float32)
    loss = lambda z, q: (quantize.straight_through(z, q) * weights).sum()  # noqa: E731
    to_z, to_codes = jax.grad(loss, argnums=(0, 1))(z, codes)
    np.testing.assert_array_equal(to_z, weights)
    assert not to_codes.any()


def start(key, count):
    return np.asarray(quantize.kmeans(key, POINTS, count, iterations=0))


def test_centroids_start_at_different_points(key):
    place = nearest(start(key, N), POINTS)
    np.testing.assert_array_equal(np.sort(place), np.arange(N))
    assert (place != np.arange(N)).any()
    np.testing.assert_allclose(start(key, N), unit(POINTS)[place], rtol=1e-6)
    assert (start(jax.random.fold_in(key, 1), K) != start(key, K)).any()


def test_kmeans_is_the_plain_loop(key):
    got = jax.jit(quantize.kmeans, static_argnums=2)(key, POINTS.reshape(8, 12, D), K)
    np.testing.assert_allclose(got, kmeans(POINTS, start(key, K), 10), rtol=2e-6, atol=2e-6)


def test_kmeans_finds_separate_clusters(key):
    centres = np.eye(D, dtype=np.float32)[:3]
    points = (centres.repeat(30, 0) + 0.05 * RNG.normal(size=(90, D))).astype(np.float32)
    found = [quantize.kmeans(k, points, 3) for k in jax.random.split(key, 8)]
    fit = [(unit(points) @ np.asarray(f).T).max(1).mean() for f in found]
    best = np.asarray(found[int(np.argmax(fit))])
    np.testing.assert_allclose((best @ centres.T).max(0), 1, atol=1e-2)


def test_an_empty_cluster_keeps_its_centroid(key):
    same = np.ones((4, D), np.float32)
    got = np.asarray(quantize.kmeans(key, same, 3))
    np.testing.assert_allclose(got, unit(same[:3]), rtol=1e-6)
    line = np.array([[1.0, 0], [-1, 0]], np.float32)  # at one centroid, and they cancel
    centroid = np.asarray(quantize.kmeans(key, line, 1))
    np.testing.assert_allclose(np.linalg.norm(centroid), 1, rtol=1e-6)


def test_kmeans_wants_enough_points(key):
    with pytest.raises(ValueError, match="96 points cannot start 97 centroids"):
        quantize.kmeans(key, POINTS, 97)


@pytest.mark.parametrize("decay", [0.99, 0.5])
def test_codes_move_towards_what_chose_them(decay):
    index = nearest(POINTS, CODES[:5]).astype(np.int32)  # two codes that nobody chose
    index[::4] = -1
    step = jax.jit(lambda c, z, i: quantize.moved(c, z, i, decay=decay))
    got = np.asarray(step(CODES, POINTS.reshape(8, 12, D), index.reshape(8, 12)))
    np.testing.assert_allclose(got, moved(CODES, POINTS, index, decay), rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(got[5:], CODES[5:])  # to the bit
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-6)
    assert abs(got[:5] - CODES[:5]).max() > 1e-3


def test_eight_devices_equal_one(key):
    index = nearest(POINTS, CODES).astype(np.int32)
    spread, chosen = rows(POINTS, index)
    nearest_code = jax.jit(quantize.nearest)
    np.testing.assert_array_equal(nearest_code(spread, CODES), nearest_code(POINTS, CODES))
    step = jax.jit(quantize.moved)
    np.testing.assert_allclose(step(CODES, spread, chosen), step(CODES, POINTS, index), atol=1e-6)
    cluster = jax.jit(quantize.kmeans, static_argnums=2)
    np.testing.assert_allclose(cluster(key, spread, K), cluster(key, POINTS, K), atol=1e-6)


def test_low_precision_is_raised_first():
    z = jnp.asarray(POINTS, jnp.bfloat16)
    exact = z.astype(jnp.float32)
    np.testing.assert_array_equal(quantize.nearest(z, CODES), quantize.nearest(exact, CODES))
    index = quantize.nearest(z, CODES)
    got = quantize.moved(CODES, z, index)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, quantize.moved(CODES, exact, index))
