import jax
import numpy as np
import pytest

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes.knn import knn, online_knn

online = jax.jit(online_knn)


def brute_force(train, test, k, temperature=0.07):
    """Predictions by the definition, row by row, in float64."""
    unit = [t.features.astype(np.float64) for t in (train, test)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in unit]
    found = []
    for query in unit[1]:
        near = unit[0] @ query
        order = np.argsort(-near, kind="stable")[:k]
        votes = np.zeros(train.labels.max() + 1)
        np.add.at(votes, train.labels[order], np.exp(near[order] / temperature))
        found.append(votes.argmax())
    return np.array(found)


def tables(n=60, m=37, width=6, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    made = []
    for count in (n, m):
        labels = rng.integers(0, classes, count).astype(np.int32)
        x = centres[labels] + 1.3 * rng.normal(size=(count, width))
        made.append(FeatureSet(x.astype(np.float32), labels))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed):
    train, test = tables(seed=seed)
    ks = (1, 3, 20, 45)
    expected = {k: float(np.mean(brute_force(train, test, k) == test.labels)) for k in ks}
    assert knn(train, test, k=ks, chunk=8) == pytest.approx(expected, abs=1e-12)
    # The problem is neither trivial nor hopeless, and k matters: the comparison can fail.
    assert 0.3 < expected[20] < 0.95
    assert len(set(expected.values())) > 1


def test_the_temperature_weighs_near_neighbours_more():
    # One neighbour at cosine 1 of class 0, two at cosine 0.9 of class 1.
    far = [0.9, np.sqrt(1 - 0.81)]
    train = FeatureSet(np.array([[1, 0], far, far], np.float32), np.array([0, 1, 1], np.int32))
    test = FeatureSet(np.array([[1, 0]], np.float32), np.array([0], np.int32))
    assert knn(train, test, k=3, temperature=0.07) == {3: 1.0}  # 1 > 2 exp(−0.1/.07) = 0.48
    assert knn(train, test, k=3, temperature=1.0) == {3: 0.0}  # 1 < 2 exp(−0.1) = 1.81
    assert knn(train, test, k=3, temperature=1e-4) == {3: 1.0}  # exp(1/1e-4) would overflow


def test_chunks_do_not_matter():
    train, test = tables()
    assert len({knn(train, test, chunk=c)[20] for c in (1, 5, 36, 37, 38, 500)}) == 1


def test_scale_of_features_does_not_matter():
    train, test = tables()
    scaled = test._replace(features=test.features * np.float32(64))
    assert knn(train, test) == knn(train._replace(features=train.features / 8), scaled)


@pytest.mark.parametrize("sizes", [(1e-25, 1.0), (1e25, 1e25), (1e-25, 1e-30), (1.0, 1e30)])
def test_features_of_any_size_are_compared_by_their_direction(sizes):
    """By squares of 1e±25, which float32 has not, all rows were equally near."""
    train, test = tables()
    pairs = zip((train, test), sizes, strict=True)
    sized = [t._replace(features=t.features * np.float32(size)) for t, size in pairs]
    expected = np.mean(brute_force(*sized, 20) == test.labels)
    assert knn(*sized)[20] == pytest.approx(expected, abs=1e-12)
    assert expected > 0.3  # chance is .2


def test_k_beyond_the_training_set_means_all_of_it():
    train, test = tables(n=7)
    result = knn(train, test, k=(7, 8, 200))
    assert result[7] == result[8] == result[200]
    assert result[7] == pytest.approx(np.mean(brute_force(train, test, 7) == test.labels))


def test_ties_go_to_the_earlier_row():
    # All rows coincide: the k nearest are the first k, and the first of equal votes wins.
    x = np.ones((4, 3), np.float32)
    train = FeatureSet(x, np.array([2, 0, 0, 1], np.int32))
    for label, k in ((2, 1), (2, 2), (0, 3), (0, 4)):
        assert knn(train, FeatureSet(x[:1], np.array([label], np.int32)), k=k) == {k: 1.0}


def test_refusals_are_sentences():
    train, test = tables()
    unlabelled = test._replace(labels=np.where(np.arange(37) < 2, -1, test.labels))
    with pytest.raises(ValueError, match="test set has 2 rows without a label"):
        knn(train, unlabelled)
    with pytest.raises(ValueError, match="training set is empty"):
        knn(FeatureSet(train.features[:0], train.labels[:0]), test)
    with pytest.raises(ValueError, match="k is 0"):
        knn(train, test, k=0)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"temperature is {temperature}, expected a positive"):
            knn(train, test, temperature=temperature)
    for chunk in (0, -1):
        with pytest.raises(ValueError, match=f"chunks of {chunk} rows, expected 1 or more"):
            knn(train, test, chunk=chunk)


def test_k_may_be_a_number_of_numpy():
    train, test = tables()
    assert knn(train, test, k=np.int64(3)) == knn(train, test, k=3)


def test_the_online_monitor_agrees_and_compiles():
    train, test = tables()
    found = online(train, test)
    assert float(found) == pytest.approx(knn(train, test)[20], abs=1e-6)


def test_the_online_monitor_leaves_out_rows_without_a_label():
    train, test = tables()
    rng = np.random.default_rng(9)
    junk = FeatureSet(test.features[:20], np.full(20, -1, np.int32))  # nearest of all, but no votes
    place = rng.permutation(80)
    bank = FeatureSet(*(np.concatenate(c)[place] for c in zip(train[:2], junk[:2], strict=True)))
    queries = FeatureSet(*(np.concatenate(c) for c in zip(test[:2], junk[:2], strict=True)))
    assert float(online(bank, queries)) == pytest.approx(knn(train, test)[20], abs=1e-6)
    assert float(online(junk, test)) == 0.0
    assert float(online(train, junk)) == 0.0


def test_a_collapsed_representation_scores_like_its_most_frequent_class():
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    table = FeatureSet(np.ones((40, 8), np.float32), labels)
    assert knn(table, table, k=40)[40] == 0.25
