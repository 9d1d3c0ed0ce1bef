"""Losses of answers that are records: alone, and beside the target."""

import numpy as np

from m3i_jax import framework as fw
from m3i_jax.framework.distributions import Target


def test_a_loss_is_of_the_answer_alone_or_beside_the_target():
    answer, target = {"far": np.float32([1.0, 3.0])}, Target(pooled=np.float32([[2.0], [5.0]]))
    alone = fw.answered("Laplace", lambda said: said["far"])
    beside = fw.compared("Laplace", lambda said, true: said["far"] - true.pooled[:, 0])
    np.testing.assert_array_equal(alone.score(answer, target), [1.0, 3.0])
    np.testing.assert_array_equal(beside.score(answer, target), [-1.0, -2.0])
    # What an image counts depends on the others: batches cannot be parted.
    assert alone.batchwise and beside.batchwise and not alone.dense and alone.name == "Laplace"
