# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own loss
#
# The same loss twice: first in a training loop of one's own, with Flax and optax and only masks and
# patches from here; then as a method, which the engine trains like every other one, with its
# encoders, logs, checkpoints and many devices.
#
# The loss is that of the Cauchy distribution, mean_d log(1 + e_d²/2c²)
# ([Barron 2019](https://arxiv.org/abs/1701.03077), α = 0): a few pixels that cannot be known do not
# lead. No paper pre-trains with it, and nothing is claimed for it here.

# %%
import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import shapes  # draws the pictures; lies beside this file
from flax import linen as nn
from PIL import Image

from m3i_jax import geometry, masks, normalize

TINY = os.environ.get("M3I_NOTEBOOK") == "tiny"
STEPS = 3 if TINY else 60
PATCH, SIDE = 8, 32

folder = shapes.folder(tempfile.mkdtemp(), each=8 if TINY else 64)
files = sorted(folder.rglob("*.png"))
images = np.stack([np.asarray(Image.open(f).resize((SIDE, SIDE))) for f in files])
images.shape, images.dtype

# %% [markdown]
# ## In a loop of one's own
#
# Losses of the library, and this one, return one value per position, in float32, and know nothing
# of devices; the mean over what counts is the caller's.


# %%
def cauchy(prediction, target, *, scale=1.0):
    """mean_d log(1 + e_d²/(2c²)): (..., D), (..., D) -> (...)."""
    error = prediction.astype(jnp.float32) - target
    return jnp.log1p(jnp.square(error / scale) / 2).mean(-1)


class Infill(nn.Module):
    """Predicts all patches from those that are visible: hidden ones are a learned token."""

    width: int = 64

    @nn.compact
    def __call__(self, patches, visible):
        x = nn.Dense(self.width)(patches)
        x = jnp.where(visible[..., None], x, self.param("hidden", nn.initializers.zeros, (1,)))
        x = x + self.param("place", nn.initializers.normal(0.02), x.shape[1:])
        x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
        x = x + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        return nn.Dense(patches.shape[-1])(nn.LayerNorm()(x))


pixels = jnp.asarray(images, jnp.float32) / 255
patches = geometry.patchify(pixels, PATCH)  # (N, 16, 192)
target = geometry.patchify(normalize.patches(pixels, PATCH), PATCH)
grid = (SIDE // PATCH, SIDE // PATCH)
model, optimizer = Infill(), optax.adamw(3e-3)


def loss(params, key):
    """The mean of the Cauchy loss over the hidden patches."""
    visible = masks.random(key, len(images), grid, 0.5).reshape(len(images), -1)
    error = cauchy(model.apply(params, patches, visible), target)
    return error.mean(where=~visible)


@jax.jit
def step(params, state, key):
    """One step of AdamW."""
    value, grads = jax.value_and_grad(loss)(params, key)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, value


params = model.init(jax.random.key(0), patches, jnp.ones(patches.shape[:2], bool))
state, values = optimizer.init(params), []
for number in range(STEPS):
    params, state, value = step(params, state, jax.random.key(number))
    values.append(float(value))
print(f"loss {values[0]:.3f} at first, {values[-1]:.3f} after {STEPS} steps")

# %% [markdown]
# ## As a method
#
# A method is data: representations of views, and terms that predict one from another. This one is
# MAE with another distribution, `tokenwise` makes a distribution of a loss.

# %%
from m3i_jax import framework as fw
from m3i_jax import methods
from m3i_jax.framework import Code, Masking, Method, Term
from m3i_jax.ranges import Hidden


def robust_mae(*, hidden: Hidden = 0.5) -> Method:
    """MAE with −log P̂ = Cauchy in the place of the Gaussian."""
    x = Code("a", fw.online(), Masking(masks.random, hidden))
    y = Code("a", fw.pixels())
    predict = fw.tokenwise("Cauchy", cauchy)
    return Method(
        {"x": x, "y": y}, {"pixels": Term("x", "y", "image", predict, positions="hidden")}
    )


# %% [markdown]
# A session knows it once it is in the table; [extending](../extending.md) shows, as a diff, what it
# takes to have it in the library for good. Everything else is a config: here that of MAE on digit
# scenes, with fewer images at once.

# %%
from m3i_jax import cli
from m3i_jax.methods import describe
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config

methods.METHODS["robust_mae"] = robust_mae
config = cli.load("digit_scenes/mae")
config.update(batch=len(images), duration=f"{STEPS} steps", warmup="1 steps", image=SIDE)
config.objective = {"name": "robust_mae", "hidden": 0.5}
config.target = {}
config.encoder.update(width=64, depth=1, heads=2)
config.decoders.image.update(width=64, depth=1, heads=2)
run = assemble(Config.of(config), images=len(images))
print(describe.markdown({"robust_mae": run.method}))

# %% [markdown]
# `m3i pretrain` would read batches from a data set; a step is a pure function of a state and any
# batch.

# %%
from m3i_jax.types import Batch

whole = np.tile(np.float32([0, 0, SIDE, SIDE, 0, SIDE]), (len(images), 1))  # the crop: all of it
batch = Batch({"a": images}, {"a": whole}, np.full(len(images), -1, np.int32), None)

with jax.set_mesh(run.mesh):
    advance, trained = jax.jit(run.step()), run.create()
    logs = []
    for _ in range(STEPS):
        trained, metrics = advance(trained, batch)
        logs.append(jax.device_get(metrics))
print(f"loss {logs[0]['train/loss']:.3f} at first, {logs[-1]['train/loss']:.3f} at the end")
print(f"knows {logs[-1]['information/pixels']:.2f} nats of its target, an estimate")

# %% [markdown]
# The second line came for free: the engine logs, for each term, an estimate of the information
# that it carries ([information](../methods.md#information)). Where to go on:
# [extending](../extending.md) adds a loss, an encoder, a data source, a task and an optimiser, each
# as a diff that applies.
