"""Partners, gathers that stay on their device, and exact mixing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.stats import beta, ks_2samp

from m3i_jax import mixing


@pytest.mark.parametrize(
    "batch, group", [(2, None), (3, None), (8, None), (64, 8), (64, 2), (6, 6)]
)
def test_partners_are_a_permutation_without_fixed_points_in_each_group(batch, group):
    draw = jax.jit(jax.vmap(lambda key: mixing.partner(key, batch, group=group)))
    for sigma in np.asarray(draw(jax.random.split(jax.random.key(0), 20))):
        assert sigma.dtype == np.int32
        np.testing.assert_array_equal(np.sort(sigma), np.arange(batch))
        assert (sigma != np.arange(batch)).all()
        size = group or batch
        np.testing.assert_array_equal(sigma // size, np.arange(batch) // size)


def test_every_other_row_is_an_equally_likely_partner():
    n, draws = 6, 3000
    sigma = jax.vmap(lambda k: mixing.partner(k, n))(jax.random.split(jax.random.key(0), draws))
    counts = np.stack([(np.asarray(sigma) == j).sum(0) for j in range(n)], 1)
    rest = counts[~np.eye(n, dtype=bool)]
    # Standard deviation of a count is 22; 30 counts stay within 4 of them.
    assert abs(rest - draws / (n - 1)).max() < 4 * 22
    # Cycles of every structure a derangement of six can be made of by conjugated shifts occur.
    assert len({tuple(s) for s in np.asarray(sigma)}) > 100


def test_groups_draw_independently(key):
    sigma = np.asarray(mixing.partner(key, 64, group=8)).reshape(8, 8) % 8
    assert len({tuple(s) for s in sigma}) > 4


@pytest.mark.parametrize(
    "batch, group, message",
    [
        (1, None, "a batch of 1 cannot be mixed"),
        (8, 1, "groups of 1 cannot be mixed"),
        (8, 3, "groups of 3 rows do not fill a batch of 8"),
        (8, 16, "groups of 16 rows"),
    ],
)
def test_impossible_groups_are_refused_when_traced(batch, group, message, key):
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda k: mixing.partner(k, batch, group=group))(key)


@pytest.mark.parametrize(
    "shape, dtype", [((16,), np.int32), ((16, 3), bool), ((16, 4, 4, 3), np.float32)]
)
def test_take_is_indexing(shape, dtype, key):
    x = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    for group in (None, 4):
        sigma = mixing.partner(key, 16, group=group)
        taken = mixing.take(jnp.asarray(x), sigma, group=group)
        np.testing.assert_array_equal(taken, x[np.asarray(sigma)])
        assert taken.dtype == dtype
        both = jnp.stack([jnp.arange(16, dtype=jnp.int32), sigma], axis=1)
        taken = mixing.take(jnp.asarray(x), both, group=group)
        np.testing.assert_array_equal(taken, x[np.asarray(both)])


def collectives(group, key):
    """Collective operations in the compiled gather of a batch that is spread over 8 devices."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    x = jax.device_put(jnp.arange(32 * 4 * 4 * 3, dtype=jnp.float32).reshape(32, 4, 4, 3), rows)
    sigma = mixing.partner(key, 32, group=group or 4)
    fn = jax.jit(lambda x, s: mixing.take(x, s, group=group), out_shardings=rows)
    np.testing.assert_array_equal(fn(x, sigma), np.asarray(x)[np.asarray(sigma)])
    program = fn.lower(x, jax.device_put(sigma, rows)).compile().as_text()
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute")
    return [kind for kind in kinds if f" {kind}" in program]


def test_groups_within_shards_need_no_collective(key):
    assert collectives(4, key) == []
    assert collectives(2, key) == []
    assert collectives(None, key)  # the plain gather does, so the check can fail


def test_invert(key):
    sigma = mixing.partner(key, 32)
    inverse = mixing.invert(sigma)
    np.testing.assert_array_equal(inverse[sigma], np.arange(32))
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    np.testing.assert_array_equal(mixing.take(mixing.take(x, sigma), inverse), x)


