import functools
import types as python_types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax.data.epoch import Rows
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.evaluation import features
from m3i_jax.evaluation.probes.knn import knn
from m3i_jax.evaluation.probes.lars import lars
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.types import Batch


def passes(images, labels, batch, *, extra=0):
    """One ordered pass whose last batch (and `extra` further ones) are filled up with padding."""
    n = len(images)
    total = -(-n // batch) * batch + extra * batch
    # Padding that would change every number if it counted.
    images = np.concatenate([images, np.full((total - n, *images.shape[1:]), 255, np.uint8)])
    labels = np.concatenate([labels, np.zeros(total - n, np.int32)])
    for i in range(0, total, batch):
        part = slice(i, i + batch)
        number = np.arange(i, i + batch)
        yield Rows(Batch({"a": images[part]}, {}, labels[part]), number < n, number)


def data(n, side=2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (n, side, side, 3)).astype(np.uint8)
    return images, rng.integers(0, 3, n).astype(np.int32)


@jax.jit
def flat(images):
    return images.reshape(images.shape[0], -1).astype(jnp.float32)


@pytest.mark.parametrize("batch", range(1, 9))
def test_counts_are_exact_whatever_the_padding(batch):
    for n in range(1, 34):
        images, labels = data(n, seed=n)
        # NumPy stands in for the compiled function: the counting is the host's.
        table = features.extract(
            lambda x: x.reshape(len(x), -1), passes(images, labels, batch), length=n, put=np.asarray
        )
        np.testing.assert_array_equal(table.features, images.reshape(n, -1))
        np.testing.assert_array_equal(table.labels, labels)
        assert table.features.dtype == np.float32 and table.labels.dtype == np.int32
        assert np.mean(table.labels == 0) == np.mean(labels == 0)


@pytest.mark.parametrize("n", [3, 13, 16, 33])
@pytest.mark.parametrize("batch", [1, 5, 8])
def test_metrics_of_a_padded_pass_equal_numpy(n, batch):
    # Queries are the bank, k = 1: each row finds itself, unless its label or order is confused.
    images, labels = data(n, seed=3)
    table = features.extract(flat, passes(images, labels, batch), length=n)
    noisy = table._replace(labels=np.where(np.arange(n) % 3 == 0, 7, table.labels))
    expected = np.mean(np.arange(n) % 3 != 0)
    assert knn(table, noisy, k=1, chunk=4)[1] == pytest.approx(expected, abs=1e-12)


def test_the_pipeline_of_the_library_gives_such_passes():
    from m3i_jax.data.epoch import epoch

    class Numbers:
        name, classes = "numbers", ("even", "odd")

        def __len__(self):
            return 11

        def __getitem__(self, i):
            return Sample(np.full((4, 4, 3), 10 * i, np.uint8), i % 2)

        def captions(self):
            return ()

        def fingerprint(self):
            return "numbers"

    table = features.extract(flat, epoch(Numbers(), batch=4, size=4, ratio=1.0), length=11)
    np.testing.assert_array_equal(table.features[:, 0], 10.0 * np.arange(11))
    np.testing.assert_array_equal(table.labels, np.arange(11) % 2)


def test_wholly_padded_batches_change_nothing():
    images, labels = data(5)
    table = features.extract(flat, passes(images, labels, 4, extra=2), length=5)
    assert table.features.shape == (5, 12)


@pytest.mark.parametrize("length", [12, 14, 16])
def test_a_pass_of_another_length_fails_with_a_sentence(length):
    images, labels = data(13)
    with pytest.raises(ValueError, match=f"gave 13 rows, but the data set has {length}"):
        features.extract(flat, passes(images, labels, 4), length=length)


def test_an_empty_data_set_and_broken_features_fail_with_a_sentence():
    with pytest.raises(ValueError, match="nothing to evaluate"):
        features.extract(flat, iter(()), length=0)
    images, labels = data(5)
    with pytest.raises(ValueError, match="5 of 5 rows have features that are not finite"):
        features.extract(lambda x: flat(x) * jnp.nan, passes(images, labels, 4), length=5)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("what", ["kNN", "a probe"])
@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda x, y: (np.where(np.arange(12)[:, None] < 3, np.nan, x), y), "3 rows with features"),
        (lambda x, y: (x * np.float32(1e38) * 10, y), "12 rows with features that are not finite"),
        (lambda x, y: (x, y[:5]), r"features of shape \(12, 4\) and labels of shape \(5,\)"),
        (lambda x, y: (x, y[:, None]), r"labels of shape \(12, 1\)"),
        (lambda x, y: (x[:, 0], y), r"features of shape \(12,\)"),
        (lambda x, y: (x, y.astype(float)), "labels of type float64, which are no whole numbers"),
        (lambda x, y: (x, y > 0), "labels of type bool"),
        (lambda x, y: (x[:, :2], y), "features per row and the test set"),
        (lambda x, y: (x[:0], y[:0]), "set is empty"),
    ],
)
def test_tables_that_give_no_number_are_refused_by_every_measure(which, what, change, sentence):
    x = (1 + np.arange(48, dtype=np.float32).reshape(12, 4) ** 2) % 7
    whole = features.FeatureSet(x, np.arange(12, dtype=np.int32) % 3)
    tables = [whole, whole]
    with np.errstate(over="ignore"):
        tables[which] = features.FeatureSet(*change(*whole[:2]))
    measure = {"kNN": knn, "a probe": functools.partial(lars, jax.random.key(0))}[what]
    with pytest.raises(ValueError, match=sentence):
        measure(*tables)


