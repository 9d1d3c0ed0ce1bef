"""What was written and measured before the packages were rearranged is read and found again."""

import hashlib
import json
import pathlib
import zipfile

import jax
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.parallel import sharding
from m3i_jax.training import log, session
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config

BEFORE = pathlib.Path(__file__).parents[1] / "before"
# Losses of the first three steps on the fixture `batch`, one device, commit eb05163.
LOSSES = json.loads((BEFORE / "losses.json").read_text())


@pytest.fixture
def workdir(tmp_path):
    """A run of 6 steps that was stopped after step 4."""
    with zipfile.ZipFile(BEFORE / "run.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def digests(items):
    """One for each leaf of {item: tree}: dtype, shape and bytes."""
    found = {}
    for item, tree in items.items():
        for name, leaf in trees.named_leaves(tree):
            leaf = np.asarray(leaf)
            told = f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes()
            found[f"{item}/{name}"] = hashlib.sha256(told).hexdigest()[:16]
    return found


def test_an_old_checkpoint_restores_bit_for_bit_and_goes_on(workdir):
    config = Config.of(json.loads((workdir / "config.json").read_text()))
    run = assemble(config, images=64, devices=jax.devices()[:1])
    kept = Checkpoints(workdir / "checkpoints", read_only=True)
    restored = kept.restore(sharding.abstract(run.abstract.items(), run.shardings.items()))
    stored = {item: kept.restore_item(4, item) for item in ("online", "ema", "state")}
    assert restored.step == 4 and digests(stored) == json.loads(
        (BEFORE / "leaves.json").read_text()
    )
    read = [dict(trees.named_leaves(trees_)) for trees_ in (restored.items["ema"], stored["ema"])]
    assert all((np.asarray(read[0][name]) == leaf).all() for name, leaf in read[1].items())
    old = log.read(workdir / "metrics.jsonl")
    assert session.train(config, workdir) == 0
    new = log.read(workdir / "metrics.jsonl")
    assert [line["step"] for line in new] == [1, 2, 3, 4, 5, 6]
    for was, now in zip(old[4:], new[4:], strict=True):
        losses = [k for k in was if k.startswith("train/")]
        # Another compiler's rounding through six steps; another computation is off by 1e-2.
        np.testing.assert_allclose([now[k] for k in losses], [was[k] for k in losses], rtol=1e-4)


@pytest.mark.parametrize("method", sorted(LOSSES))
def test_the_losses_of_five_methods_are_what_they_were(method, shrunk, batch, fits, one_device):
    mesh, devices = one_device
    run = assemble(shrunk(method, mesh=mesh), images=64, devices=devices)
    leaves, losses = jax.tree.leaves(run.create()), []
    advance = run.compiled()
    with jax.set_mesh(run.mesh):
        given = sharding.put(fits(run, batch), run.mesh)
        for _ in LOSSES[method]:
            leaves, metrics = advance(leaves, given)
            losses.append(float(metrics["train/loss"]))
    np.testing.assert_allclose(losses, LOSSES[method], rtol=2e-5)
