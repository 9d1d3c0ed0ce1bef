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
# # First run on a folder
#
# From a folder of pictures to features of one's own, in one command and three lines. The folder is
# drawn here, so that the page can be run anywhere; put the path of yours in its place.
#
# `M3I_NOTEBOOK=tiny` in the environment makes all sizes as small as they go, to see that all of it
# runs.

# %%
import os
import subprocess
import sys
import tempfile

import numpy as np
import shapes  # draws the pictures; lies beside this file
from PIL import Image

TINY = os.environ.get("M3I_NOTEBOOK") == "tiny"
os.chdir(tempfile.mkdtemp())
photos = shapes.folder("photos", each=24 if TINY else 300)
contents = sorted(path.relative_to(photos) for path in photos.rglob("*.png"))
print(len(contents), "pictures:", contents[0], "to", contents[-1])

# %% [markdown]
# ## Pre-training
#
# In a terminal this is `m3i pretrain photos --epochs 20`. No labels are used: the method is SimCLR
# unless `--method` says another one. What was chosen, and why, is printed; the names of the
# folders serve to measure at the end.

# %%
length = ["--steps", "2"] if TINY else ["--epochs", "20"]
command = [sys.executable, "-m", "m3i_jax", "pretrain", "photos", *length, "--workdir", "run"]
done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(done.stdout)
assert not done.returncode

# %% [markdown]
# The table at the end compares the encoder with itself untrained, and with raw pixels, on pictures
# that were held out. `run/report.html` has all of it, with curves and pictures.
#
# ## The encoder as a function

# %%
import m3i_jax

encoder = m3i_jax.load("run")
encoder

# %% [markdown]
# `encode` takes arrays, pictures of Pillow's, paths, or a list of them, each of its own size, and
# does the rest: resizing, cropping, normalising, batches.

# %%
features = encoder.encode([photos / contents[0], Image.open(photos / contents[-1])])
features.shape, features.dtype

# %% [markdown]
# `embed` goes through a folder, and names what it has found.

# %%
found = encoder.embed("photos", quiet=True)
found.features.shape, found.classes

# %% [markdown]
# ## Neighbours
#
# The simplest look at what was learned: for a few pictures, which others are nearest, by the cosine
# of their features? The first column is the question.

# %%
from m3i_jax import pictures
from m3i_jax.analysis import neighbours

asked = np.linspace(0, len(found.names) - 1, 6).astype(int)
rows, cosines = neighbours.nearest(found.features, asked, k=6)
tiles = [[question, *answers] for question, answers in zip(asked, rows, strict=True)]
opened = [np.asarray(Image.open(found.names[i])) for row in tiles for i in row]
Image.fromarray(pictures.grid(opened, columns=7))

# %%
same = (found.labels[rows] == found.labels[asked][:, None]).mean()
print(f"{100 * same:.0f} % of the neighbours are of the same kind; by chance it would be 33 %")

# %% [markdown]
# Six questions tell little; `m3i evaluate --model run --data photos --task knn,linear` measures it
# with intervals. Where to go on: [your first hour](../start.md), [evaluating](../evaluation.md),
# [what did my encoder learn](what_it_learned.py).
