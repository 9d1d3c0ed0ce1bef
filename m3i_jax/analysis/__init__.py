"""Looks inside encoders and runs: pictures, measures, the page of a run."""

from m3i_jax.analysis.attention import attention_distance, attention_entropy, head_divergence
from m3i_jax.analysis.kernels import kernel_distance, kernel_divergence, kernel_entropy
from m3i_jax.analysis.similarity import cka

__all__ = [
    "attention_distance",
    "attention_entropy",
    "cka",
    "head_divergence",
    "kernel_distance",
    "kernel_divergence",
    "kernel_entropy",
]
