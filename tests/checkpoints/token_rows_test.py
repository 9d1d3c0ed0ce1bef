"""Rows of a text table follow the ids of its tokenizer."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from m3i_jax.checkpoints.token_rows import aligned
from m3i_jax.data import captions
from m3i_jax.interop import layouts
from m3i_jax.interop.importing import Imported

TABLE = "encoders/text/token_embed"
WORDS = ["!", "a", "cat", "<end>"]  # as in CLIP's file, token 0 is a word


def tokenizer(path, words=WORDS):
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=words[1]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["<end>"] + [w for w in words if w.startswith("[")])
    made.save(str(path))
    return captions.load(path, length=5, end="<end>")


def table(layout, rows):
    """A file whose row i is (i, i): what the token with the id i means to its author."""
    values = np.repeat(np.arange(rows, dtype=np.float32)[:, None], 2, axis=1)
    return Imported(
        "'file'", layouts.lookup(layout), {TABLE: values, "encoders/image/x": values}, ()
    )


@pytest.mark.parametrize("layout,rows,wanted", [("clip", 4, 5), ("clip", 5, 5), ("clip", 7, 8)])
def test_each_token_keeps_its_row(tmp_path, layout, rows, wanted):
    words = tokenizer(tmp_path / "t.json")
    assert words.raised and words.vocabulary == 5
    imported = table(layout, rows)
    moved = aligned(imported, words, rows=wanted).params
    assert len(moved[TABLE]) == wanted
    tokens = words.encode("! a cat")
    # "!", "a", "cat" and the end are rows 0 to 3 of the file, and padding is none of them.
    assert moved[TABLE][tokens][:, 0].tolist() == [0, 1, 2, 3, 0]
    assert tokens.tolist() == [1, 2, 3, 4, 0] and not moved[TABLE][0].any()
    assert moved["encoders/image/x"] is imported.params["encoders/image/x"]


def test_a_file_of_ours_has_its_rows_in_place_unless_it_is_too_short(tmp_path):
    words = tokenizer(tmp_path / "t.json")
    own, converted = table(layouts.OWN.name, 5), table(layouts.OWN.name, 4)
    assert aligned(own, words, rows=5).params[TABLE] is own.params[TABLE]
    assert aligned(converted, words, rows=5).params[TABLE][:, 0].tolist() == [0, 0, 1, 2, 3]


def test_a_tokenizer_with_padding_at_0_moves_nothing(tmp_path):
    words = tokenizer(tmp_path / "t.json", ["[PAD]", "a", "cat", "<end>"])
    imported = table("clip", 4)
    assert not words.raised and aligned(imported, words, rows=4) is imported
    assert aligned(imported, None, rows=4) is imported
