"""Things are alike where they are made of the same parts."""

from functools import partial

import numpy as np

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework.alike import made_of


def factory(size, other=None):
    def draw(key, *, scale=2.0):
        return size, other, scale

    return draw


def test_partials_and_closures_are_compared_by_what_they_hold():
    assert partial(masks.units, unit=2) != partial(masks.units, unit=2)  # why this is needed
    for make in (lambda n: partial(masks.units, unit=n), factory, lambda n: factory(1, factory(n))):
        assert made_of(make(2)) == made_of(make(2)) and hash(made_of(make(2)))
        assert made_of(make(2)) != made_of(make(3))
    assert made_of(partial(masks.units, unit=2)) != made_of(partial(masks.count_units, unit=2))
    assert made_of(1) != made_of(1.0) != made_of(True)


def test_records_of_functions_are_compared_by_them():
    views = [fw.mixed("a", "b", hidden=h, mask=m) for h in (0.5, 0.5, 0.6) for m in (masks.random,)]
    assert made_of(views[0]) == made_of(views[1]) != made_of(views[2])
    assert made_of(fw.blended("a", mixup=0.8)) != made_of(fw.blended("a", mixup=0.7))
    assert made_of({"a": [1, factory(1)]}) == made_of({"a": [1, factory(1)]})


def test_what_cannot_be_looked_into_is_itself():
    array = np.ones(3)
    assert made_of(array) == made_of(array) != made_of(np.ones(3))
