"""The table is read off the methods, and agrees with the paper where the paper has the method."""

import pathlib
from dataclasses import replace

import pytest

from m3i_jax import methods
from m3i_jax.analysis import predictions
from m3i_jax.methods.describe import lines

README = pathlib.Path(__file__).parents[2] / "README.md"

# M3I Table 5: input, target, representation, distribution.
PAPER = {
    "classification": ("view 1", "category", "category embedding", "Boltzmann"),
    "clip": ("view 1", "text", "text embedding", "Boltzmann"),
    "auto_encoder": ("view 1", "view 1", "pixels", "Gaussian"),
    "global_distillation": ("view 1", "view 1", "global feature", "Boltzmann"),
    "mae": ("masked view 1", "view 1", "pixels", "Gaussian"),
    "mim_global": ("masked view 1", "view 1", "global feature", "Gaussian"),
    "novel_view_synthesis": ("view 2", "view 1", "pixels", "Gaussian"),
    "moco": ("view 2", "view 1", "global feature", "Boltzmann"),
    "barlow_twins": ("view 2", "view 1", "global feature", "Gaussian"),
    "siamese_im_pixel": ("masked view 2", "view 1", "pixels", "Gaussian"),
    "siamese_im": ("masked view 2", "view 1", "dense feature", "Gaussian"),
}


@pytest.mark.parametrize("name", PAPER)
def test_methods_are_the_papers(name):
    (line,) = lines(methods.METHODS[name]())
    assert line[:4] == PAPER[name]


def test_the_readme_shows_the_table():
    assert methods.table() in README.read_text(), (
        "run experiments/list.py methods --markdown and paste its table"
    )


@pytest.mark.parametrize(
    "method", [methods.mae(), methods.dino(), methods.cim(task="revdet"), methods.cim()]
)
def test_what_an_encoder_is_does_not_hang_on_its_name(method):
    def renamed(code):
        slots = tuple(slot._replace(name=f"my/{slot.name}s") for slot in code.encoder.slots)
        return code._replace(encoder=code.encoder._replace(name="mine", slots=slots))

    other = replace(method, codes={name: renamed(code) for name, code in method.codes.items()})
    assert lines(other) == lines(method)
    assert predictions.pixel_terms(other) == predictions.pixel_terms(method)
    assert predictions.replaced_terms(other) == predictions.replaced_terms(method)
