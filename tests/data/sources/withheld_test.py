"""A source that keeps its labels or its captions to itself."""

from m3i_jax import data
from m3i_jax.data.sources.protocol import account
from m3i_jax.data.sources.withheld import withheld

DIGITS = data.source({"name": "digit_scenes", "length": 20}, split="train")


def test_either_is_left_out_and_all_else_stays():
    assert withheld(DIGITS, "") is DIGITS
    pictures, silent = withheld(DIGITS, "labels"), withheld(DIGITS, "captions")
    for i in (0, 7):
        sample = DIGITS[i]
        for one in (pictures[i], silent[i]):
            assert (one.image == sample.image).all() and (one.box == sample.box).all()
        assert (pictures[i].label, pictures[i].mask) == (-1, None)
        assert pictures.read(i).caption == sample.caption
        assert (silent.read(i).label, silent[i].caption) == (sample.label, "")
        assert (silent[i].mask == sample.mask).all()
    assert pictures.classes == () and silent.classes == DIGITS.classes
    assert pictures.labels.tolist() == [-1] * 20 and account(pictures).labelled == 0
    assert list(pictures.captions()) == list(DIGITS.captions())
    assert list(silent.captions()) == [""] * 20 and account(silent).labelled == 20
    assert len({s.fingerprint() for s in (DIGITS, pictures, silent)}) == 3
