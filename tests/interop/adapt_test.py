"""Tables, patches and channels for other images: as the encoder resamples, and by algebra."""

import jax
import numpy as np
import pytest

from m3i_jax import geometry
from m3i_jax.interop import adapt
from m3i_jax.interop.rename import nested
from m3i_jax.nn.relative import linear_weights
from m3i_jax.nn.resample import cubic_weights


def shapes(params):
    return {path: jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in params.items()}


def within(params):
    return {path.removeprefix("encoders/image/"): x for path, x in params.items()}


def tree(params):
    return {"params": nested(params)}


@pytest.mark.parametrize(
    "fields",
    [
        dict(positions="learned"),
        dict(positions="learned", class_token=False),
        dict(positions="learned", registers=2),
        dict(positions="none", relative_bias="shared"),
        dict(positions="none", relative_bias="layer", class_token=False),
    ],
)
def test_tables_become_those_that_the_encoder_would_resample(drawn, fields):
    small, params = drawn(depth=1, **fields)
    large, wanted = drawn(image=(24, 8), depth=1, **fields)
    fit, notes = adapt.fit(within(params), shapes(within(wanted)), grid=large.grid)
    assert [note.split()[1] for note in notes] == ["resized"]
    images = np.random.default_rng(1).normal(size=(2, *large.size, 3)).astype(np.float32)
    want = small.apply(tree(within(params)), images).tokens
    got = large.apply(tree(fit), images).tokens
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_what_fits_is_left_alone(drawn):
    _, params = drawn(positions="learned")
    fit, notes = adapt.fit(within(params), shapes(within(params)), grid=(4, 4))
    assert not notes
    for path, x in within(params).items():
        assert fit[path] is x


def test_a_table_of_another_width_is_left_for_the_report(drawn):
    _, params = drawn(positions="learned")
    _, wanted = drawn(positions="learned", width=32, image=24)
    fit, _ = adapt.fit(within(params), shapes(within(wanted)))
    assert fit["pos_embed"].shape == (1, 17, 16)


def test_larger_patches_give_the_same_code_of_resized_patches():
    rng = np.random.default_rng(0)
    kernel, patch = rng.normal(size=(4, 4, 3, 5)), rng.normal(size=(4, 4, 3))
    resize = cubic_weights(4, 6)
    larger = np.einsum("ip,jq,pqc->ijc", resize, resize, patch)
    moved = adapt._patches(kernel, 6)
    want = np.einsum("pqc,pqcd->d", patch, kernel)
    np.testing.assert_allclose(np.einsum("ijc,ijcd->d", larger, moved), want, rtol=1e-5, atol=1e-5)


def test_smaller_patches_are_the_best_for_white_noise():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(6, 6, 1, 1))
    resize = np.kron(cubic_weights(6, 3), cubic_weights(6, 3))
    # E|<k, x> - <k', Rx>|² over white x is |k - Rᵀk'|²: at its minimum R(k - Rᵀk') = 0.
    moved = adapt._patches(kernel, 3).reshape(-1)
    rest = kernel.reshape(-1) - resize.T @ moved
    np.testing.assert_allclose(resize @ rest, 0, atol=1e-5)
    assert np.linalg.norm(rest) > 0.1


def test_patches_of_another_size_in_an_encoder(drawn):
    _, params = drawn(positions="learned")
    _, wanted = drawn(positions="learned", patch=8, image=32)
    flat = within(params)
    flat["patch_embed/kernel"] = flat["patch_embed/kernel"].reshape(4, 4, 3, 16)
    fit, notes = adapt.fit(flat, shapes(within(wanted)), grid=(4, 4))
    assert fit["patch_embed/kernel"].shape == (192, 16)
    assert notes == ["patch_embed/kernel resized from 4x4x3x16 to 192x16"]


@pytest.mark.parametrize("has, to", [(1, 3), (3, 1), (3, 6)])
def test_equal_channels_give_the_same_code(has, to):
    kernel = np.random.default_rng(0).normal(size=(2, 2, has, 5)).astype(np.float32)
    moved = adapt._channels(kernel, to)
    assert moved.shape == (2, 2, to, 5)
    np.testing.assert_allclose(moved.sum(2), kernel.sum(2), rtol=1e-5, atol=1e-5)


