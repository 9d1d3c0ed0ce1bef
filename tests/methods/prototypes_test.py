"""Rows of prototypes: what they share, and what their arguments change."""

import jax
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import methods
from m3i_jax.training import assemble


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


def test_gram_anchoring_is_a_term_of_a_frozen_teacher(key):
    method = methods.dinov2(local=0, gram=2.0)
    terms = {n: t for n, t in method.terms.items() if n.startswith("gram")}
    assert {t.weight for t in terms.values()} == {1.0} and len(terms) == 2
    assert method.codes["t_a"].encoder.owner == "frozen/teacher" and method.slots["frozen/teacher"]
    assert method.codes["g_a"].mask == method.codes["x_a"].mask, "its pass is that of the method"
    z = jax.random.normal(key, (3, 4, 6))
    score = terms["gram_a"].predict.score(z, fw.Target(tokens=2 * z))
    np.testing.assert_allclose(score, np.zeros((3, 4)), atol=1e-10)


def test_a_gram_anchored_run_fits_together(shrunk):
    teacher = {"towers.teacher": dict(name="vit_nano", patch=8, width=64, depth=2, heads=2)}
    weights = {"weights.teacher": dict(path="untrained")}
    config = shrunk("dinov2", **{"objective.gram": 2.0}, **teacher, **weights)
    assert "frozen/teacher" in assemble.check(config).method.slots
