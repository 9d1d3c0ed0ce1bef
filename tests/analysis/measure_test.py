"""A measure is a record; what it shows says how it is drawn."""

from m3i_jax.analysis import measures
from m3i_jax.analysis.finding import FORMS
from m3i_jax.analysis.measures import Measure, Shown


def test_every_measure_is_a_row():
    for name, measure in zip(measures.MEASURES, measures.every(), strict=True):
        assert isinstance(measure, Measure) and measure.name == name
        assert measure.title and measures.written(measure) == name


def test_a_form_is_one_of_those_that_can_be_drawn():
    assert Shown(FORMS[0]).form in FORMS and len(set(FORMS)) == len(FORMS)
