"""What changes without a part, against encoders that are cut one by one and float64 formulas."""

import jax
import numpy as np
import pytest

from m3i_jax.analysis import measures, sensitivity
from m3i_jax.evaluation import datasets, models, removal, surgery
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import knn
from tests.analysis.similarity_test import unbiased

ENCODERS = {
    "ViT": dict(name="vit_nano", image=16, width=16, depth=2, heads=2, patch=8),
    "SwinV2": dict(
        name="swin_v2_t", width=8, depths=(1, 2), heads=(1, 2), image=16, stride=4, window=2
    ),
}


def evaluation(name):
    """An encoder whose norms do something, on 24 labelled images in batches that do not divide."""
    model = models.fresh(ENCODERS[name])
    rng = np.random.default_rng(0)
    noise = lambda leaf: np.asarray(leaf + 0.2 * rng.standard_normal(leaf.shape), np.float32)  # noqa: E731
    model = model._replace(params=jax.tree.map(noise, model.params))
    data = datasets.named("digit_scenes:length=60")
    return Evaluation(model, data, batch=10, test_limit=24, quiet=True)


@pytest.fixture(scope="module", params=ENCODERS)
def seen(request):
    return evaluation(request.param)


@pytest.fixture(scope="module")
def features(seen):
    """Pooled features of models of the same shapes on the same images, by the ordinary way."""
    other = Evaluation(seen.model, seen.data, batch=10, test_limit=24, quiet=True)

    def of(model):
        other.renew(model.params)
        return np.asarray(other.features("test").features, np.float64)

    return of


def cosine(x, y):
    along = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    return (1 - along).mean()


def distance(x, y):
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return 1 - unbiased(k, l) / np.sqrt(unbiased(k, k) * unbiased(l, l))


def accuracy(x, labels):
    sides = [FeatureSet(x[half::2].astype(np.float32), labels[half::2]) for half in (0, 1)]
    return knn.knn(*sides, k=20)[20]


def test_each_head_is_taken_out_as_by_itself(seen, features):
    model, module = seen.model, models.module(seen.model)
    intact = features(model)
    cut = [
        [features(surgery.without_head(model, b, h)) for h in range(1, count + 1)]
        for b, count in enumerate(removal.heads(module), 1)
    ]
    labels = seen.features("test").labels
    for by, number in (
        ("cosine", lambda x: cosine(intact, x)),
        ("cka", lambda x: distance(intact, x)),
        ("knn", lambda x: accuracy(x, labels)),
    ):
        (measure,) = measures.create([{"name": "drop_heads", "by": by}])
        shown = measure.measure(seen, None)
        expected = [[number(x) for x in row] for row in cut]
        for found, right in zip(shown.values["heads"], expected, strict=True):
            # 1 − cos and 1 − CKA of float32 features, each to 1e-7.
            np.testing.assert_allclose(found, right, atol=2e-6)
        np.testing.assert_allclose(shown.values["mean"], [np.mean(r) for r in expected], atol=2e-6)
        assert shown.form == "heads" and shown.counts == {"test": 24}
        assert (shown.protocol == {}) == (by != "knn")
    assert shown.protocol["intact"] == accuracy(intact, labels)


def test_each_block_is_taken_out_as_by_itself(seen, features):
    model = seen.model
    intact, count = features(model), removal.blocks(models.module(model))
    cut = [features(surgery.without_block(model, b)) for b in range(1, count + 1)]
    (measure,) = measures.create([{"name": "drop_blocks"}])
    shown = measure.measure(seen, None)
    values = shown.values
    np.testing.assert_allclose(values["1 − cosine"], [cosine(intact, x) for x in cut], atol=2e-6)
    np.testing.assert_allclose(values["1 − CKA"], [distance(intact, x) for x in cut], atol=2e-6)
    labels = seen.features("test").labels
    assert [*values["kNN"]] == [accuracy(x, labels) for x in cut]
    assert shown.labels["blocks"] == [str(b) for b in range(1, count + 1)]


def test_a_part_that_does_nothing_changes_nothing():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 4)).astype(np.float32)
    turned = x @ np.linalg.qr(rng.standard_normal((4, 4)))[0].astype(np.float32)
    of = sensitivity.Variants(x, np.stack([x, turned], 1), np.full(12, -1))
    np.testing.assert_allclose(sensitivity.cosine(of)[0], 0, atol=1e-6)
    assert sensitivity.cosine(of)[1] > 0.1
    np.testing.assert_allclose(sensitivity.cka(of), 0, atol=1e-6)  # which no rotation changes
    with pytest.raises(NotMeasurable, match="no labels"):
        sensitivity.accuracy(of)
    with pytest.raises(NotMeasurable, match="needs 4 images"):
        sensitivity.cka(of._replace(intact=x[:3], without=of.without[:3]))
