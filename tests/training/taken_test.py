"""What becomes of weights, in words."""

from m3i_jax.interop.importing import Report
from m3i_jax.training import taken


def test_everything_that_is_new_or_left_out_is_said_with_what_becomes_of_it():
    missing = ("decoders/category/norm/bias", "encoders/category/kernel", taken.POSITIONS)
    head = tuple(f"decoders/image/{i}/bias" for i in range(5))
    account = Report(("a", "b"), missing, (*head, "encoders/image/norm/bias"), ("resized",))
    assert taken.sentences(account, encoder={"positions": "tuned"}) == [
        "2 weights are taken",
        "encoders/image/pos_embed starts as the fixed positions, which have no weights and learn "
        "from now on: nothing of them is lost",
        "2 are not there and start as this run draws them: decoders/category (norm/bias); "
        "encoders/category (kernel)",
        "6 are there and not used, as this run has no such part: decoders/image (5 weights); "
        "encoders/image (norm/bias)",
        "the norm of the head 'category', which is new, stands for the encoder's last one",
        "resized",
    ]
    drawn = taken.sentences(account, encoder={"positions": "learned"})[1]
    assert drawn.startswith("3 are not there and start as this run draws them: ")
    assert "encoders/image (pos_embed)" in drawn
    assert taken.sentences(Report(("a",), (), ()), encoder={}) == ["1 weights are taken"]
