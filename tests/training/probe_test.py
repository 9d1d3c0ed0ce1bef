"""Every row learns: a probe of a toy world beats the untrained encoder where the row is meant to.

In the toy world a category is a tile of ±1, repeated over the whole image, with a random sign for
each sample, and for each view a random contrast, a random tint and more noise than signal. The sign
leaves nothing for a linear map of the pixels: their mean given the category is zero. All that two
views have in common, and all that visible cells say of hidden ones, is the tile and its sign.
"""

import jax
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.parallel import sharding
from m3i_jax.training import frozen
from m3i_jax.training.assemble import assemble
from m3i_jax.types import Batch

CATEGORIES, SIDE, TILE = 4, 16, 4
NOISE, STEPS, BATCH = 0.3, 120, 32
# Accuracies are of 1000 images: two standard errors of a difference are 0.045.
MARGIN = 0.08
PATCHES = {"encoder.patch": 8, "decoders.painter.out": 192}
PAINTED = PATCHES | {"towers.generator.patch": 8, "towers.tokenizer.patch": 8}
# DINO falls to uniform assignments where prototypes are few; an untrained patch embedding of the
# size of a tile reads it already.
NEEDS = {
    "vq_vae": PATCHES,
    "cim": PAINTED,
    "cim revdet": PAINTED,
    "cim_classification": PAINTED,
    "dino": {"decoders.prototypes.out": 512},
    "simmim": {"encoder.patch": 8, "objective.unit": 1},
}


def world(rng, count):
    """A batch of toy samples: two views, two small ones, a category and a caption each."""
    tiles = np.random.default_rng(7).choice([-1.0, 1.0], (CATEGORIES, TILE, TILE, 3))
    label, sign = rng.integers(0, CATEGORIES, count), rng.choice([-1.0, 1.0], (count, 1, 1, 1))

    def view(side=SIDE):
        tile = np.tile(tiles[label], (1, side // TILE, side // TILE, 1))
        contrast = sign * rng.uniform(0.1, 0.2, (count, 1, 1, 1))
        tint = rng.uniform(0.4, 0.6, (count, 1, 1, 3))
        noise = NOISE * rng.standard_normal(tile.shape)
        return np.uint8(np.clip(tint + contrast * tile + noise, 0, 1) * 255)

    images = {"a": view(), "b": view(), "l0": view(8), "l1": view(8)}
    box = np.tile(np.float32([0, 0, SIDE, SIDE, 0, SIDE]), (count, 1))
    text = np.zeros((count, 16), np.int32)
    text[:, 0], text[:, 1] = 3 + label, 20
    return Batch(images, {name: box for name in images}, label.astype(np.int32), text)


def ridge(train, train_labels, test, test_labels):
    """Accuracy of a ridge regression onto the categories, features standardised, λ = n/10."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    x, y = (train - mean) / std, np.eye(CATEGORIES)[train_labels] - 1 / CATEGORIES
    weights = np.linalg.solve(x.T @ x + len(x) * 0.1 * np.eye(x.shape[1]), x.T @ y)
    return (((test - mean) / std @ weights).argmax(1) == test_labels).mean()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return world(rng, 400), world(rng, 1000)


def accuracy(run, params, data):
    """Probe of the mean patch token."""
    train, test = data
    encode = jax.jit(lambda p, x: run.network.encode(p, "image", x).tokens.mean(1))
    found = (np.asarray(encode(params, normalize.channels(b.images["a"] / 255.0))) for b in data)
    return ridge(next(found), train.label, next(found), test.label)


def test_pixels_say_nothing(data):
    train, test = (b.images["a"].reshape(len(b.label), -1) / 255.0 for b in data)
    assert ridge(train, data[0].label, test, data[1].label) < 0.32  # chance is 0.25 ± 0.014


@pytest.fixture(scope="module")
def begin(shrunk, one_device):
    """begin(row, **changes) -> (run, first state), on a device."""
    mesh, devices = one_device
    how = dict(mesh=mesh, batch=BATCH, duration=f"{STEPS} steps", warmup="10 steps")

    def made(row, **changes):
        config = shrunk(row, **how, **NEEDS.get(row, {}), **changes)
        run = assemble(config, images=1000, devices=devices)
        return run, frozen.fill(run, run.create())

    return made


@pytest.fixture(scope="module")
def trained(fits):
    """trained(run, state) -> the state after all steps, each on new samples."""

    def advanced(run, state):
        rng, advance = np.random.default_rng(1), run.compiled()
        treedef, leaves = jax.tree.structure(state), jax.tree.leaves(state)
        with jax.set_mesh(run.mesh):
            for _ in range(STEPS):
                leaves, _ = advance(leaves, sharding.put(fits(run, world(rng, BATCH)), run.mesh))
        return jax.tree.unflatten(treedef, leaves)

    return advanced


@pytest.fixture(scope="module")
def painter(begin, trained, tmp_path_factory):
    """The work directory of a tokenizer of the toy world, for the rows whose images it paints."""
    path = tmp_path_factory.mktemp("painter")
    run, state = begin("vq_vae")
    with Checkpoints(path / "checkpoints") as kept:
        kept.save(STEPS, trained(run, state).items(), {"config": run.config.to_dict()}, wait=True)
    return str(path)


def test_a_probe_beats_the_untrained_encoder(any_row, begin, trained, data, request):
    words = {}
    if any_row.startswith("cim"):
        words = {"weights.tokenizer.path": request.getfixturevalue("painter")}
    run, state = begin(any_row, **words)
    before = accuracy(run, state.params, data)
    after = accuracy(run, trained(run, state).params, data)
    # Random features that are not linear see past the sign: 0.42 where chance is 0.25.
    assert 0.3 < before < 0.5
    assert after > before + MARGIN, (before, after)
