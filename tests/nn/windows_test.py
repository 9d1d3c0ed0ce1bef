"""Windows cell by cell, masks against maps without any roll, bias and attention in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn import windows
from m3i_jax.nn.windows import ContinuousBias, WindowAttention, Windows

# A map that the windows divide, one that they do not, and one that is a window along one axis.
CUTS = [
    Windows((8, 4), (4, 2), (2, 1)),
    Windows((7, 5), (4, 3), (2, 1)),
    Windows((3, 6), (3, 4), (0, 2)),
]


def unshifted(cut):
    return cut._replace(shift=(0, 0))


def places(cut):
    """(n, t, 2) int: row and column of every cell of every window in the padded map, unrolled."""
    (rows, columns), (h, w) = cut.counts, cut.size
    found = [
        [(i * h + a + cut.shift[0], j * w + b + cut.shift[1]) for a in range(h) for b in range(w)]
        for i in range(rows)
        for j in range(columns)
    ]
    return np.array(found)


def test_fit():
    fit = windows.fit
    assert fit((48, 48), 12, shift=True) == ((48, 48), (12, 12), (6, 6))
    assert fit((6, 6), 12, shift=True) == ((6, 6), (6, 6), (0, 0))
    assert fit((12, 12), 12, shift=True) == ((12, 12), (12, 12), (0, 0))
    assert fit((11, 38), 11, shift=True) == ((11, 38), (11, 11), (0, 5))
    assert fit((56, 56), 7, shift=False) == ((56, 56), (7, 7), (0, 0))
    assert fit((11, 38), 11, shift=True).counts == (1, 4)
    assert fit((11, 38), 11, shift=True).padded == (11, 44)


@pytest.mark.parametrize("cut", CUTS)
def test_partition_cell_by_cell(key, cut):
    x = np.asarray(jax.random.normal(key, (2, *cut.grid, 3)))
    for shifted, how in ((True, cut), (False, unshifted(cut))):
        got = np.asarray(windows.partition(x, cut, shifted=shifted))
        cells = windows.cells(how)
        assert got.shape == (2, *cells.shape, 3)
        for n, t in np.ndindex(cells.shape):
            row, column = places(how)[n, t] % cut.padded
            if row < cut.grid[0] and column < cut.grid[1]:
                assert cells[n, t] == row * cut.grid[1] + column
                np.testing.assert_array_equal(got[:, n, t], x[:, row, column])
            else:
                assert cells[n, t] == windows.PAD and not got[:, n, t].any()
        np.testing.assert_array_equal(windows.merge(got, cut, shifted=shifted), x)
        # Every cell is somewhere once.
        assert sorted(cells[cells >= 0]) == list(range(cut.grid[0] * cut.grid[1]))


def test_partition_with_a_traced_shift(key):
    cut = CUTS[1]
    x = jax.random.normal(key, (2, *cut.grid, 3))
    there = jax.jit(lambda x, s: windows.partition(x, cut, shifted=s))
    back = jax.jit(lambda x, s: windows.merge(x, cut, shifted=s))
    for shifted in (True, False):
        want = windows.partition(x, cut, shifted=shifted)
        np.testing.assert_array_equal(there(x, shifted), want)
        np.testing.assert_array_equal(back(want, shifted), x)


@pytest.mark.parametrize("cut", CUTS)
def test_those_meet_whom_no_border_parts(cut):
    for shifted, how in ((True, cut), (False, unshifted(cut))):
        got, place = np.asarray(windows.together(cut, shifted=shifted)), places(how)
        for n, q, k in np.ndindex(got.shape):
            # Behind the last row of the padded map the first begins; it is another piece.
            beyond = [tuple(place[n, i] >= cut.padded) for i in (q, k)]
            real = [windows.cells(how)[n, i] != windows.PAD for i in (q, k)]
            assert got[n, q, k] == (real[0] == real[1] and (not real[0] or beyond[0] == beyond[1]))
        assert got.diagonal(axis1=1, axis2=2).all()


def test_without_shift_and_padding_all_meet():
    assert windows.together(Windows((8, 4), (4, 2), (0, 0)), shifted=True) is None


def test_offsets_by_hand():
    got = windows.offsets((2, 3), (3, 5))
    assert got.shape == (3 * 5, 2)

    def log(delta, side):
        return math.copysign(math.log2(1 + abs(8 * delta / (side - 1))) / 3, delta)

    want = [(log(r, 3), log(c, 5)) for r in (-1, 0, 1) for c in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    # The longest offset of the window that it was learned in is log2(9) / log2(8).
    np.testing.assert_allclose(windows.offsets((12, 12), (12, 12)).max(), math.log2(9) / 3)
    # A window of one cell has no offsets to normalise.
    assert not windows.offsets((1, 1), (1, 1)).any()


def drawn(module, *inputs):
    """Parameters drawn without any zeros or ones."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


