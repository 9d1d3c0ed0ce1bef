"""Counts and IoU against loops over pixels, scikit-learn, and permutations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.metrics import segmentation

RNG = np.random.default_rng(3)
N = 7
LABELS = RNG.integers(0, N - 2, (6, 9, 8)).astype(np.uint8)  # two categories are nowhere labelled
LABELS[RNG.random(LABELS.shape) < 0.2] = 255
PREDICTION = np.where(
    RNG.random(LABELS.shape) < 0.6, LABELS % 255, RNG.integers(0, N - 1, LABELS.shape)
)
PREDICTION = PREDICTION.astype(np.int32)
count = jax.jit(segmentation.confusion, static_argnums=2)


def brute_force():
    """mIoU by sets of pixels."""
    named, ious = LABELS != 255, []
    for c in range(N):
        said, true = (PREDICTION == c) & named, (LABELS == c) & named
        union = sum(bool(a or b) for a, b in zip(said.flat, true.flat, strict=True))
        both = sum(bool(a and b) for a, b in zip(said.flat, true.flat, strict=True))
        ious.append(both / union if union else np.nan)
    return ious


def test_counts_and_scores_are_those_of_loops_and_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    counts = np.asarray(count(PREDICTION, LABELS, N))
    named = LABELS != 255
    true, said = LABELS[named], PREDICTION[named]
    wanted = sklearn.confusion_matrix(true, said, labels=range(N))
    np.testing.assert_array_equal(counts[:N], wanted)
    host = segmentation.host_confusion(PREDICTION, LABELS, N)
    np.testing.assert_array_equal(host, counts)
    assert host.dtype == np.int64
    assert not counts[N].any() and counts.dtype == np.int32
    found = segmentation.scores(counts)
    np.testing.assert_allclose(found.iou, brute_force(), rtol=1e-15)
    assert found.miou == pytest.approx(np.nanmean(brute_force()), rel=1e-15)
    assert np.isnan(found.iou[N - 1]) and found.iou[N - 2] == 0  # nowhere; predicted only
    assert found.pixel_accuracy == sklearn.accuracy_score(true, said)
    recalls = sklearn.recall_score(true, said, average=None, labels=range(5))
    assert found.mean_accuracy == pytest.approx(recalls.mean(), rel=1e-15)
    np.testing.assert_array_equal(np.isnan(found.accuracy), [False] * 5 + [True] * 2)
    jaccard = sklearn.jaccard_score(true, said, average=None, labels=range(N - 1))
    np.testing.assert_allclose(found.iou[: N - 1], jaccard, rtol=1e-15)


def test_a_set_is_the_sum_of_its_batches_however_they_are_cut_and_padded():
    whole = np.asarray(count(PREDICTION, LABELS, N))
    for size in (1, 4):
        total = np.zeros((N + 1, N), np.int64)
        for start in range(0, 6, size):
            part = [x[start : start + size] for x in (PREDICTION, LABELS)]
            fill = [(0, size - len(part[0])), (0, 0), (0, 0)]
            padded = [np.pad(x, fill) for x in part]  # of category 0, which counts unless told
            real = (np.arange(size) < len(part[0]))[:, None, None]
            total += np.asarray(segmentation.confusion(*padded, N, valid=real))
        np.testing.assert_array_equal(total, whole)
    images = [segmentation.host_confusion(*x, N) for x in zip(PREDICTION, LABELS, strict=True)]
    np.testing.assert_array_equal(sum(images), whole)
    summed = segmentation.of_areas(sum(map(segmentation.areas, images)))
    for one, two in zip(summed, segmentation.scores(whole), strict=True):
        np.testing.assert_array_equal(one, two)
    rows = jax.sharding.NamedSharding(
        jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)),
        jax.sharding.PartitionSpec("data"),
    )
    spread = (jax.device_put(x, rows) for x in (PREDICTION, LABELS))
    np.testing.assert_array_equal(count(*spread, N), whole)


def test_other_numbers_for_the_categories_change_nothing():
    order = RNG.permutation(N)
    one = segmentation.scores(np.asarray(count(PREDICTION, LABELS, N)))
    relabelled = np.where(LABELS == 255, 255, order[LABELS % 255 % N])
    other = np.asarray(count(order[PREDICTION].astype(np.int32), relabelled, N))
    two = segmentation.scores(other[:N])  # a table of N rows is one, too
    np.testing.assert_allclose(two[:3], one[:3], rtol=1e-15)
    np.testing.assert_array_equal(two.iou[order], one.iou)
    np.testing.assert_array_equal(two.accuracy[order], one.accuracy)


def test_counts_beyond_float32_and_int32_are_exact():
    """2²⁴ + 1 is no float32; two batches of 1.5·10⁹ are no int32."""
    big = np.array([[1_500_000_001, 1], [0, 3]], np.int32)
    total = big.astype(np.int64) + big
    found = segmentation.scores(total)
    assert found.pixel_accuracy == (total[0, 0] + 6) / total.sum()
    with pytest.raises(ValueError, match="int32 has overflowed"), np.errstate(over="ignore"):
        segmentation.scores(big + big)


def test_ties_of_bfloat16_are_broken_in_float32_towards_the_lowest():
    logits = jnp.array([[1.0, 1.001, 1.0005], [2, 2, 1], [0, np.nan, 3]], jnp.float32)
    np.testing.assert_array_equal(segmentation.predicted(logits)[:2], [1, 0])
    np.testing.assert_array_equal(segmentation.predicted(logits.astype(jnp.bfloat16))[:2], [0, 0])


def test_what_cannot_be_scored_is_refused():
    stray = np.where(LABELS == 2, 200, LABELS)
    counts = np.asarray(segmentation.confusion(PREDICTION, stray, N))
    with pytest.raises(
        ValueError, match=rf"{(LABELS == 2).sum()} pixels .* 7 categories \(0 to 6\)"
    ):
        segmentation.scores(counts)
    host = segmentation.host_confusion(PREDICTION, stray, N)
    np.testing.assert_array_equal(host, counts)
    beyond = np.where(LABELS == 3, N, PREDICTION)
    for table in (segmentation.host_confusion, segmentation.confusion):
        counts = np.asarray(table(beyond, LABELS, N))
        assert counts[N].sum() == (LABELS == 3).sum() and counts.sum() == (LABELS != 255).sum()
    with pytest.raises(ValueError, match="no pixel has a label"):
        segmentation.scores(np.asarray(segmentation.confusion(PREDICTION, LABELS * 0 + 255, N)))
    with pytest.raises(ValueError, match=r"expected \(3, 2\)"):
        segmentation.scores(np.ones((5, 2), int))
