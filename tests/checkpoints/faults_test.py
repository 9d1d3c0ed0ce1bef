"""Statuses are sysexits.h's, as `cli` promises them."""

import pytest

from m3i_jax.build import UserError
from m3i_jax.checkpoints import faults

STATUS = dict(CheckpointError=74, Mismatch=2, NotFinite=70, Unwritable=74, Locked=73)


@pytest.mark.parametrize("name", STATUS)
def test_every_fault_that_a_user_meets_has_its_status(name):
    fault = getattr(faults, name)
    assert issubclass(fault, UserError) and fault.status == STATUS[name]


def test_damage_never_reaches_the_user():
    assert not issubclass(faults.Damage, UserError)
