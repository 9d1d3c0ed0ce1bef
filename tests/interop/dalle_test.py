"""DALL-E's dVAE: the official names and shapes are ours, bit for bit, and the halves differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, encoders, trees
from m3i_jax.interop import dalle
from m3i_jax.interop.rename import sort, to_ours, to_theirs
from m3i_jax.types import Features

WIDTH, EMBED, WORDS = 4, 6, 12
STAGES = range(1, 5)


def convolution(name, out, given, size, ends=(".w", ".b")):
    return {name + ends[0]: (out, given, size, size), name + ends[1]: (out,)}


def half(widths, sizes, first, last, *, group="", path="", ends=(".w", ".b")):
    """Keys and shapes of the official program: widths in front of and behind every group."""
    want = convolution("blocks.input", *first, ends) | convolution(
        "blocks.output.conv", *last, 1, ends
    )
    for g in STAGES:
        into, out = widths[g - 1], widths[g]
        for b in (1, 2):
            block = f"blocks.group_{g}.{group}block_{b}"
            given = (into if b == 1 else out, *3 * (out // 4,))
            for k in range(1, 5):
                to = out if k == 4 else out // 4
                name = f"{block}.res_path.{path}conv_{k}"
                want |= convolution(name, to, given[k - 1], sizes[k - 1], ends)
        if into != out:
            want |= convolution(f"blocks.group_{g}.{group}block_1.id_path", out, into, 1, ends)
    return want


READS = dict(
    widths=(WIDTH, *(WIDTH * 2**i for i in range(4))),
    sizes=(3, 3, 3, 1),
    first=(WIDTH, 3, 7),
    last=(WORDS, 8 * WIDTH),
)
WRITES = dict(
    widths=(EMBED, *(WIDTH * 2**i for i in (3, 2, 1, 0))),
    sizes=(1, 3, 3, 3),
    first=(EMBED, WORDS, 1),
    last=(6, WIDTH),
)
FLAVA = dict(group="group.", path="path.", ends=(".weight", ".bias"))


def ours(half):
    """Shapes of our parameters by path."""
    sizes = dict(vocabulary=WORDS, width=WIDTH)
    if half == "decoder":
        module = decoders.create({"name": "dalle_decoder", "embed": EMBED, **sizes})
        x, how, prefix = (
            Features(target_index=jnp.zeros((1, 4), jnp.int32)),
            {"grid": (2, 2)},
            dalle.PIXELS,
        )
    else:
        module = encoders.create("dalle_encoder", image=32, **sizes)
        x, how, prefix = module.example(), {}, dalle.IMAGE
    shapes = jax.eval_shape(lambda k: module.init(k, x, **how), jax.random.key(0))["params"]
    return {prefix + path: x.shape for path, x in trees.named_leaves(shapes)}


@pytest.mark.parametrize(
    "layout, kind, theirs",
    [
        (dalle.ENCODER, "encoder", half(**READS)),
        (dalle.DECODER, "decoder", half(**WRITES)),
        (dalle.HUGGING_FACE, "encoder", half(**READS, **FLAVA)),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_every_official_key_has_its_place_and_returns_bitwise(layout, kind, theirs, same):
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in theirs.items()}
    places = sort(state, layout)
    assert not places.unknown and not places.dropped
    found = to_ours(state, places)
    assert {path: x.shape for path, x in found.items()} == ours(kind)
    back, unknown = to_theirs(found, layout)
    assert not unknown
    same(back, state)


def test_the_first_layout_that_knows_all_keys_is_the_right_one():
    for theirs, layout in (
        (half(**READS), dalle.ENCODER),
        (half(**WRITES), dalle.DECODER),
        (half(**READS, **FLAVA), dalle.HUGGING_FACE),
    ):
        assert next(x for x in dalle.LAYOUTS if not sort(theirs, x).unknown) is layout
    # What the encoder does not know of a decoder is that its first group widens the words.
    wider = {f"blocks.group_1.block_1.id_path.{end}" for end in "wb"}
    assert set(sort(half(**WRITES), dalle.ENCODER).unknown) == wider


def test_a_kernel_is_turned_and_not_reshaped():
    theirs = half(**WRITES)
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in theirs.items()}
    found = to_ours(state, sort(state, dalle.DECODER))
    row = found["decoders/pixels/embed/kernel"][5]
    np.testing.assert_array_equal(row, state["blocks.input.w"][:, 5, 0, 0])
    kernel = found["decoders/pixels/stages_2/blocks_1/conv3/kernel"]
    official = state["blocks.group_3.block_2.res_path.conv_3.w"]
    np.testing.assert_array_equal(kernel[0, 2, 1, 0], official[0, 1, 0, 2])