@pytest.mark.parametrize("measure", [knn, lbfgs, functools.partial(lars, None)])
def test_one_class_is_no_choice(measure):
    x, labels = np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32)
    with pytest.raises(features.NotMeasurable, match="the training set has one only"):
        measure(features.FeatureSet(x, 0 * labels), features.FeatureSet(x, labels))


def test_batches_are_dispatched_before_the_host_waits():
    images, labels = data(10)
    asked, used = [], []

    def stream():
        for i, rows in enumerate(passes(images, labels, 1)):
            asked.append(i)
            yield rows

    class Result(python_types.SimpleNamespace):
        def __array__(self, dtype=None, copy=None):
            used.append(len(asked))
            return self.x

    features.extract(lambda x: Result(x=x.reshape(1, -1)), stream(), length=10, put=np.asarray)
    assert used[0] == features.AHEAD + 1
    assert len(used) == 10


def test_one_and_eight_devices_give_equal_features(key):
    weight = jax.random.normal(key, (12, 5))

    @jax.jit
    def apply(images):
        return jnp.tanh(flat(images) / 255 @ weight)

    images, labels = data(21)
    mesh = jax.make_mesh((8,), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    one = features.extract(apply, passes(images, labels, 8), length=21)
    eight = features.extract(
        apply,
        passes(images, labels, 8),
        length=21,
        put=lambda x: jax.device_put(x, rows),
    )
    # Products of 12 terms in float32; only the order of summation may differ.
    np.testing.assert_allclose(one.features, eight.features, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(one.labels, eight.labels)
    assert len(jax.device_put(images[:8], rows).sharding.device_set) == 8


def test_raw_pixels():
    images, _ = data(3, side=4)
    np.testing.assert_allclose(
        features.raw_pixels(images), images.reshape(3, -1) / 255.0, rtol=1e-6
    )
    blocks = images.reshape(3, 2, 2, 2, 2, 3).mean((2, 4)).reshape(3, -1) / 255.0
    np.testing.assert_allclose(features.raw_pixels(images, side=2), blocks, rtol=1e-6)
    with pytest.raises(ValueError, match="4x4 pixels do not divide into 3 blocks"):
        features.raw_pixels(images, side=3)