def test_mix_is_the_first_image_where_the_mask_is_true_and_exact(key):
    a, b = jax.random.normal(key, (2, 4, 8, 12, 3))
    b = b.at[0, 0, 0, 0].set(np.nan)  # a pixel that is not chosen cannot matter
    mask = np.random.default_rng(0).random((4, 4, 6)) < 0.5
    mask[0, 0, 0] = True
    mixed = jax.jit(mixing.mix, static_argnums=3)(a, b, mask, 2)
    pixels = mask.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(np.asarray(mixed)[pixels], np.asarray(a)[pixels])
    np.testing.assert_array_equal(np.asarray(mixed)[~pixels], np.asarray(b)[~pixels])


def test_mix_with_a_partner_shows_the_partner(key):
    a, b = jax.random.normal(key, (2, 6, 4, 4, 3))
    sigma = mixing.partner(key, 6)
    there = mixing.take(b, sigma)
    hidden = mixing.mix(a, there, jnp.zeros((6, 2, 2), bool), 2)
    np.testing.assert_array_equal(hidden, np.asarray(b)[np.asarray(sigma)])
    np.testing.assert_array_equal(mixing.mix(a, there, jnp.ones((6, 2, 2), bool), 2), a)


def test_a_mask_has_to_cover_the_image():
    x = jnp.zeros((1, 8, 8, 3))
    with pytest.raises(ValueError, match="2x3 patches of 4 pixels does not cover 8x8"):
        mixing.mix(x, x, jnp.ones((1, 2, 3), bool), 4)


def images(batch, key, side=(12, 20)):
    one, two = jax.random.uniform(key, (2, batch, *side, 3))
    return one, 2.0 + two  # every pixel tells which image it is from


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_adds_by_shares_that_are_beta_distributed(alpha, key):
    n = 8192
    one, two = images(n, key, (1, 2))
    mixed, share = jax.jit(lambda k, a, b: mixing.mixup(k, a, b, alpha=alpha, per="row"))(
        key, one, two
    )
    share = np.asarray(share, np.float64)
    weight = share[:, None, None, None]
    wanted = weight * np.asarray(one) + (1 - weight) * np.asarray(two)
    np.testing.assert_allclose(mixed, wanted, rtol=1e-6)
    assert mixed.dtype == np.float32 and (0 <= share).all() and (share <= 1).all()
    # Kolmogorov's distance passes 1.63/√n once in a hundred times. Not at the very ends: for small
    # α, float32 rounds every fiftieth share to 1.
    at = np.linspace(0.01, 0.99, 99)
    found = (share[:, None] <= at).mean(0)
    assert abs(found - beta(alpha, alpha).cdf(at)).max() < 1.63 / np.sqrt(n)


def host_boxes(rng, n, height, width, alpha):
    """Shares of the first image by a plain loop over images."""
    shares = []
    for _ in range(n):
        side = np.sqrt(1 - rng.beta(alpha, alpha))
        h, w = int(height * side) // 2, int(width * side) // 2
        y, x = rng.integers(height), rng.integers(width)
        rows = min(y + h, height) - max(y - h, 0)
        columns = min(x + w, width) - max(x - w, 0)
        shares.append(1 - rows * columns / (height * width))
    return np.array(shares)


def test_cutmix_shows_a_box_of_the_second_image_and_counts_its_pixels(key):
    one, two = images(512, key)
    cut = jax.jit(lambda k, a, b: mixing.cutmix(k, a, b, alpha=1.0, per="row"))
    mixed, share = (np.asarray(x) for x in cut(jax.random.key(1), one, two))
    second = mixed[..., 0] > 1.5
    np.testing.assert_array_equal(mixed, np.where(second[..., None], two, one))
    np.testing.assert_allclose(share, 1 - second.mean((1, 2)), rtol=1e-6, atol=1e-7)
    rows, columns = second.any(2), second.any(1)
    np.testing.assert_array_equal(second, rows[:, :, None] & columns[:, None, :])
    for line in (rows, columns):  # in one piece: at most one beginning
        assert (np.diff(line.astype(int), axis=1, prepend=0) == 1).sum(1).max() == 1
    assert len(np.unique(share)) > 40


