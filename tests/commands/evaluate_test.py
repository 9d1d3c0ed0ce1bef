"""How tasks are written on a command line."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.commands.evaluate import parsed


@pytest.mark.parametrize(
    "text, blocks",
    [
        ("linear", [{"name": "linear"}]),
        ("linear, knn", [{"name": "linear"}, {"name": "knn"}]),
        ("knn:k=(1,20),temperature=0.1", [{"name": "knn", "k": (1, 20), "temperature": 0.1}]),
        ("linear:recipe=lars", [{"name": "linear", "recipe": "lars"}]),
        ("knn:k=[1,2],", [{"name": "knn", "k": [1, 2]}]),
    ],
)
def test_a_task_is_a_name_with_settings(text, blocks):
    assert parsed(text) == blocks


def test_a_setting_without_a_value_is_a_sentence():
    with pytest.raises(ConfigError, match="--task is 'knn:k', expected knn:SETTING=VALUE"):
        parsed("knn:k")
