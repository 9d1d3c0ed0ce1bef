"""The corrupted view by hand: what is kept, what is drawn, what counts as replaced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax.framework.views import DerivedInputs
from m3i_jax.types import Box, Features, Region, View

GRID, VOCABULARY = (2, 3), 5
BATCH, CELLS = 4, 6
RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, VOCABULARY, (BATCH, CELLS)).astype(np.int32)
VISIBLE = RNG.random((BATCH, *GRID)) < 0.5


def painted(made, choice):
    """A picture that shows every token as the brightness of its cell."""
    cells = choice.reshape(-1, *GRID, 1).astype(jnp.float32)
    return jnp.broadcast_to(cells, (*cells.shape[:3], 3))


TOKENIZER = fw.Tokenizer(None, painted)


def corrupt(logits, key, *, size=GRID, **options):
    ones = jnp.ones(BATCH)
    view = View(jnp.zeros((BATCH, *size, 3)), Box(*(ones,) * 6))
    made = DerivedInputs(
        {"target": Features(target_index=jnp.asarray(TARGET)), "prediction": Features()},
        {"prediction": jnp.asarray(VISIBLE)},
        lambda decoder, role: jnp.asarray(logits, jnp.float32),
        None,
        {},
    )
    derived = fw.corrupted(
        "a", target="y", prediction="x", decoder="words", tokenizer=TOKENIZER, **options
    )
    assert derived.codes == {"target": "y", "prediction": "x"} and derived.needs == ("a",)
    found = derived.make(key, {"a": view}, made, grid=GRID, patch=1)
    assert found.box is view.box
    return found


def test_visible_cells_keep_their_token_and_hidden_ones_get_the_prediction(key):
    logits = RNG.normal(size=(BATCH, CELLS, VOCABULARY))
    found = corrupt(logits, key, sampling="argmax")
    want = np.where(VISIBLE.reshape(BATCH, -1), TARGET, logits.argmax(-1)).reshape(BATCH, *GRID)
    np.testing.assert_array_equal(found.data[..., 0], want)
    cells = found.regions["replaced"].cells
    np.testing.assert_array_equal(cells, want != TARGET.reshape(want.shape))
    assert not (cells & VISIBLE).any() and cells.any()


def test_a_prediction_that_is_right_replaces_nothing(key):
    right = 50.0 * np.eye(VOCABULARY)[TARGET]
    for sampling in ("argmax", "softmax"):
        found = corrupt(right, key, sampling=sampling)
        assert not found.regions["replaced"].cells.any()
    np.testing.assert_array_equal(found.data[..., 0], TARGET.reshape(BATCH, *GRID))


def frequencies(logits, **options):
    """How often each token is drawn for hidden cells, over many keys."""
    draw = jax.vmap(lambda key: corrupt(logits, key, **options).data[..., 0])
    drawn = np.asarray(draw(jax.random.split(jax.random.key(1), 2000)))[:, ~VISIBLE]
    return np.bincount(drawn.astype(int).ravel(), minlength=VOCABULARY) / drawn.size


def test_tokens_are_drawn_by_the_softmax_or_evenly():
    logits = np.broadcast_to(np.log([0.1, 0.2, 0.3, 0.4, 1e-9]), (BATCH, CELLS, VOCABULARY))
    # 2000 draws of some 12 cells: a standard error is at most 0.0033.
    np.testing.assert_allclose(frequencies(logits), [0.1, 0.2, 0.3, 0.4, 0.0], atol=0.013)
    np.testing.assert_allclose(frequencies(logits, sampling="uniform"), [0.2] * 5, atol=0.013)
    squared = np.array([0.01, 0.04, 0.09, 0.16, 0.0]) / 0.3
    np.testing.assert_allclose(frequencies(logits, temperature=0.5), squared, atol=0.013)


def test_the_picture_is_brought_to_the_size_of_the_view(key):
    found = corrupt(np.zeros((BATCH, CELLS, VOCABULARY)), key, size=(8, 12))
    assert found.data.shape == (BATCH, 8, 12, 3)
    # Bilinear: corners are those of the cells.
    small = corrupt(np.zeros((BATCH, CELLS, VOCABULARY)), key).data
    np.testing.assert_allclose(found.data[:, 0, 0], small[:, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.data[:, -1, -1], small[:, -1, -1], atol=1e-6)


def test_wrong_options_are_refused():
    how = dict(target="y", prediction="x", decoder="words", tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="not drawn by 'softmx'; did you mean 'softmax'"):
        fw.corrupted("a", **how, sampling="softmx")
    with pytest.raises(ValueError, match="positive, not 0"):
        fw.corrupted("a", **how, temperature=0.0)


def test_replaced_cells_are_tokens_of_zeros_and_ones():
    region = Region(jnp.asarray(~VISIBLE), jnp.arange(BATCH), None)
    inputs = fw.EncoderInput(View(None, regions={"replaced": region}), None, None, {}, 0.0, None)
    found, updates = fw.replaced().apply(inputs)
    np.testing.assert_array_equal(found.tokens[..., 0], ~VISIBLE.reshape(BATCH, -1))
    assert updates == {} and fw.replaced().width({}) == 1


@pytest.mark.parametrize("hidden", [0.5, 0.1])
def test_a_rectangle_of_noise(hidden, key):
    ones = jnp.ones(200)
    view = View(jnp.full((200, 24, 32, 3), 9.0), Box(*(ones,) * 6))
    found = fw.erased("a", hidden=hidden).make(key, {"a": view}, grid=(3, 4), patch=8)
    erased = np.asarray((found.data != 9.0).all(-1))
    # All pixels of the box around what is erased, and no others: a rectangle.
    rows, columns = erased.any(2), erased.any(1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    # Sides are whole pixels, so half a pixel of each is the most that the area can be off.
    height, width = rows.sum(1), columns.sum(1)
    most = (height + width) / 2 + 0.25
    assert (np.abs(height * width - hidden * 24 * 32) <= most).all()
    assert len(set(height)) > 5, "all rectangles have one form"
    # Every edge of the image is reached, and the noise is standard normal.
    assert rows.any(0).all() and columns.any(0).all()
    noise = np.asarray(found.data)[erased]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert found.box is view.box


def test_nothing_or_all_cannot_be_erased():
    for hidden in (0.0, 1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            fw.erased("a", hidden=hidden)
