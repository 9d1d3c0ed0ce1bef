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


def test_siamese_im_without_unigrad_is_that_of_table_5():
    assert methods.siamese_im().terms["dense"].regularize.name == "decorrelation"
    assert methods.siamese_im(negative_weight=0.0).terms["dense"].regularize is None


def test_queues_are_of_one_view_or_of_each():
    assert {"queue", "ema"} == set(methods.nnclr().slots)
    assert {"ema"} == set(methods.swav().slots)
    assert {"queue_a", "queue_b", "ema"} == set(methods.swav(size=8).slots)


def test_ibot_asks_patches_of_large_views_and_views_of_all():
    terms = methods.ibot(local=3).terms
    patches = [t for t in terms.values() if t.predict.dense]
    assert {t.positions for t in patches} == {"hidden"} and len(patches) == 2
    assert len(terms) == 2 + 2 + 2 * 3 and sum(t.weight for t in terms.values()) == pytest.approx(2)
