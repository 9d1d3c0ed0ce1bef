import numpy as np
import pytest

RNG = np.random.default_rng(5)
FIRST = np.random.default_rng(5).random(3)


@pytest.fixture(params=range(2))
def drawn(request):
    return RNG.random(3)


@pytest.mark.parametrize("before", [0, 1, 7])
def test_every_test_draws_the_same_whatever_was_drawn_before(drawn, before):
    np.testing.assert_array_equal(drawn, FIRST)
    np.testing.assert_array_equal(RNG.random(3), FIRST)
    RNG.random(before)
