"""Passes are shared where, and only where, codes see the same."""

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Masking
from m3i_jax.training.planning.hlo import moved


def calls(codes, toy, views, key):
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)
    toy.calls.clear()
    found, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    return list(toy.calls), found


def test_two_heads_cost_one_encoder(toy, views, key):
    codes = {
        "plain": Code("a", fw.online()),
        "global": Code("a", fw.online(heads="projector")),
        "shares": Code("a", fw.online(heads=("projector", "prototypes"))),
    }
    made, found = calls(codes, toy, views, key)
    assert made == ["image", "projector", "prototypes"]
    np.testing.assert_array_equal(found["global"].pre_head_tokens, found["plain"].tokens)
    np.testing.assert_array_equal(found["shares"].pre_head_tokens, found["plain"].tokens)


def test_equal_masks_of_a_view_are_one_mask(toy, views, key):
    half, codes = lambda: Masking(partial(masks.units, unit=2), 0.5), {}
    for name in ("x", "y"):
        codes[name] = Code("a", fw.online(heads="projector" if name == "y" else ()), half())
    made, found = calls(codes, toy, views, key)
    assert made == ["image", "projector"]
    np.testing.assert_array_equal(found["x"].index, found["y"].index)


def test_other_weights_and_masks_are_other_passes(toy, views, key):
    codes = {
        "a": Code("a", fw.online()),
        "average": Code("a", fw.ema()),
        "masked": Code("a", fw.online(), Masking(masks.random, 0.5)),
    }
    made, _ = calls(codes, toy, views, key)
    assert made == ["image"] * 3


HALF = Masking(masks.random, 0.5)
CROPS = {
    "x_a": Code("a", fw.online(heads="projector")),
    "x_b": Code("b", fw.online(heads=("projector", "prototypes"))),
    "x_l0": Code("l0", fw.online(heads="projector")),
    "x_l1": Code("l1", fw.online()),
    "y_a": Code("a", fw.ema()),
    "y_b": Code("b", fw.ema()),
    "p_a": Code("a", fw.online(), HALF),
    "p_b": Code("b", fw.online(), HALF),
}


@pytest.fixture
def crops(views):
    """Two views of one size, and two of another."""
    small = {f"l{i}": views[v]._replace(data=views[v].data[:, :4, :4]) for i, v in enumerate("ab")}
    return views | small


@pytest.mark.parametrize("coupled, passes, heads", [
    # Large, small, averaged and masked; a head sees the views that go on through it.
    ((), 4, ["projector", "projector", "prototypes"]),
    # Whatever normalises over the batch sees each view by itself.
    (["image"], 8, ["projector"] * 3 + ["prototypes"]),
    (["projector"], 4, ["projector"] * 3 + ["prototypes"]),
])  # fmt: skip
def test_views_of_one_size_are_one_pass_where_no_norm_notices(
    toy, crops, key, coupled, passes, heads
):
    made, found = calls(CROPS, toy._replace(batchwise=frozenset(coupled)), crops, key)
    assert made.count("image") == passes and sorted(set(made)) == [
        "image",
        "projector",
        "prototypes",
    ]
    assert sorted(m for m in made if m != "image") == heads
    _, wanted = calls(CROPS, toy._replace(batchwise=frozenset(["image"])), crops, key)
    for name in CROPS:
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-6, atol=5e-7), found[name], wanted[name]
        )
    assert not np.array_equal(found["p_a"].index, found["p_b"].index)


def test_rows_stay_on_their_devices_and_gradients_are_summed_once(toy, crops, key):
    """Four passes of eight codes: half of the sums, and nothing else is sent."""
    rows = {v: crops[v]._replace(data=np.repeat(crops[v].data, 2, 0), box=None) for v in crops}
    rows = {v: rows[v] for v in ("a", "b", "l0", "l1")}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))

    def sent(network):
        method = fw.Method(CROPS, {})
        params, states = fw.init(method, network, key)

        def loss(params, views):
            prepared = fw.prepare(method, network, views, key=key)
            found, *_ = fw.encode(method, network, params, states, prepared, train=True, key=key)
            return sum((f.tokens**2).sum(1).mean() for f in found.values())

        step = jax.jit(jax.grad(loss), in_shardings=(whole, split))
        return moved(step.lower(params, rows).compile().as_text()).collectives

    joined, apart = sent(toy), sent(toy._replace(batchwise=frozenset(["image"])))
    assert set(joined) == set(apart) == {"all-reduce"}
    assert joined["all-reduce"][1] <= 0.7 * apart["all-reduce"][1]


def test_a_shared_pass_has_the_gradient_of_both(toy, views, key):
    codes = {"x": Code("a", fw.online()), "z": Code("a", fw.online(heads="projector"))}
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)

    def total(params, names):
        found, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
        return sum(found[n].tokens.sum() for n in names)

    both, x, z = (jax.grad(total)(params, names) for names in (("x", "z"), ("x",), ("z",)))
    jax.tree.map(
        lambda b, one, two: np.testing.assert_allclose(b, one + two, rtol=1e-5, atol=1e-6),
        both,
        x,
        z,
    )


def test_views_that_are_encoded_together_are_one_pass(toy, views, key):
    apart = {v: Code(v, fw.online(heads="projector")) for v in "ab"}
    as_one = {v: Code(v, fw.online(heads="projector", together=True)) for v in "ab"}
    made, found = calls(as_one, toy, views, key)
    assert made == ["image", "projector"]
    _, wanted = calls(apart, toy, views, key)
    for v in "ab":
        assert not np.array_equal(found["a"].pooled, wanted["b"].pooled)
        for part in ("tokens", "pooled", "pre_head_tokens"):
            # Sums of numbers of size one, which another compiler adds in another order: 4 ulps.
            np.testing.assert_allclose(
                getattr(found[v], part), getattr(wanted[v], part), rtol=1e-6, atol=5e-7
            )
