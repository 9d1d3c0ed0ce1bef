"""Refusals name the field, what others have and what ours has; ratios survive rounding down."""

from types import SimpleNamespace

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import describe_needs


def test_a_field_is_one_of_those_that_they_have():
    module = SimpleNamespace(eps=1e-6, qkv_bias=True)
    describe_needs.needs(module, "theirs", eps=(1e-5, 1e-6), qkv_bias=True)
    with pytest.raises(ConfigError, match="theirs is an encoder with eps=1e-05, and this one has"):
        describe_needs.needs(module, "theirs", eps=1e-5)
    with pytest.raises(ConfigError, match="qkv_bias=1, and this one has True"):
        describe_needs.needs(module, "theirs", qkv_bias=1)


def test_hidden_widths_survive_rounding_down():
    for ratio in (2.7, 8 / 3, 4.0, 3.99, 1 / 3):
        for gated in (False, True):
            module = SimpleNamespace(width=768, mlp_ratio=ratio, gated=gated)
            said = describe_needs.ratio_rounded_down(module)
            assert int(768 * said) == (1 + gated) * round(768 * ratio)


def test_one_number_stands_for_every_stage():
    assert describe_needs.per_stage(4, (2, 2)) == describe_needs.per_stage((4, 4), (2, 2)) == [4, 4]
