"""Models of images, labels and texts that have never been trained, on a few digit scenes."""

import pathlib

import jax
import numpy as np

from m3i_jax import cli, data
from m3i_jax.data import captions
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.training.assemble import build_network, objective
from m3i_jax.training.config import Config


def config(name="m3i", **changes):
    """An embedded config, as small as they come."""
    plain = cli.load(f"digit_scenes/{name}").to_dict()
    plain.update(image=16, seed=3)
    plain["encoder"].update(width=16, depth=1, heads=2, patch=8)
    for tower in plain["towers"].values():
        tower["width"] = 16
    plain["data"].update(length=43, size=16)
    return Config.of(plain | changes)


def of(workdir, name="m3i", **changes):
    """A model of such a config, its tokenizer in the work directory."""
    run = config(name, **changes)
    if run.captions:
        source = data.source(run.data, split="train")
        made = captions.train(source.captions(), **run.captions)
        workdir.mkdir(parents=True, exist_ok=True)
        made.save(workdir / "tokenizer.json")
    network = build_network(run, objective(run))
    params = jax.jit(network.init)(jax.random.key(0))
    # At first all rows of a table are nearly 0, and so are all scores.
    table = params["encoders"].get("category", {})
    table |= {k: 50 * x for k, x in table.items()}
    how = dict(network=network, params=params, workdir=workdir, config=run)
    return models.Model("toy", "online", run.image, **how)


def of_config(name):
    """What stands for the run of such a config where only its data are wanted."""
    run = config(name)
    return models.Model("data", "pixels", run.image, workdir=pathlib.Path("unused"), config=run)


def evaluation(workdir, name="m3i", *, changes=None, **how):
    """Such a model on its own data, in batches that do not divide it."""
    model = of(workdir, name, **(changes or {}))
    return Evaluation(model, datasets.of_run(model), batch=10, **how)


def images(source):
    """The test images, normalised, (N, H, W, 3) float32."""
    x = np.stack([source[i].image for i in range(len(source))]) / np.float32(255)
    return (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
