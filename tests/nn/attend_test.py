"""The core of attention against autodiff of its formula."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from m3i_jax.nn.attend import attend, platform

SCALE = 0.3


def plain(q, k, v, biases, mask):
    s = jnp.einsum("...qhd,...khd->...hqk", q, k) * SCALE + sum(biases)
    s = s if mask is None else jnp.where(mask, s, jnp.finfo(s.dtype).min)
    y = jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(s, axis=-1), v)
    return y.reshape(*y.shape[:-2], -1)


def drawn(key, *shapes):
    return [jax.random.normal(jax.random.fold_in(key, i), s) for i, s in enumerate(shapes)]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("case", ["alone", "biased", "masked", "context", "windows"])
def test_value_and_gradients_are_those_of_the_formula(key, case, keep):
    rows = (3, 2) if case == "windows" else (3,)
    q, k, v = drawn(key, (*rows, 5, 2, 4), *2 * [(*rows, 9 if case == "context" else 5, 2, 4)])
    one = (1,) * len(rows)
    biases = {"biased": ((*one, 2, 5, 5), (3, 1, 5, 5)), "windows": ((1, 2, 2, 5, 5),)}
    biases = tuple(drawn(jax.random.fold_in(key, 9), *biases.get(case, ())))
    mask = None
    if case == "masked":  # the first query of the first sample may attend to nothing
        mask = jax.random.bernoulli(key, 0.7, (3, 1, 5, 5)).at[0, 0, 0].set(False)
    given = (q, k, v, biases)
    with jax.numpy_rank_promotion("allow"):  # of the formula
        want, pull = jax.vjp(lambda *x: plain(*x, mask), *given)
        g = jax.random.normal(jax.random.fold_in(key, 7), want.shape)
        right = pull(g)
    got, mine = jax.vjp(jax.jit(lambda *x: attend(SCALE, keep, *x, mask)), *given)
    # Sums of at most 9 products, and of 45 for a bias, of numbers of size 1.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(mine(g)), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6)


def test_what_is_kept(key):
    """The weights or, in their place, two numbers for every query; never the biases beside them."""
    q, k, v, bias = drawn(key, *3 * [(3, 16, 2, 4)], (3, 2, 16, 16))
    for keep, others in ((True, 3 * 2 * 16 * 16), (False, 2 * 3 * 2 * 16 + bias.size)):
        pull = jax.eval_shape(lambda *x, keep=keep: jax.vjp(  # noqa: B023
            lambda *y: attend(SCALE, keep, *y, None), *x)[1], q, k, v, (bias,))  # fmt: skip
        sizes = sum(leaf.size for leaf in jax.tree.leaves(pull))
        assert sizes == 3 * q.size + others


def test_bfloat16_is_rounded_where_it_is_multiplied(key):
    q, k, v = (x.astype(jnp.bfloat16) for x in drawn(key, *3 * [(3, 16, 2, 4)]))
    want, pull = jax.vjp(
        lambda *x: plain(*x, (), None), *(x.astype(jnp.float32) for x in (q, k, v))
    )
    right = pull(jnp.ones_like(want))
    for keep in (True, False):
        got, mine = jax.vjp(lambda *x, keep=keep: attend(SCALE, keep, *x, (), None), q, k, v)
        assert got.dtype == jnp.bfloat16
        # Weights, results and gradients are rounded once each, to 2^-9 of their size.
        np.testing.assert_allclose(np.float32(got), want, atol=0.01)
        for a, b in zip(mine(jnp.ones_like(got)), right, strict=True):
            assert np.linalg.norm(np.float32(a) - b) < 0.01 * np.linalg.norm(right[2])


def test_the_mesh_says_where_it_runs():
    assert platform() == "cpu"
    said = {"device_kind": "TPU v5 lite", "num_cores": 1, "platform": "tpu"}  # before 0.10.2 two
    names = [field.name for field in dataclasses.fields(AbstractDevice)]
    tpu = AbstractDevice(**{name: said[name] for name in names})
    with use_abstract_mesh(AbstractMesh((1,), ("data",), abstract_device=tpu)):
        assert platform() == "tpu"
