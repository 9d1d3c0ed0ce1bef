"""The schema of a run: what is refused, and that what is read can be written and read again."""

import json

import pytest
from ml_collections import ConfigDict

from m3i_jax.build import ConfigError
from m3i_jax.training.config import Config

LEAST = dict(batch=8, duration="1 steps", data={}, encoder={}, objective={}, optimizer={})


def test_a_config_survives_json():
    config = Config.of(ConfigDict(LEAST | {"crops": {"scale": (0.2, 1.0)}}))
    assert Config.of(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"bacth": 4}, "config has no key 'bacth'; did you mean 'batch'?"),
        ({"batch": "8"}, "config.batch is '8' (text), expected a whole number"),
        ({"batch": 0}, "config.batch is 0, expected 1 to 1048576"),
        ({"accumulate": 3}, "does not divide into config.accumulate = 3"),
        ({"dtype": "float16"}, "expected one of float32, bfloat16; did you mean 'bfloat16'?"),
        ({"dtype": "bf16"}, "expected one of float32, bfloat16; did you mean 'bfloat16'?"),
        (
            {"duration": ""},
            "config.duration is '', expected a number and one of steps",
        ),
        ({"unreadable": 1.0}, "config.unreadable is 1.0, expected 0 or more and less than 1"),
        ({"towers": {"": {}}}, "config.towers has the name '', expected up to 64 letters"),
        ({"decoders": {"a b/c": {}}}, "config.decoders has the name 'a b/c', expected"),
        ({"decoders": {"blocks": {}}}, "config.decoders has the name 'blocks', expected"),
        ({"optimizer": {"lr": float("nan")}}, "config.optimizer.lr is nan"),
        ({"crops": {"scale": (0.1, float("inf"))}}, "config.crops.scale[1] is inf"),
        ({"data": {"root": object()}}, "config.data.root is a object, expected plain data"),
    ],
)
def test_what_is_wrong_is_said(change, sentence):
    with pytest.raises(ConfigError) as error:
        Config.of({**LEAST, **change})
    assert sentence in str(error.value)
