"""What tables are made of: transforms between torch's layouts and ours, and rules for layers."""

import math

import numpy as np

from m3i_jax.interop.rename import SAME, Rule, Transform

CHANNELS = 3


def _patches_back(kernel):
    """(p, p, C, D) or our flat (p·p·3, D) -> (D, C, p, p)."""
    if kernel.ndim == 2:
        side = math.isqrt(kernel.shape[0] // CHANNELS)
        kernel = kernel.reshape(side, side, CHANNELS, -1)
    return kernel.transpose(3, 2, 0, 1)


def _shuffled(kernel):
    """1x1 convolution to (C, r, r), channel-major -> (D, r·r·C), pixel-major."""
    side = math.isqrt(kernel.shape[0] // CHANNELS)
    cells = kernel.reshape(CHANNELS, side, side, -1)
    return cells.transpose(3, 1, 2, 0).reshape(-1, kernel.shape[0])


def _shuffled_back(kernel):
    side = math.isqrt(kernel.shape[1] // CHANNELS)
    cells = kernel.reshape(-1, side, side, CHANNELS).transpose(3, 1, 2, 0)
    return cells.reshape(kernel.shape[1], -1, 1, 1)


def _shuffled_bias(bias):
    side = math.isqrt(bias.shape[0] // CHANNELS)
    return bias.reshape(CHANNELS, side, side).transpose(1, 2, 0).reshape(-1)


def _shuffled_bias_back(bias):
    side = math.isqrt(bias.shape[0] // CHANNELS)
    return bias.reshape(side, side, CHANNELS).transpose(2, 0, 1).reshape(-1)


# (out, in) <-> (in, out).
TRANSPOSED = Transform(lambda x: x.T, lambda x: (x.T,))
# (out, in, h, w) <-> (h, w, in, out).
CONVOLUTION = Transform(lambda x: x.transpose(2, 3, 1, 0), lambda x: (x.transpose(3, 2, 0, 1),))
# The same, whose inverse also takes the flat kernel of a patch embedding.
PATCHES = Transform(CONVOLUTION.ours, lambda x: (_patches_back(x),))
# q, k and v, each (out, in) <-> one (in, q|k|v); and their biases.
FUSED = Transform(lambda *qkv: np.concatenate(qkv).T, lambda x: tuple(np.split(x.T, 3)))
FUSED_BIAS = Transform(lambda *qkv: np.concatenate(qkv), lambda x: tuple(np.split(x, 3)))
# Gate and value, each (out, in) <-> one (in, gate|value); and their biases.
PAIR = Transform(lambda *ab: np.concatenate(ab).T, lambda x: tuple(np.split(x.T, 2)))
PAIR_BIAS = Transform(lambda *ab: np.concatenate(ab), lambda x: tuple(np.split(x, 2)))
# A token (D,) <-> (1, 1, D), a token (1, D) <-> (1, 1, D), a table (n, D) <-> (1, n, D).
TOKEN = Transform(lambda x: x.reshape(1, 1, -1), lambda x: (x.reshape(-1),))
TOKEN_ROW = Transform(lambda x: x.reshape(1, 1, -1), lambda x: (x.reshape(1, -1),))
TABLE = Transform(lambda x: x[None], lambda x: (x[0],))
# A 1x1 convolution in front of PixelShuffle <-> a linear layer to our patches.
SHUFFLED = Transform(_shuffled, lambda x: (_shuffled_back(x),))
SHUFFLED_BIAS = Transform(_shuffled_bias, lambda x: (_shuffled_bias_back(x),))


def leaf(ours: str, theirs: str, *, transform: Transform = SAME) -> tuple[Rule, ...]:
    """One leaf each."""
    return (Rule(ours, (theirs,), transform),)


def linear(ours: str, theirs: str, *, transform: Transform = TRANSPOSED) -> tuple[Rule, ...]:
    """A linear layer, and with another transform of the kernel any that has a bias."""
    return (
        Rule(f"{ours}/kernel", (f"{theirs}.weight",), transform),
        Rule(f"{ours}/bias", (f"{theirs}.bias",)),
    )


def convolution(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A convolution with an HWIO kernel here."""
    return linear(ours, theirs, transform=CONVOLUTION)


def norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A layer norm."""
    return (
        Rule(f"{ours}/scale", (f"{theirs}.weight",)),
        Rule(f"{ours}/bias", (f"{theirs}.bias",)),
    )


def scale(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A norm without a bias."""
    return leaf(f"{ours}/scale", f"{theirs}.weight")


def batch_norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A batch norm with its running statistics."""
    return (
        *norm(ours, theirs),
        Rule(f"{ours}/mean", (f"{theirs}.running_mean",)),
        Rule(f"{ours}/var", (f"{theirs}.running_var",)),
    )


def separate(ours: str, q: str, k: str, v: str) -> tuple[Rule, ...]:
    """Our fused `qkv` from three layers."""
    return (
        Rule(f"{ours}/qkv/kernel", (f"{q}.weight", f"{k}.weight", f"{v}.weight"), FUSED),
        Rule(f"{ours}/qkv/bias", (f"{q}.bias", f"{k}.bias", f"{v}.bias"), FUSED_BIAS),
    )


def pair(ours: str, gate: str, value: str) -> tuple[Rule, ...]:
    """Our gate and value in one layer from two."""
    return (
        Rule(f"{ours}/kernel", (f"{gate}.weight", f"{value}.weight"), PAIR),
        Rule(f"{ours}/bias", (f"{gate}.bias", f"{value}.bias"), PAIR_BIAS),
    )


def separate_qv(ours: str, q: str, k: str, v: str) -> tuple[Rule, ...]:
    """The same of layers whose keys have no bias (BEiT, SwinV2)."""
    return (
        Rule(f"{ours}/qkv/kernel", (f"{q}.weight", f"{k}.weight", f"{v}.weight"), FUSED),
        Rule(f"{ours}/q_bias", (f"{q}.bias",)),
        Rule(f"{ours}/v_bias", (f"{v}.bias",)),
    )


# The decoder `pixels` of SimMIM: a 1x1 convolution and PixelShuffle.
PIXELS = (
    Rule("decoders/pixels/head/kernel", ("decoder.0.weight",), SHUFFLED),
    Rule("decoders/pixels/head/bias", ("decoder.0.bias",), SHUFFLED_BIAS),
)
