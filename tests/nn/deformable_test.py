"""DCNv3 and its gradients against loops in float64, and under every transformation."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.nn import deformable
from m3i_jax.nn.deformable import dcnv3, gathered

PLAIN = dict(kernel=3, stride=1, padding=1, dilation=1, offset_scale=1.0)


def loops(values, offsets, masks, g, *, kernel, stride, padding, dilation, offset_scale):
    """The result for each point, tap and corner in turn, and the gradients for the cotangent g.

    At a place on a cell the slope is that of the side of larger coordinates.
    """
    values, offsets, masks, g = (np.asarray(x, np.float64) for x in (values, offsets, masks, g))
    batch, height, width, channels = values.shape
    groups = masks.shape[3]
    y, dv, do, dm = (np.zeros_like(x) for x in (g, values, offsets, masks))
    half = dilation * (kernel - 1) // 2
    for b, i, j, group in np.ndindex(masks.shape[:4]):
        c = slice(group * channels // groups, (group + 1) * channels // groups)
        for k, (right, down) in enumerate(itertools.product(range(kernel), repeat=2)):
            at = b, i, j, group, k
            x = (
                stride * j
                - padding
                + half
                + offset_scale * (dilation * right - half + offsets[at][0])
            )
            z = (
                stride * i
                - padding
                + half
                + offset_scale * (dilation * down - half + offsets[at][1])
            )
            left, top = math.floor(x), math.floor(z)
            for dz, dx in itertools.product((0, 1), repeat=2):
                row, column = top + dz, left + dx
                if not (0 <= row < height and 0 <= column < width):
                    continue
                wz, wx = (z - top if dz else 1 - z + top), (x - left if dx else 1 - x + left)
                cell = values[b, row, column, c]
                y[b, i, j, c] += masks[at] * wz * wx * cell
                dv[b, row, column, c] += masks[at] * wz * wx * g[b, i, j, c]
                dot = g[b, i, j, c] @ cell
                dm[at] += wz * wx * dot
                do[at][0] += offset_scale * masks[at] * (2 * dx - 1) * wz * dot
                do[at][1] += offset_scale * masks[at] * (2 * dz - 1) * wx * dot
    return y, dv, do, dm


def draw(grid, out, *, batch=2, channels=6, groups=2, points=9, seed=0, reach=1.5):
    """values, offsets, masks and a cotangent, in float32."""
    rng = np.random.default_rng(seed)
    shape = (batch, *out, groups, points)
    arrays = (
        rng.normal(size=(batch, *grid, channels)),
        reach * rng.normal(size=(*shape, 2)),
        rng.normal(size=shape),
        rng.normal(size=(batch, *out, channels)),
    )
    return tuple(np.float32(x) for x in arrays)


def with_gradients(values, offsets, masks, g, **how):
    def run(values, offsets, masks, g):
        y, pull = jax.vjp(functools.partial(dcnv3, **how), values, offsets, masks)
        return y, *pull(g)

    return jax.jit(run)(values, offsets, masks, g)


def assert_close(got, want):
    # Sums of at most 36 (result) or some 100 (gradients) products of order one in float32.
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "grid, out, how",
    [
        ((5, 4), (5, 4), {}),
        ((5, 4), (5, 4), dict(offset_scale=2.0)),
        ((5, 6), (3, 3), dict(stride=2)),
        ((4, 5), (2, 3), dict(padding=0)),
        ((6, 5), (6, 5), dict(padding=2, dilation=2)),
        ((7, 5), (4, 3), dict(kernel=5, padding=2, stride=2)),
        ((4, 4), (5, 5), dict(kernel=2, offset_scale=0.5)),
    ],
)
def test_result_and_gradients_in_float64(grid, out, how):
    arrays = draw(grid, out, points=how.get("kernel", 3) ** 2)
    assert_close(with_gradients(*arrays, **how), loops(*arrays, **(PLAIN | how)))


def test_the_loops_have_the_slopes_of_finite_differences():
    *arrays, g = (np.float64(x) for x in draw((4, 5), (4, 5)))
    rng = np.random.default_rng(1)
    steps = [1e-6 * rng.normal(size=x.shape) for x in arrays]
    _, *grads = loops(*arrays, g, **PLAIN)
    for which, (grad, step) in enumerate(zip(grads, steps, strict=True)):
        moved = lambda sign, i=which, s=step: [  # noqa: E731
            x + sign * s if j == i else x for j, x in enumerate(arrays)
        ]
        after, before = (loops(*moved(sign), g, **PLAIN)[0] for sign in (1, -1))
        np.testing.assert_allclose((grad * step).sum(), ((after - before) * g).sum() / 2, rtol=1e-5)


def test_places_on_borders_and_outside():
    values, offsets, masks, g = draw((4, 5), (4, 5))
    rng = np.random.default_rng(2)
    whole = rng.integers(-7, 8, offsets.shape)  # on cells, on the border, and out of reach
    assert_close(
        with_gradients(values, np.float32(whole), masks, g), loops(values, whole, masks, g, **PLAIN)
    )
    far = np.where(rng.random(offsets.shape) < 0.5, 1e4, -3e9).astype(np.float32)
    y, *grads = with_gradients(values, far, masks, g)
    assert not any(np.asarray(x).any() for x in (y, *grads))


def test_what_is_not_finite_stays_where_it_is():
    values, offsets, masks, g = draw((4, 5), (4, 5))
    broken = offsets.copy()
    broken[0, 1, 2, 0, :3] = (np.nan, np.inf), (-np.inf, 0), (0, np.nan)
    y, *_ = with_gradients(values, broken, masks, g)
    want = loops(values, offsets, masks, g, **PLAIN)[0]
    expected = np.ones(y.shape, bool)
    expected[0, 1, 2, :3] = False
    assert np.isfinite(y[expected]).all() and not np.isfinite(y[~expected]).any()
    np.testing.assert_allclose(y[expected], want[expected], rtol=2e-5, atol=2e-5)


def test_without_offsets_it_is_an_average_that_counts_the_padding():
    values, offsets, masks, _ = draw((4, 5), (4, 5))
    got = dcnv3(values, np.zeros_like(offsets), np.full_like(masks, 1 / 9))
    padded = np.pad(np.float64(values), ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = sum(padded[:, i : i + 4, j : j + 5] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_points_are_x_major():
    values, offsets, masks, _ = draw((4, 5), (4, 5))
    masks = np.zeros_like(masks)
    masks[..., 1] = 1  # (-1, 0): one to the left
    got = dcnv3(values, np.zeros_like(offsets), masks)
    np.testing.assert_array_equal(got[:, :, 1:], values[:, :, :-1])
    assert not np.asarray(got[:, :, 0]).any()


def test_gathered_is_the_convolution_of_as_many_queries():
    """Whose taps are 1x1: the places are where the cells are, and as far off as the offsets say."""
    values, offsets, masks, g = draw((4, 5), (4, 5), points=1)
    flat = (2, 20, *masks.shape[3:])
    cells = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), -1)[None, :, :, None, None]
    places = np.float32(offsets + cells).reshape(*flat, 2)
    want = with_gradients(values, offsets, masks, g, kernel=1, padding=0)
    y, pull = jax.vjp(gathered, values, places, masks.reshape(flat))
    got = y, *pull(g.reshape(2, 20, -1))
    for x, other in zip(got, want, strict=True):
        np.testing.assert_allclose(x, other.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_places_that_do_not_fit():
    values, places, weights = (jnp.zeros(shape) for shape in ((1, 4, 4, 6), (1, 3, 2, 5, 2), ()))
    for shape in ((1, 3, 2, 4), (2, 3, 2, 5), (1, 3, 4, 5)):
        with pytest.raises(ValueError, match="gathered: for weights"):
            gathered(values, places, jnp.broadcast_to(weights, shape))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_values_with_float32_sums(dtype):
    values, offsets, masks, g = draw((5, 4), (5, 4))
    values, g = jnp.asarray(values, dtype), jnp.asarray(g, dtype)
    got = with_gradients(values, offsets, masks, g)
    assert [x.dtype for x in got] == [dtype, dtype, jnp.float32, jnp.float32]
    want = loops(values, offsets, masks, g, **PLAIN)
    # Of the result and of the gradient of the values one rounding each, of the others none.
    for x, y, error in zip(got, want, (2**-8, 2**-8, 2e-5, 2e-5), strict=True):
        np.testing.assert_allclose(np.float32(x), y, rtol=error, atol=2e-5)


def total(values, offsets, masks):
    return (jnp.sin(dcnv3(values, offsets, masks)) ** 2).sum()


GRAD = jax.jit(jax.grad(total, argnums=(0, 1, 2)))


def test_transformations_change_nothing():
    arrays = draw((4, 5), (4, 5), batch=3)[:3]
    want = GRAD(*arrays)
    one = jax.grad(lambda *a: total(*(x[None] for x in a)), argnums=(0, 1, 2))
    each = jax.jit(jax.vmap(one))(*arrays)
    again = jax.jit(jax.grad(jax.checkpoint(total), argnums=(0, 1, 2)))(*arrays)
    for got in (each, again):
        assert_close(got, want)


def test_gradient_through_a_scan():
    values, offsets, masks, _ = draw((4, 5), (4, 5))
    depth = np.linspace(0.5, 1, 3, dtype=np.float32)

    def step(x, scale):
        return dcnv3(x, scale * offsets, masks / 3), None

    def scanned(x):
        return (jax.lax.scan(step, x, depth)[0] ** 2).sum()

    def unrolled(x):
        return (functools.reduce(lambda x, s: step(x, s)[0], depth, x) ** 2).sum()

    got = jax.jit(jax.value_and_grad(scanned))(values)
    want = jax.jit(jax.value_and_grad(unrolled))(values)
    assert_close(got, want)


@pytest.mark.parametrize("known", [True, False])
def test_over_eight_devices_like_on_one(known):
    """With the mesh in context nothing is gathered; without, the result is right all the same."""
    arrays = draw((4, 5), (4, 5), batch=16)
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    rows = NamedSharding(mesh, P(("data", "fsdp")))
    want = with_gradients(*arrays)

    def run(values, offsets, masks, g):
        y, pull = jax.vjp(dcnv3, values, offsets, masks)
        return y, *pull(g)

    spread = jax.jit(run, in_shardings=(rows,) * 4, out_shardings=(rows,) * 4)
    if not known:
        assert_close(spread(*jax.device_put(arrays, rows)), want)
        return
    with jax.set_mesh(mesh):
        compiled = spread.lower(*jax.device_put(arrays, rows)).compile()
    for got, alone in zip(compiled(*jax.device_put(arrays, rows)), want, strict=True):
        np.testing.assert_allclose(got, alone, rtol=1e-6, atol=1e-6)
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in compiled.as_text()


def test_the_form_for_accelerators():
    *arrays, g = draw((5, 4), (5, 4))
    window = deformable.Window(**PLAIN)
    gather = functools.partial(deformable._gather, window, unroll=True)
    scatter = functools.partial(deformable._scatter, window, unroll=True)
    got = jax.jit(jax.vmap(gather))(*arrays), *jax.jit(jax.vmap(scatter))(*arrays, g)
    assert_close(got, loops(*arrays, g, **PLAIN))
    lowered = jax.jit(GRAD).trace(*arrays).lower(lowering_platforms=("cuda",))
    # The sum over taps and the products are one kernel each; the scattered sums remain a loop.
    assert lowered.as_text().count("stablehlo.while") == 1


def test_memory_is_not_that_of_all_corners():
    batch, side, channels = 2, 16, 64
    arrays = draw((side, side), (side, side), batch=batch, channels=channels)

    def run(values, offsets, masks, g):
        y, pull = jax.vjp(dcnv3, values, offsets, masks)
        return y, *pull(g)

    plan = jax.jit(run).lower(*arrays).compile().memory_analysis()
    assert plan.temp_size_in_bytes < batch * side**2 * channels * 36 * 4 / 4


@pytest.mark.parametrize("change", [dict(stride=2), dict(kernel=5), dict(padding=0)])
def test_shapes_that_do_not_fit(change):
    with pytest.raises(ValueError, match="masks .* should be"):
        dcnv3(*draw((4, 5), (4, 5))[:3], **change)
    values, offsets, masks, _ = draw((4, 5), (4, 5), channels=5)
    with pytest.raises(ValueError, match="divide 5 channels"):
        dcnv3(values, offsets, masks)
