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
# # What did my encoder learn
#
# Three looks inside an encoder, beside the same encoder as it was drawn: how far its heads attend,
# how alike its blocks are, and which parts of a picture it tells apart. The encoder here is a small
# one, pre-trained by MAE on drawn shapes; put the work directory of yours in its place.

# %%
import os
import subprocess
import sys
import tempfile

import jax
import matplotlib.pyplot as plt
import numpy as np
import shapes  # draws the pictures; lies beside this file
from PIL import Image

import m3i_jax

TINY = os.environ.get("M3I_NOTEBOOK") == "tiny"
os.chdir(tempfile.mkdtemp())
photos = shapes.folder("photos", each=16 if TINY else 300)
length = ["--steps", "2"] if TINY else ["--epochs", "30"]
words = ["pretrain", "photos", "--method", "mae", *length, "--workdir", "run"]
words += ["--config.encoder.patch=4"]  # 8 × 8 patches of 32 pixels
command = [sys.executable, "-m", "m3i_jax", *words]
done = subprocess.run(command, text=True, capture_output=True)
assert not done.returncode, done.stderr
encoders = {"trained": m3i_jax.load("run"), "as drawn": m3i_jax.load("untrained:run")}
encoders["trained"]

# %%
files = sorted(photos.rglob("*.png"))
files = [files[i] for i in np.linspace(0, len(files) - 1, min(96, len(files))).astype(int)]
sides = {encoder.image for encoder in encoders.values()}
(side,) = sides
images = np.stack([np.asarray(Image.open(f).resize((side, side))) for f in files])

# %% [markdown]
# ## How far its heads attend
#
# `apply` is a pure function, and takes what is to be asked of each block's attention: here the mean
# distance, in pixels, between a patch and what it attends to
# ([Xie et al. 2023](https://arxiv.org/abs/2205.13543)). Heads of an encoder as drawn attend to
# all nearly alike; heads that attend near have learned that pixels hang together.

# %%
from m3i_jax.analysis.attention import attention_distance

patch = encoders["trained"].model.block["patch"]
grid = (side // patch, side // patch)
first = encoders["trained"].features(images[:1])[0].class_token is not None


def distance(scores):
    """Mean distance of each head, in pixels."""
    return attention_distance(scores, grid, patch, class_token=first)


figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (name, encoder), mark in zip(encoders.items(), "ox", strict=True):
    ask = jax.jit(lambda params, x, e=encoder: e.apply(params, x, attention=distance).attention)
    heads = np.stack([np.mean(block, 0) for block in ask(encoder.params, images)])
    block = np.arange(1, len(heads) + 1)[:, None].repeat(heads.shape[1], 1)
    ax.plot(block.ravel(), heads.ravel(), mark, label=name)
ax.set(xlabel="block", ylabel="attention distance, pixels", xticks=range(1, len(heads) + 1))
_ = ax.legend()

# %% [markdown]
# ## How alike its blocks are
#
# CKA ([Kornblith et al. 2019](https://arxiv.org/abs/1905.00414)) of the tokens behind any two
# blocks, over these images: 1 where one is the other turned and scaled.

# %%
from m3i_jax.analysis.similarity import cka

figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for ax, (name, encoder) in zip(axes, encoders.items(), strict=True):
    blocks = encoder.features(images, layers=range(1, len(heads) + 1))
    pooled = [np.float64(block.tokens.mean((1, 2))) for block in blocks]
    alike = np.array([[cka(x, y, unbiased=True) for y in pooled] for x in pooled])
    shown = ax.imshow(alike, vmin=0, vmax=1, cmap="viridis", origin="lower")
    numbers = range(len(blocks))
    ax.set(title=name, xticks=numbers, xticklabels=[n + 1 for n in numbers], xlabel="block",
           yticks=numbers, yticklabels=[n + 1 for n in numbers])  # fmt: skip
_ = figure.colorbar(shown, ax=axes, label="CKA")

# %% [markdown]
# ## What it tells apart
#
# The first three principal components of the patches of all images as red, green and blue
# ([DINOv2](https://arxiv.org/abs/2304.07193)): patches of one colour are alike to the encoder.

# %%
from m3i_jax import pictures
from m3i_jax.analysis import components

chosen = np.linspace(0, len(images) - 1, 8).astype(int)
rows = [*images[chosen]]
for encoder in encoders.values():
    (last,) = encoder.features(images)
    found = components.fit(last.tokens.reshape(-1, last.tokens.shape[-1]))
    rows += [*components.colours(components.scores(found, last.tokens))[chosen]]
Image.fromarray(pictures.grid(rows, columns=len(chosen), height=72))

# %% [markdown]
# From above: the pictures, the trained encoder, the encoder as drawn. What an encoder as drawn
# shows is the colour of the patch and where it lies; whatever is beyond that was learned.
#
# `m3i analyze --model run --data photos` draws these and fourteen other measures, of any number of
# models, beside each other ([analysis](../analysis.md)); [one encoder, trained in four
# ways](../dark_secrets.md) is what can be seen in them.
