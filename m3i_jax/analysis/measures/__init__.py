"""Measures of what encoders look like inside, by name: one file and one line here for each."""

from collections.abc import Sequence
from typing import Any

from m3i_jax import build
from m3i_jax.analysis.measure import Look, Measure, Picture, Rows, Shown
from m3i_jax.analysis.measures.attention import (
    attention_distance,
    attention_entropy,
    head_divergence,
)
from m3i_jax.analysis.measures.attention_maps import attention_maps
from m3i_jax.analysis.measures.cim import cim
from m3i_jax.analysis.measures.cka import cka
from m3i_jax.analysis.measures.drop_blocks import drop_blocks
from m3i_jax.analysis.measures.drop_heads import drop_heads
from m3i_jax.analysis.measures.kernels import kernel_distance, kernel_divergence, kernel_entropy
from m3i_jax.analysis.measures.layer_probes import layer_probes
from m3i_jax.analysis.measures.neighbours import neighbours
from m3i_jax.analysis.measures.norms import norms
from m3i_jax.analysis.measures.objects import objects
from m3i_jax.analysis.measures.pca import pca
from m3i_jax.analysis.measures.rank import rank
from m3i_jax.analysis.measures.rollout import rollout
from m3i_jax.analysis.measures.tracks import tracks

MEASURES = {
    "attention_distance": attention_distance,
    "attention_entropy": attention_entropy,
    "head_divergence": head_divergence,
    "kernel_distance": kernel_distance,
    "kernel_entropy": kernel_entropy,
    "kernel_divergence": kernel_divergence,
    "attention_maps": attention_maps,
    "rollout": rollout,
    "cim": cim,
    "cka": cka,
    "rank": rank,
    "norms": norms,
    "layer_probes": layer_probes,
    "pca": pca,
    "neighbours": neighbours,
    "objects": objects,
    "tracks": tracks,
    "drop_blocks": drop_blocks,
    "drop_heads": drop_heads,
}

__all__ = ["MEASURES", "Look", "Measure", "Picture", "Rows", "Shown", "create", "every", "written"]


def create(blocks: Sequence[dict[str, Any]], *, what: str = "measure") -> list[Measure]:
    """The measures that blocks `{name, **settings}` describe.

    Raises:
      ConfigError: an unknown name or setting, with the nearest right one.
    """
    return [build.build(MEASURES, block, what=what) for block in blocks]


def every() -> list[Measure]:
    """Each measure as it is without settings."""
    return [make() for make in MEASURES.values()]


def written(measure: Measure) -> str:
    """A measure as a command line says it: its name, and the settings that are its own."""
    usual = MEASURES[measure.name]().settings if measure.name in MEASURES else measure.settings
    own = {key: x for key, x in measure.settings.items() if key not in usual or usual[key] != x}
    return measure.name + ":" * bool(own) + ",".join(f"{key}={x}" for key, x in own.items())
