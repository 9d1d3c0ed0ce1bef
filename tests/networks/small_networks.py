"""Networks of a few parameters, and what they are called with."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import networks

NANO = dict(name="vit_nano", width=16, depth=1, heads=2, image=16)
DECODERS = {
    "image": dict(name="query", width=16, depth=1, heads=2),
    "category": dict(name="attention_pool", heads=2),
    "text": dict(name="attention_pool", heads=2, logit_scale=True),
}
OUT = {"image": 16, "category": 8, "text": 8}
TOWERS = {
    "category": dict(name="table", size=10, width=8),
    "text": dict(name="text_nano", width=8, depth=1, heads=2, length=6, unit_norm=True),
}


def built(encoder=NANO, towers=TOWERS, decoders=DECODERS, *, out=OUT, dtype="float32", image=32):
    return networks.build(encoder, towers, decoders, image=image, dtype=dtype, out=out)


def drawn(network):
    """Parameters of the right shapes, without compiling their initialisation."""
    draw = np.random.default_rng(0).normal
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


def inputs(key, batch=8):
    images = jax.random.normal(key, (batch, 16, 16, 3))
    return images, jnp.arange(batch) % 10 - 1, jnp.arange(batch * 6).reshape(batch, 6) % 50
