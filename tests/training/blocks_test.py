"""Blocks are held to the signatures of their functions, without loading what runs them."""

import subprocess
import sys

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import blocks


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"optimizer.rl": 1.0}, "config.optimizer has no key 'rl'; did you mean 'lr'"),
        ({"optimizer.b1": "high"}, "config.optimizer.b1 is 'high' (str), expected float"),
        ({"crops.ratoi": (1, 1)}, "config.crops has no key 'ratoi'; did you mean 'ratio'"),
        ({"crops.rand_augment": 9.0}, "config.crops.rand_augment is 9.0 (float), expected"),
        (
            {"crops.rand_augment": {"operation": 3}},
            "config.crops.rand_augment has no key 'operation'; did you mean 'operations'",
        ),
        ({"augment.a": {"solarise": 1.0}}, "did you mean 'solarize'"),
        ({"captions.lenght": 3}, "did you mean 'length'"),
        ({"data.name": "digit_scene"}, "did you mean 'digit_scenes'"),
        ({"weighting.gama": 1.0}, "did you mean 'gamma'"),
    ],
)
def test_what_no_function_takes_is_refused(changes, sentence, shrunk):
    with pytest.raises(ConfigError) as error:
        blocks.check(shrunk("m3i", **changes))
    assert sentence in str(error.value)


def test_every_row_passes(any_row, shrunk):
    blocks.check(shrunk(any_row))


def test_the_check_loads_neither_orbax_nor_grain():
    code = (
        "import sys, m3i_jax.training.blocks; print('orbax' in sys.modules, 'grain' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
