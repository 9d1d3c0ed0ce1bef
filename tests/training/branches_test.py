"""A branch that has hardly moved is said."""

import numpy as np

from m3i_jax.training import branches


def test_which_parameters_are_taken_is_said_with_the_way_to_the_others(shrunk):
    plain, tuned = shrunk("mae"), shrunk("mae", validation={"every": "1 epochs"})
    said = branches.described("ema", plain)
    assert said.startswith("the average of the parameters (EMA)") and said.endswith("=online")
    assert "--branch=ema" in branches.described("online", plain)
    assert branches.described("ema", tuned) == f"{said}; the run was validated by online"
    assert branches.described("untrained", plain) == branches.described("file", tuned) == ""


def test_a_branch_that_has_hardly_moved_is_said_with_its_share(shrunk, caplog):
    named, fits = shrunk("mae", average={"momentum": 0.98}), shrunk("mae", average={})
    momentum = [1 - 0.02 * 0.5 * (1 + np.cos(np.pi * s / 12)) for s in range(1, 13)]
    share = 100 * (1 - np.prod(momentum))
    assert 10 < share < 15

    def meta(config, **known):
        return {"config": config.to_dict(), "fingerprint": {"length": 160, **known}}

    returned = branches.advise(meta(named), branch="ema", step=12)
    (said,) = [record.message for record in caplog.records]
    assert returned == said
    assert f"of step 12 has moved only {share:.0f} % of the way" in said
    assert branches.advise(meta(named), branch="online", step=12) == ""
    assert branches.advise(meta(fits), branch="ema", step=12) == ""
    branches.advise({"config": named.to_dict()}, branch="ema", step=12)
    branches.advise(meta(named) | {"config": {"other": 1}}, branch="ema", step=12)
    assert len(caplog.records) == 1
