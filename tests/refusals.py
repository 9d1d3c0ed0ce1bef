"""What tests of refusals have in common."""

import pathlib
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import pytest

from m3i_jax import config_file
from m3i_jax.build import UserError
from m3i_jax.training.config import Config

Case = tuple[Callable[[pathlib.Path], object], str]


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


def named(**groups: Mapping[str, Case]) -> dict[str, Case]:
    """All cases, what provokes a refusal and what its sentence has, by their group and name."""
    return {f"{kind} {name}": one for kind, of in groups.items() for name, one in of.items()}


def refused(case: Case, place: pathlib.Path) -> None:
    """Asserts that a case is refused with its sentence; `place` is a folder for what it writes."""
    provoke, sentence = case
    with pytest.raises(UserError, match=re.escape(sentence)):
        provoke(place)
