"""Data: sources, host views, batches. A source is chosen by a config block (`source`)."""

from m3i_jax.data.sources import GIVEN, SOURCES, Sample, Source, source

__all__ = ["GIVEN", "SOURCES", "Sample", "Source", "source"]
