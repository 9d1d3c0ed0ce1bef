"""What tests of refusals have in common."""

from types import SimpleNamespace

import pytest

from m3i_jax import config_file
from m3i_jax.training.config import Config


def written(path, text):
    """The path of a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def config(**changes):
    """A config as a file may have it, with changes."""
    data = config_file.load("digit_scenes/mae").to_dict()
    return Config.of(data | changes)


def said(module, **flags):
    """A command with values of its flags, within a test."""
    return [(module, name, SimpleNamespace(value=value)) for name, value in flags.items()]


def told(call, *changes):
    """Calls with other things in their places."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in changes:
            patch.setattr(module, name, value)
        call()