def test_cutmix_boxes_are_distributed_as_a_plain_loop_has_them(key):
    n, blank = 20000, jnp.zeros((20000, 12, 20, 1), bool)
    _, share = jax.jit(lambda k, a, b: mixing.cutmix(k, a, b, alpha=0.7, per="row"))(
        key, blank, ~blank
    )
    host = host_boxes(np.random.default_rng(0), n, 12, 20, 0.7)
    # Standard deviation of the difference of two means: 0.3·√(2/n) = 0.003.
    assert abs(np.mean(share) - host.mean()) < 0.012
    assert ks_2samp(np.asarray(share, np.float64).round(6), host.round(6)).pvalue > 1e-3


@pytest.mark.parametrize("mix", [mixing.mixup, mixing.cutmix])
def test_a_batch_has_one_share_and_one_box(mix, key):
    """timm's "batch" mode, the recipes' own: the images of a batch are mixed alike."""
    blank = jnp.zeros((6, 12, 20, 1))
    one_by_one = jax.jit(jax.vmap(lambda k: mix(k, blank, blank + 1.0, alpha=1.0)))
    mixed, share = (np.asarray(x) for x in one_by_one(jax.random.split(key, 2000)))
    assert mixed.shape == (2000, 6, 12, 20, 1) and share.shape == (2000, 6)
    np.testing.assert_array_equal(share, np.broadcast_to(share[:, :1], share.shape))
    np.testing.assert_array_equal(mixed, np.broadcast_to(mixed[:, :1], mixed.shape))
    np.testing.assert_allclose(1 - mixed.mean((2, 3, 4)), share, atol=1e-6)
    # Over batches the shares are what they are over rows: uniform for α = 1, or with a box cut off.
    host = host_boxes(np.random.default_rng(0), 2000, 12, 20, 1.0)
    wanted = host if mix is mixing.cutmix else np.random.default_rng(0).uniform(size=2000)
    found = share[:, 0].astype(np.float64)
    assert ks_2samp(found.round(5), wanted.round(5)).pvalue > 1e-3
    with pytest.raises(ValueError, match="per 'batch' or per 'row', not per 'elem'"):
        mix(key, blank, blank, alpha=1.0, per="elem")


def test_partners_are_those_of_the_opposite_order():
    rows = jnp.arange(6)
    np.testing.assert_array_equal(mixing.mirrored(rows), [5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(mixing.mirrored(rows, group=2), [1, 0, 3, 2, 5, 4])
    images = jax.random.uniform(jax.random.key(0), (6, 2, 2, 3))
    for group in (None, 3):
        partner = mixing.mirrored(rows, group=group)
        there = mixing.mirrored(images, group=group)
        np.testing.assert_array_equal(there, mixing.take(images, partner, group=group))
    with pytest.raises(ValueError, match="groups of 4 rows do not fill a batch of 6"):
        mixing.mirrored(rows, group=4)


@pytest.mark.parametrize("mix", [mixing.mixup, mixing.cutmix])
def test_mixing_by_shares_refuses_an_alpha_that_is_no_beta(mix, key):
    x = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(ValueError, match="is positive, not 0"):
        mix(key, x, x, alpha=0.0)


def test_mixing_by_shares_does_not_depend_on_the_number_of_devices(key):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    pair = images(16, key, (4, 6))
    ways = [(mix, per) for mix in (mixing.mixup, mixing.cutmix) for per in ("batch", "row")]
    fn = jax.jit(lambda k, *x: [mix(k, *x, alpha=1.0, per=per) for mix, per in ways])
    here, there = fn(key, *pair), fn(key, *jax.device_put(pair, rows))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), there, here)
