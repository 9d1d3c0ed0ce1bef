"""A record that spoils its batch: left out, bundled, replayed and named, to the bit."""

import shutil
from functools import partial

import jax
import numpy as np
import pytest

from m3i_jax import cli, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data.order import shuffled
from m3i_jax.parallel import sharding
from m3i_jax.training import bundle, log
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.replay import Replayed, by_row, page, replay
from m3i_jax.training.session import train

RECORDS, BATCH, SPOILT, TOTAL = 48, 8, 5, 6  # the step that has the white image among grey ones
WHITE = shuffled((SPOILT - 1) * BATCH + 3, length=RECORDS, seed=0)
ITEMS = ("online", "ema", "state")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """(config, work directory) of an epoch of MAE on pixels."""
    folder = tmp_path_factory.mktemp("spoilt")
    images = np.random.default_rng(0).integers(110, 126, (RECORDS, 16, 16, 3), dtype=np.uint8)
    images[WHITE] = 255
    np.savez(folder / "train.npz", images=images)
    config = cli.load("digit_scenes/mae").to_dict()
    config.update(image=16, batch=BATCH, duration=f"{TOTAL} steps", warmup="1 steps")
    config["encoder"].update(width=32, depth=1, heads=2, patch=4)
    config["decoders"]["image"].update(width=32, depth=1, heads=2)
    config["target"]["normalization"] = "raw"
    config["data"] = {"name": "arrays", "root": str(folder)}
    config["spikes"] = dict(factor=1.6, window=2)
    config["log"] = dict(every=1, images=0, to=())
    config["checkpoint"] = dict(every=1, keep=9)
    config["monitor"] = dict(every=0)
    assert train(Config.of(config), folder / "run") == 0
    return config, folder / "run"


def saved(workdir, step):
    """{item: {name: array}} of a checkpoint."""
    kept = Checkpoints(place.folder(workdir), read_only=True)
    return {name: dict(trees.named_leaves(kept.restore_item(step, name))) for name in ITEMS}


def test_the_step_is_left_out_counted_and_bundled(spoilt):
    _, workdir = spoilt
    lines = {line["step"]: line for line in log.read(workdir / "metrics.jsonl")}
    assert [lines[step]["optim/skipped"] for step in range(1, 7)] == [0, 0, 0, 0, 1, 1]
    (path,) = (workdir / "skipped").iterdir()
    told = bundle.read(path)
    assert told.step == SPOILT and told.records[3] == WHITE and len(set(told.records)) == BATCH
    assert "more than 1.6 times" in told.why
    assert told.metrics["train/loss"] == lines[SPOILT]["train/loss"]
    before, after = saved(workdir, SPOILT - 1), saved(workdir, SPOILT)
    for item in ITEMS:
        for name, leaf in before[item].items():
            counter = name in ("step", "skipped")
            np.testing.assert_array_equal(leaf + 1 if counter else leaf, after[item][name])


def test_a_run_that_goes_on_in_front_of_it_is_the_same_to_the_bit(spoilt, tmp_path):
    config, workdir = spoilt
    shutil.copytree(workdir, tmp_path / "run")
    for step in (5, 6):
        shutil.rmtree(place.folder(tmp_path / "run") / str(step))
    shutil.rmtree(tmp_path / "run" / "skipped")
    assert train(Config.of(config), tmp_path / "run") == 0
    jax.tree.map(
        np.testing.assert_array_equal, saved(workdir, TOTAL), saved(tmp_path / "run", TOTAL)
    )
    one, two = (bundle.read(bundle.path_of(w, SPOILT)) for w in (workdir, tmp_path / "run"))
    assert one == two


