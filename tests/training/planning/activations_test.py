"""What is kept for the backward pass, against counts by hand."""

import math

from m3i_jax.training.assemble import assemble
from m3i_jax.training.planning import activations


def kept(shrunk, one_device, method="classification", **changes):
    mesh, devices = one_device
    run = assemble(shrunk(method, mesh=mesh, **changes), images=100, devices=devices)
    return activations.per_image(run).held, math.prod(run.network.towers["image"].grid)


def test_a_block_that_is_recomputed_keeps_its_input(shrunk, one_device):
    (two, cells), (three, _) = (
        kept(shrunk, one_device, **{"encoder.depth": depth, "encoder.remat": "full"})
        for depth in (2, 3)
    )
    assert three - two == (cells + 1) * 64 * 4  # a class token, too


def test_recomputing_saves(shrunk, one_device):
    none, dots, full = (
        kept(shrunk, one_device, **{"encoder.remat": remat}) for remat in ("none", "dots", "full")
    )
    assert full[0] < dots[0] < none[0]


def test_nothing_is_kept_for_what_is_frozen(shrunk, one_device):
    frozen = {"optimizer.freeze": "^encoders/image/"}
    two, three = (
        kept(shrunk, one_device, **{"encoder.depth": depth}, **frozen) for depth in (2, 3)
    )
    assert two == three and two[0] < kept(shrunk, one_device)[0] / 2


def test_dropped_patches_are_not_kept(shrunk, one_device):
    (few, cells), (many, _) = (
        kept(shrunk, one_device, "mae", **{"objective.hidden": hidden, "encoder.remat": "full"})
        for hidden in (0.75, 0.25)
    )
    # Half of the cells more are inputs of two blocks, at least.
    assert many - few >= 2 * cells // 2 * 64 * 4


def test_the_batch_does_not_matter(shrunk, one_device):
    assert kept(shrunk, one_device, batch=8) == kept(shrunk, one_device, batch=16)
