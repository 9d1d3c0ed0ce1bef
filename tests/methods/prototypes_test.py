"""Rows of prototypes: what they share, and what their arguments change."""

import pytest

from m3i_jax import methods


def test_small_crops_predict_but_are_not_predicted():
    method = methods.dino(local=3)
    assert len(method.terms) == 2 + 2 * 3
    assert {method.codes[t.y].view for t in method.terms.values()} == {"a", "b"}
    assert sum(t.weight for t in method.terms.values()) == pytest.approx(1.0)
    method = methods.msn(local=2)
    assert {method.codes[t.x].view for t in method.terms.values()} == {"b", "l0", "l1"}


def test_msn_asks_the_online_prototypes():
    method = methods.msn()
    assert method.codes["x_b"].mask.count((14, 14)) == 166
    assert len({term.regularize for term in method.terms.values()}) == 1
    assert method.codes["y"].encoder.heads == ("projector",)
    assert method.codes["x_b"].encoder.heads == ("projector", "prototypes")


def test_queues_are_of_one_view_or_of_each():
    assert {"queue", "ema"} == set(methods.nnclr().slots)
    assert {"ema"} == set(methods.swav().slots)
    assert {"queue_a", "queue_b", "ema"} == set(methods.swav(size=8).slots)


def test_ibot_asks_patches_of_large_views_and_views_of_all():
    terms = methods.ibot(local=3).terms
    patches = [t for t in terms.values() if t.predict.dense]
    assert {t.positions for t in patches} == {"hidden"} and len(patches) == 2
    assert len(terms) == 2 + 2 + 2 * 3 and sum(t.weight for t in terms.values()) == pytest.approx(2)


def test_dinov2_counts_hidden_patches_alone_by_one_head_or_two():
    for untied in (False, True):
        method = methods.dinov2(local=0, untied=untied)
        heads = method.codes["q_a"].encoder.heads
        assert heads == method.codes["p_a"].encoder.heads
        assert (heads == method.codes["y_a"].encoder.heads) == (not untied)
        assert method.codes["q_a"].asked == "p_a" and method.codes["y_a"].asked is None
    assert {"ema"} == set(method.slots)
    assert {"ema", "centre", "dense_centre"} == set(methods.dinov2(sinkhorn=0).slots)
    assert method.terms["apart_a"].regularize.name == "KoLeo"
