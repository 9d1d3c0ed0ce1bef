"""A method checks itself when it is built, and knows what it needs."""

import pytest

from m3i_jax import framework as fw
from m3i_jax import masks, methods
from m3i_jax.framework import Code, Masking, Method, Part, Term


def codes():
    return {"x": Code("a", fw.online()), "y": Code("a", fw.pixels())}


def test_a_term_over_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="term 't' wants code 'z'; there are: x, y"):
        Method(codes(), {"t": Term("x", "z", None, fw.gaussian())})


def test_positions_are_all_or_hidden():
    with pytest.raises(ValueError, match="'hiden'"):
        Method(codes(), {"t": Term("x", "y", None, fw.gaussian(), positions="hiden")})


def test_a_part_needs_a_mixed_view():
    with pytest.raises(ValueError, match="'a' is not derived"):
        Method(codes() | {"p": Part("x", "first")}, {})


def test_what_the_host_has_to_give():
    assert methods.m3i().sources == {"a", "b", "label", "text"}
    assert methods.m3i(target_view_second="same", category=False, text=False).sources == {"a"}
    assert methods.mae().sources == {"a"}
    assert methods.siamese_im().sources == {"a", "b"}


def test_decoders_predict_the_width_of_their_target(toy):
    assert methods.m3i().decoders(toy.towers) == {"image": 6, "category": 6, "text": 6}
    assert methods.mae().decoders(toy.towers) == {"image": 12}
    twice = {"t": Term("x", "x", "d", fw.gaussian()), "u": Term("x", "y", "d", fw.gaussian())}
    with pytest.raises(ValueError, match="'u' wants decoder 'd' to predict 12"):
        Method(codes(), twice).decoders(toy.towers)


def test_terms_that_couple_a_batch_are_named():
    assert set(methods.m3i().batchwise()) == {"text_first", "text_second"}
    assert set(methods.siamese_im().batchwise()) == {"dense"}
    assert methods.siamese_im(negative_weight=0.0, projector=False).batchwise() == {}
    assert set(methods.siamese_im(negative_weight=0.0).batchwise(frozenset({"projector"})))


def test_masking_counts_visible_cells():
    assert Masking(masks.random, 0.75).count((14, 14)) == 49


def test_an_average_is_always_kept():
    assert "ema" in methods.mae().slots
    assert "ema" in methods.m3i().slots
