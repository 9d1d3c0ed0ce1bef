"""Lines that use an export, by library; what they give is held against ours in parity/."""

import pytest

from m3i_jax import encoders
from m3i_jax.interop import layouts
from m3i_jax.interop.snippets import snippets


@pytest.mark.parametrize(
    "layout, libraries",
    [
        ("m3i_jax", ["JAX"]),
        ("dinov2", ["JAX"]),
        ("timm", ["timm", "JAX"]),
        ("huggingface", ["transformers", "JAX"]),
    ],
)
def test_an_export_is_for_those_who_can_read_it(layout, libraries):
    made = snippets(encoders.create("vit_nano"), layouts.lookup(layout), pool="cls")
    assert [*made] == libraries
    for lines in made.values():
        compile(lines, layout, "exec")
        assert "tokens[:, 0]" in lines or "m3i_jax.load" in lines
