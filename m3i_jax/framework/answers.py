"""P̂ of what a head has answered about objects, whose losses know what was right, or are told it.

Such an answer is a record of arrays: a detector matches what it proposes with what is there while
it learns, so its losses read both from there.
"""

from collections.abc import Callable

from jaxtyping import Bool, Float, Float32

from m3i_jax.detection import Assigned, assign
from m3i_jax.framework.distributions import Answer, Distribution, Target
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.types import Array


def answered(name: str, loss: Callable[[Answer], Float32[Array, " batch"]]) -> Distribution:
    """A loss of the answer alone, (B,), whose mean is that of the batch: it has what was right.

    name: of the distribution, as in M3I's Table 5.
    """
    return compared(name, lambda answer, target: loss(answer))


def compared(name: str, loss: Callable[[Answer, Target], Float32[Array, " batch"]]) -> Distribution:
    """A loss of the answer beside the target, (B,), whose mean is that of the batch.

    name: of the distribution, as in M3I's Table 5.
    """
    # What an image counts depends on how many objects the others have.
    return Distribution(name, loss, batchwise=True, dense=False, weighed=True)


def matched(
    cost: Float[Array, "batch *positions queries objects"],
    present: Bool[Array, "batch *positions objects"],
) -> Assigned:
    """`detection.assign`, where each device does its own rows of the batch.

    What losses of sets match by: a search ends when all of its rows have ended, so that devices
    that share one would ask all others at every step.
    """
    return by_rows(assign, cost, present)
