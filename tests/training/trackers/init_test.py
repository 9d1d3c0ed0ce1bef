"""Trackers by name: what is not installed is refused before a run begins."""

import importlib.util

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import trackers
from m3i_jax.training.trackers.tracker import TrackedRun


def test_what_is_not_installed_is_a_sentence(monkeypatch):
    trackers.require(["tensorboard"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"names 'wandb', .* pip install 'm3i_jax\[wandb\]'"):
        trackers.require(["wandb"])


def test_nothing_is_opened_before_it_is_called(tmp_path):
    opened = trackers.openers(["tensorboard", "wandb"], TrackedRun(tmp_path, 0, {}))
    assert [*opened] == ["tensorboard", "wandb"] and not [*tmp_path.iterdir()]
