"""The table is read off the methods, and agrees with the paper where the paper has the method."""

import pathlib

import pytest

from m3i_jax import methods
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
