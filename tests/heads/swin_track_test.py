"""The tracker: what its cells read, what they say, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.heads.swin_track import SwinTrack
from m3i_jax.types import Features

SIZE = (32, 48)


@pytest.fixture(scope="module")
def made():
    head = SwinTrack(1, width=8, depth=1, heads=2)
    x = Features(maps=(jnp.ones((2, 4, 6, 8)), jnp.ones((2, 2, 3, 8))))
    params = head.init(jax.random.key(0), x, size=SIZE)
    return head, params, jax.jit(lambda p, x: head.apply(p, x, size=SIZE))


def maps(seed, width=8):
    rng = np.random.default_rng(seed)
    some = lambda h, w: rng.normal(size=(2, h, w, width)).astype(np.float32)  # noqa: E731
    return Features(maps=(some(4, 6), some(2, 3)))


def test_every_cell_says_how_sure_it_is_and_a_box_in_the_region(made):
    _, params, apply = made
    said = apply(params, maps(0))
    assert said.logits.shape == (2, 24) and said.corners.shape == (2, 24, 4)
    # Sigmoids of small numbers: centres and sides of about half the region.
    middle = said.corners.reshape(-1, 2, 2).mean(1)
    np.testing.assert_allclose(middle.mean(0), np.divide(SIZE, 2), rtol=0.3)
    assert (said.corners[..., 2:] > said.corners[..., :2]).all()
    np.testing.assert_array_equal(said.cells[0, -1], [24, 40, 32, 48])


def test_both_maps_count_and_no_other_image(made):
    _, params, apply = made
    base, other = maps(0), maps(1)
    said = apply(params, base)
    for number in range(2):
        changed = list(base.maps)
        changed[number] = np.stack([base.maps[number][0], other.maps[number][1]])
        answer = apply(params, Features(maps=tuple(changed)))
        np.testing.assert_array_equal(answer.logits[0], said.logits[0])
        assert (np.abs(answer.logits[1] - said.logits[1]) > 1e-4).all()


def test_parameters_are_counted():
    """SwinTrack-T's head: 4 + 1 blocks of 384, positions of 14² and 7², two MLPs."""
    head = SwinTrack(1)
    x = Features(maps=(jnp.zeros((1, 14, 14, 384)), jnp.zeros((1, 7, 7, 384))))
    shapes = jax.eval_shape(lambda k: head.init(k, x, size=(224, 224)), jax.random.key(0))
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    width, square = 384, 384 * 384 + 384
    block = 4 * square + 2 * 4 * width * width + 5 * width + 2 * 2 * width
    assert count(shapes["params"]["encoder_0"]) == block
    assert count(shapes["params"]["decoder"]) == block + 2 * width
    places = [(14 + 7) * 2 * width, 2 * 2 * width]
    tables = [8 * 27**2, 2 * 8 * 20**2, 8 * 13**2]
    assert count(shapes["params"]["encoder_positions"]) == sum(places) + 4 * square + sum(tables)
    reads = sum(places) + 3 * square + 8 * 27**2 + 8 * 20**2
    assert count(shapes["params"]["decoder_positions"]) == reads
    mlps = 4 * square + (width + 1) + 4 * (width + 1)
    whole = 4 * block + block + 2 * width + 2 * width + mlps
    whole += sum(places) + 4 * square + sum(tables) + reads
    assert count(shapes) == whole


def test_maps_of_another_width_are_projected():
    head = SwinTrack(1, width=8, depth=1, heads=2)
    params = head.init(jax.random.key(0), maps(0, width=6), size=SIZE)
    assert params["params"]["project"]["kernel"].shape == (6, 8)


@pytest.mark.parametrize(
    "head, x, sentence",
    [
        (SwinTrack(1, width=8, heads=2), Features(maps=(jnp.ones((1, 2, 2, 8)),) * 3), "gets 3"),
        (SwinTrack(3, width=8, heads=2), None, "is asked for 3 kinds"),
        (SwinTrack(1, width=9, heads=2), None, "9"),
    ],
)
def test_what_does_not_fit_is_refused(head, x, sentence):
    with pytest.raises(ConfigError, match=sentence):
        head.check()
        head.init(jax.random.key(0), x, size=SIZE)


def test_parameters_made_of_one_image_are_those_for_both():
    head = SwinTrack(1, width=8, depth=1, heads=2)
    one = lambda x: jax.eval_shape(lambda k: head.init(k, x, size=SIZE), jax.random.key(0))  # noqa: E731
    both = maps(0)
    assert one(Features(maps=both.maps[:1])) == one(both)
