"""What blocks start from."""

import math

import jax
import numpy as np
import pytest

from m3i_jax.nn.initial import INITS
from tests.nn.stacked import Stacked, float64


@pytest.mark.parametrize("how", [{}, {"scan": False}, {"remat": "full"}])
def test_beit_starts_small_and_smaller_with_depth(key, how):
    """Normal of deviation .02 cut off at ±1σ; proj and fc2 of block l over √(2l)."""
    x = jax.random.normal(key, (1, 3, 64))
    module = Stacked({"heads": 2, "depth": 4, "kernel_init": INITS["beit"], **how})
    params = float64(jax.jit(module.init)(key, x)["params"]["blocks"])
    # Deviation of a standard normal cut off at ±1: √(1 − 2φ(1)/(2Φ(1) − 1)).
    cut = math.sqrt(1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(1 / math.sqrt(2)))
    for part, name, shrinks in (
        ("attn", "qkv", False), ("attn", "proj", True), ("mlp", "fc1", False), ("mlp", "fc2", True),
    ):  # fmt: skip
        kernel = params[part][name]["kernel"]
        assert not params[part][name]["bias"].any()
        for l, block in enumerate(kernel, start=1):
            sigma = 0.02 / math.sqrt(2 * l) if shrinks else 0.02
            assert np.abs(block).max() <= sigma * (1 + 1e-6)
            # The deviation of the smallest kernel, 4096 values, is known to 1 % at 2 σ.
            np.testing.assert_allclose(block.std(), cut * sigma, rtol=0.02)
        shapes = kernel[0] / np.abs(kernel[0]).max(), kernel[1] / np.abs(kernel[1]).max()
        assert not np.allclose(*shapes)  # every block has draws of its own


@pytest.mark.parametrize("name, shrinks", [("vq_kd", True), ("deit", False)])
def test_vq_kd_and_deit_start_as_a_whole_normal(key, name, shrinks):
    """timm's trunc_normal_(std=.02) cuts at ±2, hence nothing; VQ-KD divides as BEiT does."""
    module = Stacked({"heads": 2, "depth": 4, "kernel_init": INITS[name]})
    params = jax.jit(module.init)(key, jax.random.normal(key, (1, 3, 64)))["params"]["blocks"]
    for kernel, divided in ((params["attn"]["qkv"], False), (params["mlp"]["fc2"], shrinks)):
        for l, block in enumerate(np.float64(kernel["kernel"]), start=1):
            sigma = 0.02 / math.sqrt(2 * l) if divided else 0.02
            np.testing.assert_allclose(block.std(), sigma, rtol=0.03)  # 12 288 values or more
            assert np.abs(block).max() > 3 * sigma
