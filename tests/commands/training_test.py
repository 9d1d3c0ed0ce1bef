"""What the commands that train have in common."""

from m3i_jax import config_file
from m3i_jax.commands import _training as training


def test_a_config_is_shown_with_its_defaults():
    page = training.show(config_file.load("digit_scenes/mae"))
    assert "objective = mae" in page and "(default)" in page
