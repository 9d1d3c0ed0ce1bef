"""Rows between views: what they share, and what their arguments change."""

import pytest

from m3i_jax import methods


@pytest.mark.parametrize("build", [methods.moco_v3, methods.byol, methods.simclr, methods.simsiam])
def test_both_views_predict_each_other(build):
    method = build()
    ends = {(method.codes[t.x].view, method.codes[t.y].view) for t in method.terms.values()}
    assert ends == {("a", "b"), ("b", "a")}


def test_moco_v3_counts_each_direction_two_tau_times():
    weights = {t.weight for t in methods.moco_v3(temperature=0.3).terms.values()}
    assert weights == {0.6}


FREE = ("simclr", "barlow_twins", "vicreg", "lejepa", "visreg")  # of a gradient that stops


def test_only_contrast_without_an_average_leaves_gradient_to_the_target():
    stops = {
        name: {m.codes[t.y].encoder.stop_gradient for t in m.terms.values()}
        for name, m in ((r, getattr(methods, r)()) for r in (*FREE, "byol", "simsiam"))
    }
    assert stops == dict.fromkeys(FREE, {False}) | {"byol": {True}, "simsiam": {True}}


def test_all_views_of_lejepa_predict_the_mean_of_the_large_ones():
    method = methods.lejepa(local=2)
    assert [t.x for t in method.terms.values()] == ["x_a", "x_b", "x_l0", "x_l1"]
    assert method.codes["y"].encoder.views == ("a", "b")
    assert method.sources == {"a", "b", "l0", "l1"}


def test_densecl_matches_cells_and_keeps_two_queues():
    method = methods.densecl()
    assert {"queue", "dense_queue", "ema"} == set(method.slots)
    assert method.terms["dense"].positions == "matched" and method.terms["dense"].predict.dense
    assert method.terms["global"].weight == method.terms["dense"].weight == 0.5


def test_siamese_im_without_unigrad_is_that_of_table_5():
    assert methods.siamese_im().terms["dense"].regularize.name == "decorrelation"
    assert methods.siamese_im(negative_weight=0.0).terms["dense"].regularize is None
