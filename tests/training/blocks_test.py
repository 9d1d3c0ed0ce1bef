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
        ({"crops.interpolation": "bicubci"}, "interpolation is 'bicubci'; did you mean 'bicubic'"),
        ({"crops.rand_augment": {}, "crops.scale": [1e-12, 1.0]}, "scale[0] is 1e-12, expected"),
        ({"crops.ratio": [1e-9, 1.0]}, "ratio[0] is 1e-09, expected 0.05 to 20"),
        ({"data": {"name": "image_folder", "root": ""}}, "root is '', expected a text that is"),
        ({"data": {"name": "image_folder", "root": "x", "decode": "y"}}, "no config can say"),
        ({"checkpoint": {"every": 0, "keep_every": 9}}, "keep_every is 9, but nothing is kept"),
        ({"weights.x": {"path": ""}}, "config.weights.x.path is '', expected a text that is not"),
        ({"weights.x": {"path": "x", "branch": "onlin"}}, "is 'onlin', expected 'online'"),
        ({"weights.x": {"path": "x", "layout": "tim"}}, "layout is 'tim', expected 'timm'"),
        ({"weights.x": {"path": "x", "ignore": "(a+)+$"}}, "expected a pattern: it repeats what"),
        ({"monitor": {"every": 1, "k": 9, "bank": 8}}, "monitor.k is 9, expected at most its bank"),
        ({"captions.file": ""}, "config.captions.file is empty"),
        ({"optimizer.freeze": "(.*)*x"}, "expected a pattern: it repeats what is a repeat"),
        ({"optimizer.clip_by": ["(a|a)*$"]}, "clip_by[0] is '(a|a)*$', expected a pattern"),
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
