"""Losses of answers that are records: alone, and beside the target."""

import re

import jax
import numpy as np

from m3i_jax import detection
from m3i_jax import framework as fw
from m3i_jax.framework.distributions import Target
from m3i_jax.parallel import sharding


def test_a_loss_is_of_the_answer_alone_or_beside_the_target():
    answer, target = {"far": np.float32([1.0, 3.0])}, Target(pooled=np.float32([[2.0], [5.0]]))
    alone = fw.answered("Laplace", lambda said: said["far"])
    beside = fw.compared("Laplace", lambda said, true: said["far"] - true.pooled[:, 0])
    np.testing.assert_array_equal(alone.score(answer, target), [1.0, 3.0])
    np.testing.assert_array_equal(beside.score(answer, target), [-1.0, -2.0])
    # What an image counts depends on the others: batches cannot be parted.
    assert (
        alone.batchwise
        and alone.weighed
        and beside.batchwise
        and not alone.dense
        and alone.name == "Laplace"
    )


def test_each_device_matches_its_own_rows():
    """Whose queries are which objects is as on one device, and nothing is sent for it."""
    rng = np.random.default_rng(0)
    cost, present = rng.normal(size=(8, 2, 6, 4)).astype(np.float32), rng.random((8, 2, 4)) < 0.7
    mesh = sharding.mesh(dict(data=4, fsdp=2))
    with jax.set_mesh(mesh):
        given = sharding.put((cost, present), mesh)
        program = jax.jit(fw.matched).lower(*given).compile()
        found = program(*given)
    assert not re.search("all-|collective|send", program.as_text())
    for row in range(8):
        for one, right in zip(found, detection.assign(cost[row], present[row]), strict=True):
            np.testing.assert_array_equal(one[row], right)
