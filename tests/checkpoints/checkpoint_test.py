import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from orbax.checkpoint import v1 as ocp

from m3i_jax import trees
from m3i_jax.checkpoints import storage
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError, Locked, Mismatch, NotFinite
from m3i_jax.checkpoints.storage import MANIFEST, Storage
from m3i_jax.parallel import sharding
from tests import programs

FSDP, CUBE = {"data": 2, "fsdp": 4}, {"data": 2, "fsdp": 2, "tensor": 2}


class Pair(NamedTuple):
    first: Any
    second: Any


def make(seed, mesh=None):
    """Items like a training state: stacked blocks, moments, a counter, bfloat16, a key, nothing."""
    rng = np.random.default_rng(seed)
    blocks = {"kernel": rng.normal(size=(3, 8, 16)), "bias": rng.normal(size=(3, 16))}
    params = {
        "encoders": {"image": {"blocks": blocks}},
        "decoders": {"a": {"kernel": rng.normal(size=(16, 24))}},
    }
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    tx = optax.adam(1e-3)
    state = {
        "step": jnp.int32(seed),
        "optimizer": tx.update(params, tx.init(params), params)[1],
        "codes": {"online/image": (), "queue": Pair(jnp.ones((4, 2), jnp.bfloat16) * seed, ())},
        "none": jnp.zeros((0, 3)),
        "key": jax.random.key(seed),
    }
    items = {"online": params, "ema": jax.tree.map(lambda x: x * 0.5, params), "state": state}
    if mesh is None:
        return items
    rules = ((r"kernel$", ("tensor", "fsdp")), (".*", "replicated"))
    small, sharding.SMALL = sharding.SMALL, 0
    placed = jax.tree.map(jax.device_put, items, sharding.shardings(items, mesh, rules=rules))
    sharding.SMALL = small
    return placed


def shapes(items):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=x.sharding if isinstance(x, jax.Array) else None
        ),
        items,
    )


def bits(tree):
    def one(x):
        x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        return (str(x.dtype), x.shape, np.asarray(x).tobytes())

    return jax.tree.map(one, tree)


def small(step):
    return {"a": {"w": jnp.arange(600.0) + step, "b": jnp.full((3,), step, jnp.int32)}}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_round_trip_is_bitwise_and_keeps_structure(folder):
    items = make(3)
    meta = {"config": {"lr": 1e-3}, "data": {"next": 7}, "list": (1, 2)}
    with Checkpoints(folder) as saves:
        assert saves.restore(shapes(items)) is None
        assert saves.latest() is None
        assert saves.save(10, items, meta)
    with Checkpoints(folder) as saves:
        found = saves.restore(shapes(items))
        assert found.step == saves.latest() == 10
        assert found.meta == saves.meta(10) == {**meta, "list": [1, 2]}
        assert bits(found.items) == bits(items)
        assert jax.tree.structure(found.items) == jax.tree.structure(items)
        assert str(jax.random.key_impl(found.items["state"]["key"])) == str(
            jax.random.key_impl(items["state"]["key"])
        )


@pytest.mark.parametrize(
    "saved, axes",
    [
        (FSDP, (8, 1)),
        (FSDP, (2, 4)),
        (FSDP, (1, 2)),
        (FSDP, (1, 1)),
        (CUBE, (1, 8)),
        (CUBE, (1, 1)),
    ],
)
def test_restores_onto_another_mesh_bitwise(folder, saved, axes):
    items = make(1, sharding.mesh(saved))
    with Checkpoints(folder) as saves:
        saves.save(1, items, {}, wait=True)
        count = axes[0] * axes[1]
        mesh = sharding.mesh({"data": axes[0], "fsdp": axes[1]}, devices=jax.devices()[:count])
        other = make(1, mesh)
        found = saves.restore(shapes(other)).items
    assert bits(found) == bits(items)
    kernel = found["online"]["encoders"]["image"]["blocks"]["kernel"]
    assert kernel.sharding.is_equivalent_to(NamedSharding(mesh, P(None, None, "fsdp")), 3)


def test_one_item_alone_and_without_a_template(folder):
    items = make(2, sharding.mesh({"data": 2, "fsdp": 4}))
    with Checkpoints(folder) as saves:
        saves.save(5, items, {}, wait=True)
        # Nothing of the other items is needed, nor read.
        shutil.rmtree(folder / "5" / "online")
        reader = Checkpoints(folder, read_only=True)
        assert bits(reader.restore({"ema": shapes(items["ema"])}).items) == bits(
            {"ema": items["ema"]}
        )
        found = reader.restore_item(5, "ema")
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found))
        assert bits(found) == bits(items["ema"])
        state = reader.restore_item(5, "state")
        assert (
            state["none"].shape == (0, 3) and state["codes"]["queue"]["first"].dtype == jnp.bfloat16
        )
        with pytest.raises(CheckpointError, match="online/.* is missing"):
            reader.restore(shapes(items))
        with pytest.raises(Mismatch, match="no item 'teacher', only ema, online, state"):
            reader.restore_item(5, "teacher")
        with pytest.raises(CheckpointError, match="read only"):
            reader.save(6, items, {})


