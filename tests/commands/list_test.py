"""Lists of what there is."""

import pytest

from m3i_jax import methods, shipped
from m3i_jax.build import ConfigError
from m3i_jax.commands import list as command
from m3i_jax.training import optimizer


@pytest.mark.parametrize("kind", command.KINDS)
def test_everything_has_a_name_and_a_line(kind):
    found = command.KINDS[kind]()
    assert found and all(name and title for name, title in found.items())


def test_configs_and_methods_are_all_there():
    assert command.KINDS["configs"]().keys() == shipped.names().keys()
    assert command.KINDS["methods"]().keys() == methods.METHODS.keys()
    assert command.KINDS["encoders"]()["vit_s16"] == "ViT patch=16, width=384, depth=12, heads=6"


def test_a_block_shows_what_it_may_name_or_its_keys(capsys):
    command._block("optimizer")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *optimizer.offered()
    ]
    command._block("optimizer", "lars")
    assert "  trust = 0.001 (default) " in capsys.readouterr().out
    command._block("log")
    assert capsys.readouterr().out.startswith("log: ")
    with pytest.raises(ConfigError, match="'every' is one word too many"):
        command._block("log", "every")
