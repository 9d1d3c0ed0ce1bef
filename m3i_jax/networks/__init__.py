"""Networks: encoders and decoders, seen from outside as pure functions over plain dicts.

Nothing above this package knows that there is Flax. Parameters are
{"encoders": {tower: ...}, "decoders": {name: ...}}, nested dicts of float32 arrays.
"""

from m3i_jax.networks.network import Network, build
from m3i_jax.networks.parameters import Params
from m3i_jax.networks.towers import Tower

__all__ = ["Network", "Params", "Tower", "build"]