def test_donating_right_after_save_is_safe(folder):
    """The next step writes over the very memory that is being saved, and rows change in place."""
    overwrite = jax.jit(lambda t: jax.tree.map(lambda x: x * 0 - 1, t), donate_argnums=0)
    split = NamedSharding(sharding.mesh({"data": 2, "fsdp": 4}), P("fsdp"))
    values = np.arange(2**20, dtype=np.float32).reshape(8, -1)
    # Made on the device: memory that NumPy lent, as device_put may take it, is never donated.
    fill = jax.jit(lambda step: values + step, out_shardings=split)
    memory = lambda x: [s.data.unsafe_buffer_pointer() for s in x.addressable_shards]  # noqa: E731
    with Checkpoints(folder) as saves:
        for step in range(1, 4):
            tree = {"big": fill(jnp.float32(step)), "small": jnp.arange(5.0)}
            rows, before = np.arange(4), memory(tree["big"])
            saves.save(step, {"a": {**tree, "rows": rows}}, {})
            lost = overwrite(tree)
            rows[:] = -1
            # Without this the test could not fail.
            assert tree["big"].is_deleted() and memory(lost["big"]) == before
            saves.wait()
            found = saves.restore_item(step, "a")
            np.testing.assert_array_equal(found["big"], values + step)
            np.testing.assert_array_equal(found["small"], np.arange(5.0))
            np.testing.assert_array_equal(found["rows"], np.arange(4))


def test_keeps_the_newest_and_the_periodic(folder):
    with Checkpoints(folder, keep=2, keep_every=20) as saves:
        for step in (10, 20, 30, 40, 50, 60):
            saves.save(step, small(step), {})
        assert saves.save(60, small(60), {}) is False
        saves.wait()
        assert saves.steps() == [20, 40, 50, 60]
    with pytest.raises(ValueError, match="expected 2 or more"):
        Checkpoints(folder, keep=1)


