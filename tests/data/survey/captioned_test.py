"""Captions counted by hand."""

from m3i_jax.data import captions
from m3i_jax.data.survey.captioned import captioned

TRAINED = ["a cat", "a dog", "the dog sleeps"]


def test_lengths_cuts_and_unknown_words_are_exact():
    tokenizer = captions.train(TRAINED, length=4)
    of = captioned([("a cat",), (), ("a dog", "the emu, the EMU walks")], tokenizer)
    assert (of.images, of.captions, of.length) == (2, 3, 4)
    # With the end token: 3, 3, and "the", "emu", ",", "the", "emu", "walks" and the end.
    assert of.tokens == (3.0, 3.0, 7.0) and of.cut == 1
    assert of.parts == 10 and of.unknown == 4
    assert dict(of.unknown_words) == {"emu": 2, ",": 1, "walks": 1}
    assert of.words == (("a", 2), ("emu", 2), ("the", 2), ("cat", 1), ("dog", 1), ("walks", 1))


def test_without_a_caption_all_is_nothing():
    of = captioned([(), ()], captions.train(TRAINED))
    assert (of.images, of.captions, of.cut, of.parts) == (0, 0, 0, 0) and of.words == ()
