"""A small network with its first parameters."""

import jax
import pytest

from tests.networks.small_networks import built


@pytest.fixture(scope="module")
def small():
    network = built()
    return network, jax.jit(network.init)(jax.random.key(0))