def _flip(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def test_forged_manifests_are_found(folder, caplog):
    with Checkpoints(folder) as saves:
        saves.save(10, small(10), {})
        saves.save(20, small(20), {})
    path = folder / "20" / MANIFEST
    good = path.read_text()
    edited = json.loads(good)
    edited["meta"] = {"data": 9}
    reader = Checkpoints(folder, read_only=True)
    for forged in ("", "{}", "[]", "null", good[: len(good) // 2], json.dumps(edited),
                   (folder / "10" / MANIFEST).read_text()):  # fmt: skip
        path.write_text(forged)
        assert reader.latest() == 10
        with pytest.raises(CheckpointError, match="step 20 is damaged"):
            reader.restore(shapes(small(0)), step=20)
    path.write_text(good)
    assert reader.latest() == 20


@pytest.mark.parametrize("entry", [{"dtype": "int32"}, {"shape": [599]}, {"shape": [10**11]}])
def test_a_manifest_that_says_something_else_of_its_arrays_is_found(folder, entry):
    """Orbax would cast, cut, or make room for all of it."""
    with Checkpoints(folder) as saves:
        saves.save(10, small(10), {})
    path = folder / "10" / MANIFEST
    said = json.loads(path.read_text())
    del said["digest"]
    said["items"]["a"]["w"] |= entry
    path.write_text(json.dumps(said | {"digest": storage._own_digest(said)}))
    with pytest.raises(CheckpointError, match="damaged: its array a/w is not what the manifest"):
        Checkpoints(folder, read_only=True).restore_item(10, "a")
    said["items"]["a"]["w"] = None
    path.write_text(json.dumps(said | {"digest": storage._own_digest(said)}))
    with pytest.raises(CheckpointError, match="manifest.json does not say what array 'a/w' is"):
        Checkpoints(folder, read_only=True).restore_item(10, "a")


def test_a_step_that_lies_under_the_name_of_another_is_damaged(folder, caplog):
    with Checkpoints(folder, keep=3) as saves:
        for step in (10, 20, 30):
            saves.save(step, small(step), {})
    (folder / "20").rename(folder / "aside")
    (folder / "30").rename(folder / "20")
    (folder / "aside").rename(folder / "30")
    shutil.copytree(folder / "10", folder / "999")
    with Checkpoints(folder, keep=2) as saves:
        found = saves.restore(shapes(small(0)))
        assert found.step == 10 and bits(found.items) == bits(small(10))
        for step, other in ((999, 10), (30, 20), (20, 30)):
            assert f"step {step} is damaged: it was saved as step {other}" in caplog.text
        with pytest.raises(CheckpointError, match="it was saved as step 20"):
            saves.restore(shapes(small(0)), step=30)
        # None of them stands for a true step, neither for saving nor for what may be deleted.
        for step in (20, 30):
            assert saves.save(step, small(step), {}, wait=True)
            assert bits(saves.restore(shapes(small(0)), step=step).items) == bits(small(step))
        assert saves.latest() == 30 and saves.steps() == [20, 30, 999]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("item, name", [("ema", "encoders/image/blocks/bias"), ("state", "queue")])
def test_a_state_that_is_not_finite_is_never_sealed(folder, item, name, number):
    good, bad = make(1), make(1, sharding.mesh({"data": 2, "fsdp": 4}))

    def spoil(path, leaf):
        return leaf.at[-1, -1].set(number) if name in path else leaf

    bad[item] = trees.map_with_name(spoil, bad[item])
    with Checkpoints(folder) as saves:
        saves.save(10, good, {}, wait=True)
        with pytest.raises(NotFinite, match=f"step 20 is not saved: {item}/.*{name}.* not finite"):
            saves.save(20, bad, {})
        assert saves.steps() == [10] and saves.latest() == 10
        assert saves.save(30, good, {}, wait=True), "the next one is not held up"
    assert NotFinite.status == 70


def test_a_directory_that_is_deleted_is_made_and_held_again(folder):
    with Checkpoints(folder) as saves:
        saves.save(10, small(10), {}, wait=True)
        shutil.rmtree(folder.parent)
        assert saves.save(10, small(10), {}, wait=True), "what was saved is no longer there"
        with pytest.raises(Locked):
            Checkpoints(folder)
        shutil.rmtree(folder)
        with Checkpoints(folder) as other:
            with pytest.raises(Locked, match="in use"):
                saves.save(20, small(20), {})
            other.save(20, small(20), {}, wait=True)
            saves.close()
            assert (folder / ".lock").exists(), "that of the other"
    assert not (folder / ".lock").exists() and Checkpoints(folder, read_only=True).latest() == 20


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file/checkpoints' cannot be written: Not a direct"):
        Checkpoints(tmp_path / "file" / "checkpoints")

    def broken(path):
        raise OSError(30, "Read-only file system")

    with Checkpoints(tmp_path / "ro", storage=Storage(free=broken), pauses=()) as saves:
        with pytest.raises(CheckpointError, match="cannot be written: Read-only file system"):
            saves.save(1, small(1), {})


def test_nothing_sound_is_an_error_not_a_fresh_start(folder):
    (folder / "7").mkdir(parents=True)
    with Checkpoints(folder) as saves:
        with pytest.raises(CheckpointError, match="step 7 .*manifest.json is missing.*afresh"):
            saves.restore(shapes(small(0)))
        with pytest.raises(CheckpointError, match="step 8 .*steps on disk: 7"):
            saves.meta(8)


def test_a_damaged_step_is_written_again_and_never_counted(folder):
    with Checkpoints(folder) as saves:
        for step in (10, 20, 30):
            saves.save(step, small(step), {})
    _flip(next(p for p in (folder / "30" / "a" / "d").iterdir()), np.random.default_rng(0))
    with Checkpoints(folder) as saves:
        assert saves.restore(shapes(small(0))).step == 20
        saves.save(25, small(25), {}, wait=True)
        assert {20, 25} <= set(saves.steps())
        saves.save(30, small(30), {}, wait=True)
        assert saves.latest() == 30
        assert bits(saves.restore(shapes(small(0)), step=30).items) == bits(small(30))


def test_other_structure_lists_the_paths(folder):
    with Checkpoints(folder) as saves:
        saves.save(1, small(1), {}, wait=True)

        def refused(tree, match):
            with pytest.raises(Mismatch, match=match):
                saves.restore({"a": tree})

        w, b = jnp.zeros(600), jnp.zeros(3, jnp.int32)
        refused({"w": w}, r"a: 'b' is in the checkpoint only")
        refused({"w": w, "b": b, "c": b}, r"a: 'c' is not in the checkpoint")
        refused({"w": w[:5], "b": b}, r"'w' is float32\[600\] in the checkpoint, float32\[5\] here")
        # Orbax would cast this one silently.
        refused({"w": w.astype(jnp.bfloat16), "b": b}, r"bfloat16\[600\] here")
        with pytest.raises(Mismatch, match="no item 'ema', only a"):
            saves.restore({"ema": small(0)})


class _Response:
    def __init__(self, response, error=None, release=None):
        self.response, self.error, self.release = response, error, release

    def result(self, timeout=None):
        if self.release is not None and not self.release.wait(timeout):
            raise TimeoutError
        self.response.result(timeout=timeout)
        if self.error:
            raise self.error


def test_a_failed_background_write_surfaces_and_the_next_save_works(folder):
    errors = {20: OSError(28, "No space left on device")}

    def write(path, arrays):
        return _Response(ocp.save_checkpointables_async(path, arrays), errors.get(int(path.stem)))

    saves = Checkpoints(folder, write=write)
    saves.save(10, small(10), {}, wait=True)
    saves.save(20, small(20), {})
    with pytest.raises(CheckpointError, match="saving step 20 .*No space left.*steps on disk: 10"):
        saves.save(30, small(30), {})
    assert [p.name for p in folder.iterdir() if p.name != ".lock"] == ["10"]
    errors.clear()
    assert saves.save(20, small(20), {}, wait=True)
    assert saves.latest() == 20
    errors[30] = RuntimeError("lost")
    saves.save(30, small(30), {})
    for _ in range(500):
        if saves.failed():
            break
        time.sleep(0.01)
    with pytest.raises(CheckpointError, match="lost"):
        saves.settle()
    assert saves.failures == 1 and saves.failed()
    errors.clear()
    saves.save(30, small(30), {}, wait=True)
    assert saves.failures == 0 and not saves.failed()
    saves.close()


@pytest.mark.parametrize("part", ["publish", "digest", "rename"])
def test_a_disk_that_fails_while_sealing_leaves_the_old_step(folder, part):
    def broken(*args, **kwargs):
        raise OSError(5, "Input/output error")

    with Checkpoints(folder) as saves:
        saves.save(10, small(10), {})
    saves = Checkpoints(folder, storage=Storage(**{part: broken}), pauses=())
    saves.save(20, small(20), {})
    with pytest.raises(CheckpointError, match="Input/output error"):
        saves.close()
    with Checkpoints(folder) as saves:
        assert saves.steps() == [10] and saves.latest() == 10


def test_a_disk_whose_operations_fail_once_loses_nothing(folder):
    met = set()

    def once(act):
        def flaky(*args, **kwargs):
            if (act, args[0]) not in met:
                met.add((act, args[0]))
                raise OSError(5, "Input/output error")
            return act(*args, **kwargs)

        return flaky

    storage = Storage(*map(once, Storage()))
    with Checkpoints(folder, storage=storage, pauses=(0.01,)) as saves:
        for step in (10, 20):
            saves.save(step, small(step), {}, wait=True)
        assert saves.failures == 0
        assert bits(saves.restore(shapes(small(0))).items) == bits(small(20))
    assert len(met) > 10


def test_a_hung_write_is_given_up_at_the_deadline(folder):
    release = threading.Event()
    saves = Checkpoints(
        folder,
        deadline=0.3,
        write=lambda p, a: _Response(ocp.save_checkpointables_async(p, a), release=release),
    )
    saves.save(10, small(10), {})
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="no end after 0.3 s"):
        saves.close()
    assert time.monotonic() - start < 5
    release.set()


def test_a_full_disk_is_seen_before_writing(folder):
    saves = Checkpoints(folder, storage=Storage(free=lambda path: 100))
    with pytest.raises(CheckpointError, match="has 100 bytes left, .* up to 2.41 kB"):
        saves.save(1, small(1), {})
    assert saves.steps() == []
    saves.close()


def test_leftovers_are_cleared_at_the_start(folder):
    with Checkpoints(folder) as saves:
        saves.save(10, small(10), {})
    for name in ("20.saving", "20.saving.orbax-checkpoint-tmp", "5.removed", "10.replaced"):
        (folder / name).mkdir()
    with Checkpoints(folder) as saves:
        assert sorted(p.name for p in folder.iterdir()) == [".lock", "10"]
        assert saves.latest() == 10


def test_a_second_writer_is_refused(folder):
    with Checkpoints(folder):
        with pytest.raises(Locked, match=rf"in use by process {os.getpid()} on"):
            Checkpoints(folder)
        assert Checkpoints(folder, read_only=True).latest() is None
    Checkpoints(folder).close()


WRITER = """
import sys
import jax.numpy as jnp
from m3i_jax.checkpoints.checkpoint import Checkpoints

def tree(step):
    return {"a": {"w": jnp.arange(600.0) + step, "b": jnp.full((3,), step, jnp.int32)}}

saves = Checkpoints(sys.argv[1])
found = saves.restore(tree(0))
step = found.step if found else 0
if found:
    a = found.items["a"]
    assert step == found.meta["step"] == int(a["b"][0]) == float(a["w"][0])
print("ready", step, flush=True)
while True:
    step += 1
    saves.save(step, tree(step), {"step": step})
"""


def _saved(folder):
    """Whether a step is there that is whole."""
    return any(path.name.isdigit() for path in folder.glob("*"))


def _kill_writers(folder, kills, seed):
    """Starts a writer on the directory, kills it after a random moment, again and again."""
    rng, place, steps = np.random.default_rng(seed), folder.parent, []
    script = place / "writer.py"
    script.write_text(WRITER)
    for _ in range(kills):
        process, out, err = programs.begin(script, folder, folder=place, env=programs.devices(1))
        # The first one lives until a step is saved, however slow the machine is.
        while not (line := out.read_text()).endswith("\n") or not (steps or _saved(folder)):
            assert process.is_alive(), err.read_text()
            time.sleep(0.01)
        assert line.startswith("ready"), err.read_text()
        steps.append(int(line.split()[1]))
        time.sleep(rng.uniform(0, 0.6))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, err.read_text()
    return steps


def _assert_sound(folder, steps):
    assert steps == sorted(steps) and steps[-1] > 0, steps
    with Checkpoints(folder) as saves:
        found = saves.restore(shapes(small(0)))
        assert found.step >= steps[-1]
        assert saves.steps()[-1] == found.step, "the newest directory is always whole"
        assert bits(found.items) == bits(small(found.step))
        assert found.meta == {"step": found.step}
        assert {p.name for p in folder.iterdir()} <= {".lock", *map(str, saves.steps())}


def test_killed_writers_leave_a_sound_newest_step(folder):
    _assert_sound(folder, _kill_writers(folder, 4, seed=0))


@pytest.mark.slow
def test_many_killed_writers_leave_a_sound_newest_step(folder):
    _assert_sound(folder, _kill_writers(folder, 25, seed=1))


PAIR = """
import logging
import sys
import jax
port, rank, folder, part = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
jax.distributed.initialize(
    f"127.0.0.1:{port}", num_processes=2, process_id=rank, initialization_timeout=60
)
import numpy as np
from m3i_jax.parallel import sharding
from m3i_jax.checkpoints.checkpoint import Checkpoints

mesh = sharding.mesh({"fsdp": 4})
rows = sharding.batch_sharding(mesh)

def tree(step):
    local = np.arange(rank * 8, rank * 8 + 8, dtype=np.float32).reshape(4, 2) + step
    return {"a": {"w": jax.make_array_from_process_local_data(rows, local)}}

saves = Checkpoints(folder)
if part == "save":
    for step in (1, 2, 3):
        saves.save(step, tree(step), {"step": step})
found = saves.restore(tree(0)) if part == "restore" else None
if found:
    for got, expected in zip(found.items["a"]["w"].addressable_shards,
                             tree(found.step)["a"]["w"].addressable_shards, strict=True):
        np.testing.assert_array_equal(got.data, expected.data)
    print("found", found.step, found.meta["step"], flush=True)
saves.close()
jax.distributed.shutdown()
"""


def _pair(folder, part):
    """Runs PAIR in two processes with two devices each; returns what they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    repository = str(Path(__file__).parents[2])
    environment = os.environ | programs.devices(2) | {"PYTHONPATH": repository}
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, port, str(rank), str(folder), part],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    told = []
    for process in pair:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-3000:]
        told += [line for line in out.splitlines() if line.startswith("found")]
    return told


@pytest.mark.slow
def test_two_processes_save_together_fall_back_together_and_one_can_read_it(folder):
    _pair(folder, "save")
    with Checkpoints(folder, read_only=True) as saves:
        assert saves.steps() == [2, 3]
        mesh = sharding.mesh({"data": 2, "fsdp": 4})
        split = NamedSharding(mesh, P(None, "data"))
        shape = jax.ShapeDtypeStruct((8, 2), jnp.float32, sharding=split)
        found = saves.restore({"a": {"w": shape}})
        np.testing.assert_array_equal(found.items["a"]["w"], np.arange(16.0).reshape(8, 2) + 3)
    assert _pair(folder, "restore") == ["found 3 3"] * 2
    (folder / "3" / MANIFEST).unlink()
    assert _pair(folder, "restore") == ["found 2 2"] * 2
