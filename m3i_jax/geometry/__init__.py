"""Geometry: where views were cut, how they are divided into patches, how positions are coded."""

from m3i_jax.geometry.boxes import Relation, relation, target_tokens
from m3i_jax.geometry.patches import patchify, unpatchify
from m3i_jax.geometry.positions import relative_sincos, sincos, sincos_at

__all__ = [
    "Relation",
    "patchify",
    "relation",
    "relative_sincos",
    "sincos",
    "sincos_at",
    "target_tokens",
    "unpatchify",
]
