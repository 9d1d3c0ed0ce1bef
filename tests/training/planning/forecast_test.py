"""A run on accelerators that are not here, in words."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.estimate import Layout
from m3i_jax.training.planning.forecast import forecast, layout_of


def test_it_says_whether_it_fits_what_it_takes_and_what_would(small, monkeypatch):
    text = forecast(small[0], "v5e", 2, price=1.5)
    assert "by formula, not compiled or run: 2 x TPU v5e, 32 images each at once" in text
    assert "fits into 95 % of the memory" in text and "% of the peak rate" in text
    assert "% of a step, if none of it overlaps" in text
    assert "12 steps of 64 images" in text and "at 1.5 a chip-hour" in text
    size = estimate.needs(small[1], Layout(2)).peak - 1
    monkeypatch.setitem(peaks.MEMORIES, "TPU v5e", (size / estimate.USABLE / 2**30, 819, 200))
    text = forecast(small[0], "v5e", 2)
    assert "does not fit into 95 %" in text
    assert "  what would         --config.mesh.zero1=True  (" in text


def test_layouts_are_those_of_the_mesh(shrunk):
    config = shrunk("mae", mesh={"fsdp": 2, "zero1": True}, accumulate=2)
    assert layout_of(config, 4) == Layout(2, 2, True, 2)
    assert layout_of(shrunk("mae", mesh={"tensor": 2}), 8) == Layout(4, tensor=2)
    with pytest.raises(ConfigError, match="does not fit 4 devices"):
        layout_of(shrunk("mae", mesh={"data": 3}), 4)