def bias_(p, offset, reference):
    """The bias of one offset, (heads,), in float64."""
    u = np.array([8 * d / (r - 1) for d, r in zip(offset, reference, strict=True)])
    u = np.sign(u) * np.log2(1 + np.abs(u)) / np.log2(8)
    hidden = np.maximum(u @ np.float64(p["fc1"]["kernel"]) + np.float64(p["fc1"]["bias"]), 0)
    return 16 / (1 + np.exp(-hidden @ np.float64(p["fc2"]["kernel"])))


def test_bias_of_every_pair_in_float64():
    module = ContinuousBias(heads=2, size=(2, 3), reference=(4, 5))
    p = drawn(module)
    p["fc2"]["kernel"] *= 0.1  # or nearly every sigmoid is 0 or 1
    got = np.asarray(module.apply({"params": p}))
    cells = [(r, c) for r in range(2) for c in range(3)]
    assert got.shape == (2, 6, 6)
    for i, (r, c) in enumerate(cells):
        for j, (s, d) in enumerate(cells):
            want = bias_(p, (r - s, c - d), (4, 5))
            np.testing.assert_allclose(got[:, i, j], want, rtol=1e-5)
    assert got.std() > 0.5


def test_a_transferred_bias_keeps_its_offsets():
    small = ContinuousBias(heads=2, size=(3, 3), reference=(3, 3))
    p = drawn(small)
    large = ContinuousBias(heads=2, size=(4, 5), reference=(3, 3)).apply({"params": p})
    inside = [r * 5 + c for r in range(3) for c in range(3)]
    want = small.apply({"params": p})
    np.testing.assert_allclose(large[:, inside][:, :, inside], want, rtol=1e-5)


def attention_(p, x, heads, pairs, bias):
    """(B, n, t, D) -> (B, n, t, D) and the weights, head by head in float64."""
    p, x = jax.tree.map(np.float64, (p, x))
    width = x.shape[-1]
    q, k, v = np.split(x @ p["qkv"]["kernel"], 3, axis=-1)
    q, v = q + p["q_bias"], v + p["v_bias"]
    unit = lambda y: y / np.sqrt((y**2).sum(-1, keepdims=True))  # noqa: E731
    out, weights = [], []
    for h in range(heads):
        part = slice(h * width // heads, (h + 1) * width // heads)
        cosine = unit(q[..., part]) @ unit(k[..., part]).swapaxes(-1, -2)
        s = np.exp(min(p["logit_scale"][h], math.log(100))) * cosine + bias[h]
        s = s + np.where(pairs, 0, -100)
        w = np.exp(s - s.max(-1, keepdims=True))
        weights.append(w / w.sum(-1, keepdims=True))
        out.append(weights[-1] @ v[..., part])
    y = np.concatenate(out, axis=-1) @ p["proj"]["kernel"] + p["proj"]["bias"]
    return y, np.stack(weights, axis=2)


def test_attention_in_float64(key):
    cut = Windows((4, 6), (2, 3), (1, 1))
    module = WindowAttention(heads=2, size=(2, 3), reference=(2, 3), report=True)
    x = jax.random.normal(key, (2, 4, 6, 8))
    pairs = windows.together(cut, shifted=True)
    p = drawn(module, x, pairs)
    p["cpb_mlp"]["fc2"]["kernel"] *= 0.1
    p["logit_scale"] = jnp.log(jnp.array([3.0, 20.0]))
    y, weights = jax.jit(lambda p: module.apply({"params": p}, x, pairs))(p)
    bias = ContinuousBias(2, (2, 3), (2, 3)).apply({"params": p["cpb_mlp"]})
    want, want_weights = attention_(p, x, 2, np.asarray(pairs), np.float64(bias))
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weights, want_weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    apart = np.broadcast_to(~np.asarray(pairs)[None, :, None], weights.shape)
    # e^-100 times at most e^(2·20 + 16).
    assert apart.any() and np.asarray(weights)[apart].max() < math.exp(-100 + 2 * 20 + 16)


def test_the_scale_stops_at_100_and_can_come_back(key):
    module = WindowAttention(heads=2, size=(2, 2), reference=(2, 2), report=True)
    x = jax.random.normal(key, (1, 3, 4, 8))
    p = drawn(module, x, None)

    @jax.jit
    def attend(scale):
        return module.apply({"params": p | {"logit_scale": scale}}, x, None)[0]

    limit = attend(jnp.full(2, math.log(100), jnp.float32))
    np.testing.assert_array_equal(attend(jnp.float32([9.0, 7.0])), limit)
    # Towards what a lower scale gives, and away from it: s falls, or it stays.
    aim = attend(jnp.full(2, 2.0, jnp.float32))
    for sign in (1, -1):
        loss = lambda s, sign=sign: sign * jnp.square(attend(s) - aim).sum()  # noqa: E731
        grad = np.asarray(jax.jit(jax.grad(loss))(jnp.full(2, 6.0, jnp.float32)))
        assert (grad >= 0).all()
        assert grad.any() == (sign == 1)


def test_the_scale_starts_at_10(key):
    module = WindowAttention(heads=2, size=(2, 2), reference=(2, 2))
    start = jax.jit(module.init)(key, jnp.zeros((1, 1, 4, 8)), None)["params"]["logit_scale"]
    np.testing.assert_allclose(start, math.log(10), rtol=1e-6)