def test_of_four_channels_three_are_kept():
    kernel = np.random.default_rng(0).normal(size=(2, 2, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(adapt._channels(kernel, 3), kernel[:, :, :3] * 4 / 3, rtol=1e-6)


def test_a_fixed_table_is_known_and_rows_first_goes_away():
    rows = np.asarray(geometry.sincos((3, 3), 16))
    columns = np.roll(rows, 8, -1)
    for first in (0, 1):
        table = np.pad(rows, ((first, 0), (0, 0)))[None]
        assert adapt.fixed(table, None) == "rows"
        assert adapt.fixed(np.roll(table, 8, -1), None) == "columns"
        assert adapt.fixed(table + 0.01, None) is None
    # MAE's halves are [column, row] (docs/methods.md#two-views).
    cells = columns.reshape(3, 3, 16)
    np.testing.assert_array_equal(cells[0, :, 8:], cells[0, :1, 8:].repeat(3, 0))
    wide = np.asarray(geometry.sincos((2, 3), 16))[None]
    assert adapt.fixed(wide, (2, 3)) == "rows" and adapt.fixed(wide, None) is None


def test_renumbering_changes_nothing_but_the_order_of_the_features(drawn):
    fields = dict(layer_scale=0.1, pre_norm=True, depth=1)
    learned, params = drawn(positions="learned", **fields)
    module, _ = drawn(positions="sincos", **fields)
    flat = within(params)
    rows = np.pad(np.asarray(geometry.sincos((4, 4), 16)), ((1, 0), (0, 0)))[None]
    flat["pos_embed"] = np.roll(rows, 8, -1)
    wanted = shapes({path: x for path, x in flat.items() if path != "pos_embed"})
    fit, notes = adapt.fit(flat, wanted, grid=(4, 4))
    assert notes == ["pos_embed 1x17x16 is the fixed table, columns first"]
    images = np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype(np.float32)
    want, got = learned.apply(tree(flat), images), module.apply(tree(fit), images)
    np.testing.assert_allclose(got.tokens, np.roll(want.tokens, 8, -1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.pooled, np.roll(want.pooled, 8, -1), rtol=1e-5, atol=1e-5)


def test_learned_tables_are_not_dropped(drawn):
    _, params = drawn(positions="learned")
    wanted = {path: x for path, x in within(params).items() if path != "pos_embed"}
    fit, notes = adapt.fit(within(params), shapes(wanted))
    assert "pos_embed" in fit and not notes


def moved(cells, grid):
    """(h, w, D) on another grid, as torch moves it, without antialias."""
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(cells.transpose(2, 0, 1)[None])
    y = torch.nn.functional.interpolate(x, size=grid, mode="bicubic", align_corners=False)
    return y[0].numpy().transpose(1, 2, 0).reshape(-1, cells.shape[-1])


@pytest.mark.parametrize(
    "source, grid, told",
    [
        ((4, 4), (2, 8), True),  # of as many cells
        ((4, 4), (2, 8), False),
        ((2, 8), (4, 4), True),
        ((2, 8), (8, 2), True),
        ((2, 8), (3, 5), True),
        ((3, 5), (5, 3), True),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_tables_move_from_the_grid_that_they_are_of(source, grid, told, first):
    """What torch makes of it, whose places are float32; a square is guessed where nobody says."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1, first + source[0] * source[1], 8)).astype(np.float32)
    wanted = {"pos_embed": jax.ShapeDtypeStruct((1, first + grid[0] * grid[1], 8), np.float32)}
    given = source if told else None
    fit, (note,) = adapt.fit({"pos_embed": table}, wanted, grid=grid, source=given)
    assert ("taken to be square" in note) == (not told)
    want = moved(table[0, first:].reshape(*source, 8), grid)
    np.testing.assert_allclose(fit["pos_embed"][0, first:], want, atol=1e-5)
    np.testing.assert_array_equal(fit["pos_embed"][0, :first], table[0, :first])


@pytest.mark.parametrize("source, grid", [((2, 3), (3, 2)), ((4, 4), (2, 8)), ((2, 3), (5, 4))])
@pytest.mark.parametrize("last", [0, 3])
def test_tables_of_offsets_move_from_the_grid_that_they_are_of(source, grid, last):
    rows = lambda g: (2 * g[0] - 1, 2 * g[1] - 1)  # noqa: E731
    count = lambda g: rows(g)[0] * rows(g)[1]  # noqa: E731
    rng, path = np.random.default_rng(0), "blocks/attn/relative_position/table"
    table = rng.normal(size=(2, count(source) + last, 4)).astype(np.float32)
    params = {path: table} | ({"cls_token": np.zeros(1)} if last else {})
    wanted = {path: jax.ShapeDtypeStruct((2, count(grid) + last, 4), np.float32)}
    fit, notes = adapt.fit(params, wanted, grid=grid, source=source)
    assert len(notes) == 1
    for layer in range(2):
        cells = table[layer, : count(source)].reshape(*rows(source), 4)
        got = fit[path][layer]
        np.testing.assert_allclose(got[: count(grid)], moved(cells, rows(grid)), atol=1e-5)
        np.testing.assert_array_equal(got[count(grid) :], table[layer, count(source) :])


def test_codes_of_offsets_move_to_other_sides():
    """Of windows they stay, of the whole map they are resampled, along either axis by itself."""
    path = "blocks_{}/relative_position/{}".format
    draw = np.random.default_rng(0).normal
    sizes = {path(0, "rows"): 5, path(0, "columns"): 5, path(1, "rows"): 7, path(1, "columns"): 7}
    params = {name: draw(size=(n, 4)).astype(np.float32) for name, n in sizes.items()}
    to = sizes | {path(1, "rows"): 11, path(1, "columns"): 3}
    wanted = {name: jax.ShapeDtypeStruct((n, 4), np.float32) for name, n in to.items()}
    fit, notes = adapt.fit(params, wanted, grid=(6, 2), source=(4, 4))
    assert notes == [
        f"{path(1, a)} resized from 7x4 to {n}x4" for a, n in (("columns", 3), ("rows", 11))
    ]
    for name, n in to.items():
        want = linear_weights(sizes[name], n) @ params[name]
        np.testing.assert_allclose(fit[name], want, rtol=1e-5, atol=1e-6)
        assert n != sizes[name] or fit[name] is params[name]


def test_a_class_token_without_a_position_gets_none():
    """timm's no_embed_class: zeros in the row that our encoder adds to the class token."""
    table = np.random.default_rng(0).normal(size=(1, 6, 8)).astype(np.float32)
    wanted = {"pos_embed": jax.ShapeDtypeStruct((1, 7, 8), np.float32)}
    fit, _ = adapt.fit({"pos_embed": table}, wanted, grid=(2, 3), source=(2, 3))
    np.testing.assert_array_equal(fit["pos_embed"][0], np.pad(table[0], ((1, 0), (0, 0))))


def test_a_fixed_table_that_is_no_square_is_known():
    for kind, roll in (("rows", 0), ("columns", 4)):
        sines = np.roll(np.asarray(geometry.sincos((2, 8), 8)), roll, -1)
        assert adapt.fixed(np.float32(sines)[None], (2, 8)) == kind


def test_a_shared_table_of_positions_becomes_that_of_each_block(drawn):
    """As BEiT and SimMIM fine-tune: the network computes what it did."""
    shared, params = drawn(depth=3, positions="none", relative_bias="shared")
    layer, wanted = drawn(depth=3, positions="none", relative_bias="layer")
    fit, notes = adapt.fit(within(params), shapes(within(wanted)), grid=layer.grid)
    assert notes == ["relative_position/table became that of each of 3 blocks"]
    assert fit.keys() == within(wanted).keys()
    images = np.random.default_rng(1).normal(size=(2, *layer.size, 3)).astype(np.float32)
    want = shared.apply(tree(within(params)), images).tokens
    np.testing.assert_allclose(layer.apply(tree(fit), images).tokens, want, rtol=1e-6, atol=1e-6)
