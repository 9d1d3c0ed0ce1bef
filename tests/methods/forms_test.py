"""The 12 forms of Table 2 differ in three factors and nothing else."""

import itertools

import pytest

from m3i_jax import methods
from m3i_jax.methods.forms import FORMS


def test_every_combination_of_the_factors_is_there_once():
    factors = [(f.view, f.masked, f.target) for f in FORMS.values()]
    assert sorted(factors) == sorted(
        itertools.product("ab", (False, True), ("pixels", "dense", "global"))
    )
    assert list(FORMS) == list("abcdefghijkl")


@pytest.mark.parametrize("form", FORMS)
def test_a_form_sees_and_predicts_what_it_says(form):
    kind, method = FORMS[form], methods.table2(form=form)
    (term,) = method.terms.values()
    x, y = method.codes[term.x], method.codes[term.y]
    assert x.view == kind.view and y.view == "a"
    assert (x.mask is not None) == kind.masked and (not kind.masked or x.mask.hidden == 0.5)
    assert y.encoder.name.startswith("pixels") == (kind.target == "pixels")
    assert term.predict.dense == (kind.target != "global") and term.positions == "all"
    told_apart = form in "chil"
    assert (term.predict.name == "Boltzmann") == told_apart


def test_the_papers_order_is_kept_beside_the_forms():
    best = max(FORMS, key=lambda form: FORMS[form].imagenet)
    assert best == "k" and FORMS["k"].imagenet == 83.7 and FORMS["a"].coco == 0.0


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="no form 'm'"):
        methods.table2(form="m")
