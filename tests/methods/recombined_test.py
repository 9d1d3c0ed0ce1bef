"""A recombination is made of parts that other rows have."""

from m3i_jax import methods


def test_siamese_words_has_the_input_of_one_row_and_the_target_of_another():
    row, one, other = methods.siamese_words(), methods.siamese_im(), methods.beit()
    assert row.codes["x"].view == one.codes["x"].view == "b"
    assert row.codes["x"].mask.draw is one.codes["x"].mask.draw
    assert set(row.slots) == set(other.slots)
    assert row.terms["words"].predict.name == other.terms["words"].predict.name


def test_the_paper_s_table_has_no_rows_of_ours():
    assert "siamese_words" in methods.ROWS and "siamese_words" not in methods.table()
