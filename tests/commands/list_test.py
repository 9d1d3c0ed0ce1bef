"""Lists of what there is."""

import pytest

from m3i_jax import methods, shipped
from m3i_jax.commands import list as command


@pytest.mark.parametrize("kind", command.KINDS)
def test_everything_has_a_name_and_a_line(kind):
    found = command.KINDS[kind]()
    assert found and all(name and title for name, title in found.items())


def test_configs_and_methods_are_all_there():
    assert command.KINDS["configs"]().keys() == shipped.names().keys()
    assert command.KINDS["methods"]().keys() == methods.ROWS.keys()
    assert command.KINDS["encoders"]()["vit_s16"] == "ViT patch=16, width=384, depth=12, heads=6"
