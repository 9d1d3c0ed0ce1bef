"""The kNN task reports every k."""

from m3i_jax.evaluation.probes.knn import knn as vote
from m3i_jax.evaluation.tasks import knn
from tests.evaluation.toy_features import evaluation, tables


def test_every_k_is_the_share_of_its_vote():
    train, test = tables()
    found = knn(k=(1, 7), temperature=0.1).measure(evaluation(train, test))
    right = vote(train, test, k=(1, 7), temperature=0.1)
    assert found.metrics == {"top1_k1": right[1], "top1_k7": right[7]}


def test_the_headline_is_k_20_or_the_largest():
    assert knn().headline == "top1_k20"
    assert knn(k=5).headline == "top1_k5" and knn(k=(3, 50)).headline == "top1_k50"
