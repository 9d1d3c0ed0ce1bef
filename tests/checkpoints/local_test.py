"""Emergency saves: to the bit where all is as it was, said and left alone where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.checkpoints import local
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.checkpoints.local import LocalCheckpoints
from m3i_jax.checkpoints.storage import Storage
from m3i_jax.parallel import processes, sharding

META = {"data": {"sample": 8}}
SPLIT = {"data": 2, "fsdp": 4}


def items(axes, seed=1):
    """Arrays of several types: split, whole, without a dimension, and a random key."""
    mesh, rng = sharding.mesh(axes), np.random.default_rng(seed)
    put = lambda x, *spec: jax.device_put(x, NamedSharding(mesh, P(*spec)))  # noqa: E731
    return {
        "online": {"w": put(np.float32(rng.normal(size=(8, 3))), "fsdp"),
                   "b": put(jnp.bfloat16(rng.normal(size=4)))},
        "state": {"step": put(np.int32(7)), "key": put(jax.random.key(seed)),
                  "none": put(np.zeros((0, 2), np.float32))},
    }  # fmt: skip


def shapes(tree):
    like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)  # noqa: E731
    return jax.tree.map(like, tree)


def saved(folder, *steps, **options):
    kept = LocalCheckpoints(folder, "run", **options)
    for step in steps:
        kept.save(step, items(SPLIT, step), META)
        kept.close()
    return kept


def bits(tree):
    words = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    return [np.asarray(words(leaf)).tobytes() for leaf in jax.tree.leaves(tree)]


def test_what_comes_back_is_what_was_saved_and_the_newest_stay(tmp_path):
    (tmp_path / "run" / "process-0-of-2" / "9").mkdir(parents=True)
    kept = saved(tmp_path, 3, 6, 9, keep=2)
    place = tmp_path / "run" / "process-0-of-1"
    assert sorted(path.name for path in place.iterdir()) == ["6", "9"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == [place.name], "of two: no use"
    assert kept.newest() == 9
    wanted = items(SPLIT, 9)
    found = LocalCheckpoints(tmp_path, "run").restore(9, shapes(wanted))
    assert (found.step, found.meta) == (9, META) and bits(found.items) == bits(wanted)
    placed = zip(jax.tree.leaves(found.items), jax.tree.leaves(wanted), strict=True)
    assert all(one.sharding == two.sharding for one, two in placed)
    extra = shapes(wanted) | {"recent": {"x": np.zeros(2, np.float32)}}
    assert kept.restore(9, extra, optional=("recent",)).items.keys() == wanted.keys()
    kept.clear()
    assert not (tmp_path / "run").exists()


def test_a_damaged_one_is_said_and_the_one_before_is_the_newest(tmp_path, caplog):
    kept = saved(tmp_path, 3, 6)
    file = tmp_path / "run" / "process-0-of-1" / "6" / local.FILE
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert kept.newest() == 3 and "step 6 is damaged" in caplog.text
    assert kept.restore(6, shapes(items(SPLIT))) is None, "nor between the two questions"


@pytest.mark.parametrize(
    "wanted, said",
    [
        (lambda: items({"data": 4, "fsdp": 2}), "'online/w' are those of another mesh"),
        (lambda: {"online": {"w": np.zeros(3, np.float32)}}, "does not fit this run"),
    ],
)
def test_what_does_not_fit_is_left_to_the_shared_ones(wanted, said, tmp_path, caplog):
    wanted = wanted()
    like = shapes(wanted) if "state" in wanted else wanted
    assert saved(tmp_path, 3).restore(3, like) is None and said in caplog.text


def test_a_step_counts_that_all_processes_have(tmp_path, monkeypatch):
    kept = saved(tmp_path, 3, 6)
    for other, newest in (([6, 3, -1, -1], 6), ([3, -1, -1, -1], 3), ([9, 0, -1, -1], None)):
        both = lambda own, other=other: np.concatenate([own, np.int32(other)])  # noqa: E731
        monkeypatch.setattr(processes, "gathered", both)
        assert kept.newest() == newest
    monkeypatch.setattr(processes, "anywhere", lambda flag: True)
    assert kept.restore(6, shapes(items(SPLIT, 6))) is None, "another one cannot read it"


def test_a_disk_that_fails_is_said_and_nothing_else(tmp_path, caplog):
    def full(path, data):
        raise OSError(28, "No space left on device")

    kept = saved(tmp_path, 3, storage=Storage(publish=full))
    assert "step 3 could not be saved" in caplog.text and kept.newest() is None
    assert LocalCheckpoints(tmp_path, "run").newest() is None
    assert not [*(tmp_path / "run" / "process-0-of-1").iterdir()], "leftovers are cleared"
    bad = items(SPLIT) | {"ema": {"x": jnp.float32([np.nan])}}
    assert not saved(tmp_path).save(4, bad, META) and "ema/x is not finite" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="config.checkpoint.local, '.*file', cannot be"):
        LocalCheckpoints(tmp_path / "file", "run")
