"""What the monitor is told and what it refuses; what it writes is in subjects_test.py."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.monitor import monitor


class Config:
    def __init__(self, **block):
        self.monitor = block


class Run:
    def __init__(self, config):
        self.config = config


class Session:
    def __init__(self, **block):
        self.run = Run(Config(**block))


def test_an_interval_of_zero_turns_it_off():
    assert monitor(Session(every=0)) == []


def test_a_misspelt_key_is_refused():
    with pytest.raises(
        ConfigError, match="config.monitor has no key 'evry'; did you mean 'every'?"
    ):
        monitor(Session(evry=10))
