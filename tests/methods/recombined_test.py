"""A recombination is made of parts that other methods have."""

from m3i_jax import methods


def test_siamese_words_has_the_input_of_one_method_and_the_target_of_another():
    method, one, other = methods.siamese_words(), methods.siamese_im(), methods.beit()
    assert method.codes["x"].view == one.codes["x"].view == "b"
    assert method.codes["x"].mask.draw is one.codes["x"].mask.draw
    assert set(method.slots) == set(other.slots)
    assert method.terms["words"].predict.name == other.terms["words"].predict.name


def test_the_paper_s_table_has_no_methods_of_ours():
    assert "siamese_words" in methods.METHODS and "siamese_words" not in methods.table()
