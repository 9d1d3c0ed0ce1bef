"""CKA of blocks through the measure is that of their features, batch by batch, in float64."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax.analysis import measures
from m3i_jax.analysis.measures.cka import gram_rows, stacks
from m3i_jax.analysis.rows import observed
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.parallel import sharding
from tests.analysis import toy_blocks
from tests.analysis.similarity_test import rbf, unbiased

SIDE = 8


def batched(x, y, kernel=lambda x: x @ x.T):
    """Means of HSIC₁ before the ratio, written from the formula; x, y: (N, ...) features."""
    parts = [range(i, min(i + SIDE, len(x))) for i in range(0, len(x), SIDE)]
    parts = [list(p) for p in parts if len(p) >= 4]
    k, l = ([kernel(z.reshape(len(z), -1)[p]) for p in parts] for z in (x, y))  # noqa: E741
    mean = lambda a, b: sum(len(m) * unbiased(m, n) for m, n in zip(a, b, strict=True))  # noqa: E731
    return mean(k, l) / np.sqrt(mean(k, k) * mean(l, l))


def table(x, y, **how):
    return [
        [batched(x[:, i], y[:, j], **how) for j in range(y.shape[1])] for i in range(x.shape[1])
    ]


POOLED = {"tokens": lambda x: x, "mean": lambda x: x[:, :, 1:].mean(2), "cls": lambda x: x[:, :, 0]}


@pytest.mark.parametrize("features", POOLED)
def test_blocks_of_one_model(features, tmp_path, caplog):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "cka", "batch": SIDE, "features": features}])
    shown = toy_blocks.shown(measure, evaluation)
    x = POOLED[features](toy_blocks.tokens(evaluation))
    assert len(x) == 43  # the last 3 of which are no batch
    # Products of float32 features, each to 1e-7 of their norms.
    np.testing.assert_allclose(shown.values["matrix"], table(x, x), atol=5e-6)
    assert shown.counts == {"test": 40} and shown.protocol["batches"] == 5
    assert "3 of 43 images are left out" in caplog.text
    assert shown.labels == {"rows": ["1", "2", "3"], "columns": ["1", "2", "3"]}


def test_blocks_of_two_models_in_batches_that_the_pass_does_not_know(tmp_path):
    one, two = (toy_blocks.evaluation(tmp_path, seed=seed) for seed in (0, 1))
    (measure,) = measures.create([{"name": "cka", "batch": SIDE}])
    rows = [observed(e, {"cka": measure.look(e)})["cka"] for e in (one, two)]
    x, y = toy_blocks.tokens(one), toy_blocks.tokens(two)
    shown = measure.across(*rows)
    np.testing.assert_allclose(shown.values["matrix"], table(x, y), atol=5e-6)
    for other in (rows[1]._replace(batch=24), rows[1]._replace(index=rows[1].index + 1)):
        with pytest.raises(NotMeasurable, match="on the same images in the same batches only"):
            measure.across(rows[0], other)


def test_a_gaussian_kernel_has_one_bandwidth_in_all_batches(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path, test_limit=16)
    (measure,) = measures.create([{"name": "cka", "batch": SIDE, "rbf": 0.5}])
    shown = toy_blocks.shown(measure, evaluation)
    x = toy_blocks.tokens(evaluation).reshape(16, 3, -1)
    scaled = []
    for block in x.swapaxes(0, 1):
        parts = [block[:8], block[8:]]
        far = [np.linalg.norm(p[:, None] - p[None], axis=-1)[np.triu_indices(8, 1)] for p in parts]
        scaled.append(block / np.median(np.concatenate(far)))
    kernel = lambda z: np.exp(-np.square(z[:, None] - z[None]).sum(-1) / (2 * 0.5**2))  # noqa: E731
    scaled = np.stack(scaled, 1)
    np.testing.assert_allclose(
        shown.values["matrix"], table(scaled, scaled, kernel=kernel), atol=2e-5
    )
    assert abs(batched(x[:8, 0], x[:8, 2], kernel=lambda z: rbf(z, 0.5)) - 1) > 1e-3  # it can fail


def test_rows_of_batches_that_groups_do_not_divide_and_of_images_that_are_lost():
    """Batches of 10 in groups of 4, 4 and 2; of the second group of the first batch one is lost."""
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    rows = np.concatenate([gram_rows(x[:10], 4), gram_rows(x[10:], 4)])
    index = np.delete(np.arange(20), 5)
    (a, b, c) = stacks([rows[index], 4 * rows[index]], index, batch=10)
    for stack, images in ((a, x[:4]), (b, x[10:14]), (c, x[14:18])):
        right = images - images.mean(0)
        np.testing.assert_allclose(stack[0], right @ right.T, atol=1e-5)
        np.testing.assert_array_equal(stack[1], 4 * stack[0])


def test_too_few_images_and_blocks_that_make_the_same_of_all(tmp_path):
    few = toy_blocks.evaluation(tmp_path, test_limit=3)
    (measure,) = measures.create([{"name": "cka"}])
    with pytest.raises(NotMeasurable, match="CKA needs 4 images"):
        toy_blocks.shown(measure, few)
    evaluation = toy_blocks.evaluation(tmp_path, test_limit=16)
    rows = observed(evaluation, {"cka": measure.look(evaluation)})["cka"]
    constant = (rows.layers[0], 0 * rows.layers[1], rows.layers[2])
    with pytest.raises(NotMeasurable, match="block 2 makes the same of all images"):
        measure.measure(evaluation, rows._replace(layers=constant))


def test_batches_that_devices_change_are_refused(tmp_path):
    """Of 20 images for eight devices 24 would be compared, and on one device 20."""
    (measure,) = measures.create([{"name": "cka", "batch": SIDE}])
    with pytest.raises(NotMeasurable, match="8 devices do not divide batches of 20.*--batch=24"):
        measure.look(toy_blocks.evaluation(tmp_path, batch=20))
    measure.look(toy_blocks.evaluation(tmp_path, batch=20, test_limit=20))  # one batch


def test_one_device_shows_what_eight_do(tmp_path, monkeypatch):
    (measure,) = measures.create([{"name": "cka", "batch": SIDE}])
    eight = toy_blocks.shown(measure, toy_blocks.evaluation(tmp_path)).values["matrix"]
    assert jax.device_count() == 8
    alone = functools.partial(sharding.mesh, devices=jax.devices()[:1])
    monkeypatch.setattr(sharding, "mesh", alone)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    one = toy_blocks.shown(measure, toy_blocks.evaluation(tmp_path)).values["matrix"]
    # The same products, of which each device sums its own.
    np.testing.assert_allclose(one, eight, atol=2e-6)