def test_the_replay_names_the_record_first(spoilt):
    _, workdir = spoilt
    found = replay(bundle.path_of(workdir, SPOILT))
    told = found.bundle.metrics
    assert found.start == SPOILT - 1, "so that the weights are those that the step had"
    for name in ("train/loss", "optim/grad_norm"):
        np.testing.assert_allclose(found.metrics[name], told[name], rtol=1e-5)
    (values,) = found.losses.values()
    np.testing.assert_allclose(values.mean(), told["train/loss"], rtol=1e-5)
    assert not any(rows.any() for rows in found.faults.values())
    lines = page(found).splitlines()
    (first,) = [n for n, line in enumerate(lines) if "1 of 8 records stand out" in line]
    assert lines[first + 1].startswith(f"  ! record {WHITE} (")
    assert sum(line.startswith("  ! ") for line in lines) == 1


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(config=dict(batch=16)), "was made by another config: batch was 8, is now 16"),
        (dict(fingerprint=dict(length=49)), "data changed since step 5: length was 49, is now 48"),
        (dict(step=1), "no checkpoint from before step 1, only 1, 2, 3, 4, 5, 6; .*keep_every"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(spoilt, change, sentence):
    _, workdir = spoilt
    told = bundle.read(bundle.path_of(workdir, SPOILT))
    own = {k: getattr(told, k) | v if isinstance(v, dict) else v for k, v in change.items()}
    path = workdir / "skipped" / "other.json"
    bundle.write(workdir, told._replace(**own)).rename(path)
    bundle.write(workdir, told)
    with pytest.raises(ConfigError, match=sentence):
        replay(path)
    path.unlink()


def test_a_bundle_elsewhere_is_refused(spoilt, tmp_path):
    _, workdir = spoilt
    path = bundle.write(tmp_path / "a", bundle.read(bundle.path_of(workdir, SPOILT)))
    with pytest.raises(ConfigError, match="is no work directory; expected the bundle where"):
        replay(path)


def by_hand(spoilt, losses, **faults):
    told = bundle.read(bundle.path_of(spoilt[1], SPOILT))
    names = [f"record {number}" for number in told.records]
    numbers = {"train/loss": np.nan, "optim/grad_norm": np.nan}
    return Replayed(told, 2, numbers, names, {"x": np.float32(losses)}, faults)


def test_what_is_not_finite_comes_first(spoilt):
    """A term that compares rows is finite nowhere then: the code that is not is named."""
    rows = np.arange(BATCH)
    some = by_hand(spoilt, [1, 2, 3, np.nan, 1, 2, 300, 1])
    lines = [line for line in page(some).splitlines() if "! " in line]
    numbers = some.bundle.records
    assert [line.split(":")[0] for line in lines] == [
        f"  ! record {numbers[3]}",
        f"  ! record {numbers[6]}",
    ]
    every = [np.nan] * BATCH
    said = page(by_hand(spoilt, every, **{"code online": rows == 5, "view a": rows < 0}))
    assert f"  ! record {numbers[5]}: x nan; not finite: code online\n" in said
    assert "not finite for all records alike" in page(by_hand(spoilt, every, view=rows >= 0))
    assert "no record stands out" in page(by_hand(spoilt, [1, 2, 3, 1, 2, 3, 1, 2]))


def test_rows_are_those_of_the_batch_however_it_is_cut(shrunk, batch, fits, one_device):
    """Mixed images in two micro-batches: the mean of a term is the step's; row 3 has no label."""
    mesh, devices = one_device
    changes = dict(mesh=mesh, accumulate=2, **{"objective.mix_group": 2})
    run = assemble(shrunk("mixed_classification", **changes), images=100, devices=devices)
    given = sharding.put(fits(run, batch), run.mesh)
    with jax.set_mesh(run.mesh):
        state = run.create()
        _, metrics = jax.jit(run.step())(state, given)
        losses, faults = jax.jit(partial(by_row, run))(state, given)
    for name, values in losses.items():
        np.testing.assert_allclose(values.mean(), metrics[f"train/{name}"], rtol=1e-5)
        np.testing.assert_array_equal(values == 0, np.arange(BATCH) == 3, err_msg=name)
    assert not any(rows.any() for rows in faults.values()) and "view mix" in faults
