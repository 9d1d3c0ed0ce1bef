"""Rows within a view: masks, targets, positions."""

from types import SimpleNamespace

import pytest

from m3i_jax import methods
from m3i_jax.build import ConfigError
from m3i_jax.methods import compose


def test_mae_scores_hidden_pixels_only():
    assert methods.mae().terms["pixels"].positions == "hidden"
    assert methods.mae().codes["x"].mask.hidden == 0.75


def test_simmim_hides_whole_units():
    mask = methods.simmim().codes["x"].mask
    # ceil(0.6 * 49) = 30 units of 2 x 2 cells.
    assert mask.count((14, 14)) == 196 - 4 * 30


def test_maskfeat_hides_78_of_196_and_asks_108_numbers_of_a_patch():
    method = methods.maskfeat()
    assert method.codes["x"].mask.count((14, 14)) == 196 - 78
    towers = {"image": SimpleNamespace(patch=16)}
    assert method.codes["y"].encoder.width(towers) == 108
    with pytest.raises(
        ConfigError, match="cells of 8 pixels, of which the patches of tower 'image', 4"
    ):
        method.codes["y"].encoder.width({"image": SimpleNamespace(patch=4)})


def test_cae_encodes_what_it_hides_by_itself():
    method = methods.cae()
    hidden, rest = method.codes["z"].mask, method.codes["y"].mask
    assert hidden.count((14, 14)) == rest.count((14, 14)) == 98 and rest.rest_of == "z"
    both = compose.combine({"cae": method, "mae": methods.mae()})
    assert both.codes["cae/y"].mask.rest_of == "cae/z"


def test_beit_hides_75_of_196_and_data2vec_120():
    assert methods.beit().codes["x"].mask.count((14, 14)) == 196 - 75
    assert methods.data2vec(hidden=120 / 196).codes["x"].mask.count((14, 14)) == 76


def test_data2vec_reads_layers_of_the_average():
    method = methods.data2vec(layers=6)
    assert method.codes["y"].encoder.tower_outputs == {"layers"}
    assert method.slots["ema"].settings[:3] == (0.9998, 0.9998, "cosine")


def test_beit_v2_asks_the_same_tokens_twice_of_one_pass():
    method = methods.beit_v2()
    assert method.terms["words"].decoder == method.terms["words_class"].decoder
    assert method.codes["x"].mask == method.codes["branch"].mask


def test_milan_is_guided_by_its_teacher():
    method = methods.milan()
    assert method.codes["x"].mask.guide == "y"
    assert method.codes["y"].encoder.tower_outputs == {"attention"}
    assert method.terms["dense"].positions == "all"


def test_a_tokenizer_is_frozen_and_brings_its_codebook():
    dalle = methods.beit(vocabulary=512, tokenizer="dalle")
    assert set(dalle.slots) == {"ema", "frozen/tokenizer"} and not dalle.heads()
    with pytest.raises(ConfigError, match="did you mean 'dalle'"):
        methods.beit(tokenizer="dale")
    method = methods.beit(vocabulary=512)
    assert set(method.slots) == {"ema", "frozen/tokenizer", "codebook"}
    assert method.codes["y"].encoder.width({}) == 512
