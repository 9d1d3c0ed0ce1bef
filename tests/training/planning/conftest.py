"""A small run, traced once for all that is planned of it."""

import pytest

from m3i_jax.training.planning import estimate


@pytest.fixture(scope="session")
def small(shrunk):
    """(Config, Traced) of an MAE of 64 images a step."""
    config = shrunk("mae", batch=64, dtype="bfloat16")
    return config, estimate.traced(config)
