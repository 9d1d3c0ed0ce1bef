"""The predictor: who reads whom; its equations are compared in tests/engine/intra_test.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from m3i_jax.types import Features

GRID, NONE = (2, 4), 8  # what is behind the last cell is none


def asked(reads):
    """f(cells, scale of the given tokens) of a predictor with random parameters."""
    block = dict(name="predictor", width=16, depth=2, heads=2, reads=reads, norm_in=True)
    module = decoders.create(block, out=6)
    draw = np.random.default_rng(0).normal
    x = Features(jnp.float32(draw(size=(1, 3, 12))), index=jnp.array([[0, 3, 6]], jnp.int32))
    shapes = jax.eval_shape(lambda k: module.init(k, x, grid=GRID), jax.random.key(0))["params"]
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)
    decode = jax.jit(lambda x, cells: module.apply({"params": params}, x, grid=GRID, cells=cells))

    def answer(*cells, other=False):
        given = x._replace(tokens=x.tokens[:, ::-1]) if other else x
        return np.asarray(decode(given, jnp.array([cells], jnp.int32)))[0]

    return answer


@pytest.mark.parametrize("reads", ["all", "both", "context"])
def test_what_is_no_cell_has_no_influence_and_what_is_given_has(reads):
    answer = asked(reads)
    alone = answer(1, 5)
    assert alone.shape == (2, 6)
    np.testing.assert_allclose(answer(1, 5, NONE, NONE)[:2], alone, atol=2e-6)
    assert np.abs(answer(1, 5, other=True) - alone).max() > 1e-3
    # Queries read each other unless they read the context alone.
    beside = np.abs(answer(1, 2)[0] - alone[0]).max()
    assert beside < 2e-6 if reads == "context" else beside > 1e-4


def test_as_a_head_it_makes_the_cells_that_are_missing(key):
    block = dict(name="predictor", out=16, width=16, depth=1, heads=2, embed=False)
    module = decoders.create(block | dict(head="none", missing=True))
    x = Features(jnp.ones((2, 3, 16)), index=jnp.array([[0, 3, 6], [5, 6, 7]], jnp.int32))
    made = module.init_with_output(key, x, grid=GRID)[0]
    np.testing.assert_array_equal(made.index, [[1, 2, 4, 5, 7], [0, 1, 2, 3, 4]])
    assert made.tokens.shape == (2, 5, 16)
    with pytest.raises(ConfigError, match="its width, 16, is to be that of what it predicts, 8"):
        decoders.create(block | dict(out=8, head="none"))


def test_an_unknown_reader_is_refused():
    with pytest.raises(ConfigError, match="'al'"):
        decoders.create(dict(name="predictor", reads="al"), out=4)
