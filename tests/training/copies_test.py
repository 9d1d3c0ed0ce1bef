"""A state of which devices hold different copies is never saved, and soon found."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.checkpoints.faults import CopiesDiffer
from m3i_jax.parallel import sharding
from m3i_jax.parallel.replicas import Difference
from m3i_jax.training import copies
from m3i_jax.training.loop import StepInfo
from m3i_jax.training.session import train
from tests.parallel.replicas_test import corrupted


def info(leaves, step=7):
    return StepInfo(step, 9, leaves, None, None, {}, 0.0, False)


@pytest.mark.parametrize("count", [1, 8])
def test_copies_that_agree_pass_and_others_are_refused_with_the_device(count):
    mesh = sharding.mesh(devices=jax.devices()[:count])
    shardings = {"a": NamedSharding(mesh, P()), "b": NamedSharding(mesh, P("data"))}
    tree = {k: jax.device_put(np.ones((8, 8), np.float32), v) for k, v in shardings.items()}
    check = copies.agreeing(SimpleNamespace(mesh=mesh, shardings=shardings))
    check(info(jax.tree.leaves(tree)))
    tree["a"] = corrupted(tree["a"], jax.devices()[count - 1], 3)
    if count == 1:
        check(info(jax.tree.leaves(tree), 8))
    else:
        with pytest.raises(CopiesDiffer, match="behind step 8 .* holds another copy than most"):
            check(info(jax.tree.leaves(tree), 8))


def test_a_flipped_bit_is_found_at_the_next_step_that_is_compared_though_nothing_is_saved():
    mesh = sharding.mesh({"data": 2, "fsdp": 2, "tensor": 2})
    shardings = {"whole": NamedSharding(mesh, P()), "split": NamedSharding(mesh, P("tensor"))}
    leaves = jax.tree.leaves(jax.device_put(dict.fromkeys(shardings, np.ones((8, 8))), shardings))
    sound = copies.agreeing(SimpleNamespace(mesh=mesh, shardings=shardings))
    hook, off = (copies.comparing(sound, every=every) for every in (3, 0))
    hook(info(leaves, 3))
    leaves[0] = corrupted(leaves[0], jax.devices()[5], 3)  # of "split"
    sound(info(leaves, 3))  # which has been found sound
    for step in (4, 5, 6):
        off(info(leaves, step))
    hook(info(leaves, 4))
    hook(info(leaves, 5))
    for found in (hook, sound):  # what differs once is compared, and refused, again
        with pytest.raises(CopiesDiffer, match="step 6 .* [A-Z_:a-z]*5 of process 0 .*(split)"):
            found(info(leaves, 6))


def test_the_sentence_names_what_is_known():
    sure = [Difference(f"params/{n}", "TPU_3", 1, True) for n in "abcde"]
    said = copies.sentence(5, sure)
    assert "TPU_3 of process 1 holds another copy than most" in said
    assert "params/a, params/b, params/c and 2 more" in said
    doubt = [Difference("ema/x", name, 0, False) for name in ("CPU_0", "CPU_1")]
    assert "CPU_0 of process 0, CPU_1 of process 0 hold different copies" in copies.sentence(
        5, doubt
    )


@pytest.mark.slow
@pytest.mark.parametrize("every, found", [(0, 8), (7, 7)])
def test_a_run_ends_before_it_saves_what_a_device_has_spoilt(every, found, shrunk, tmp_path):
    """Behind step 6 one device's copy of the largest array loses a bit; step 8 would be saved."""
    config = shrunk("classification", data={"name": "digit_scenes", "length": 64})
    config.checkpoint["compare_every"] = every

    def spoil(told):
        if told.step == 6:
            shared = [
                i
                for i, x in enumerate(told.leaves)
                if x.dtype == np.float32 and x.size > 1 and x.sharding.is_fully_replicated
            ]
            place = max(shared, key=lambda i: told.leaves[i].size)
            told.leaves[place] = corrupted(told.leaves[place], jax.devices()[5], 12)  # fmt: skip

    with pytest.raises(CopiesDiffer, match=rf"behind step {found} .* cpu:5 of process 0 holds"):
        train(config, tmp_path, watch=lambda run: [spoil])
    assert [path.name for path in (tmp_path / "checkpoints").glob("[0-9]*")] == ["4"]
