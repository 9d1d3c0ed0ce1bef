"""A method checks itself when it is built, and knows what it needs."""

from dataclasses import replace

import pytest

from m3i_jax import framework as fw
from m3i_jax import methods
from m3i_jax.framework import Code, Method, RegionCode, Term


def codes():
    return {"x": Code("a", fw.online()), "y": Code("a", fw.pixels())}


def test_a_term_over_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="term 't' wants code 'z'; there are: x, y"):
        Method(codes(), {"t": Term("x", "z", None, fw.gaussian())})


def test_positions_are_all_or_hidden():
    with pytest.raises(ValueError, match="'hiden'"):
        Method(codes(), {"t": Term("x", "y", None, fw.gaussian(), positions="hiden")})


def test_a_part_needs_a_mixed_view():
    with pytest.raises(ValueError, match="'a' is not derived"):
        Method(codes() | {"p": RegionCode("x", "first")}, {})


def test_what_the_host_has_to_give():
    assert methods.m3i().sources == {"a", "b", "label", "text"}
    assert methods.m3i(target_view_second="same", category=False, text=False).sources == {"a"}
    assert methods.mae().sources == {"a"}
    assert methods.siamese_im().sources == {"a", "b"}
    assert methods.supcon().sources == {"a", "b", "label"}


def test_positives_of_other_samples_want_a_distribution_that_knows_them():
    own = codes() | {"y": Code("b", fw.online(), identity="label")}
    with pytest.raises(ValueError, match="positives of each other by 'label'.*nt_xent does"):
        Method(own, {"t": Term("x", "y", None, fw.cosine())})


def test_decoders_predict_the_width_of_their_target(toy):
    assert methods.m3i().decoders(toy.towers) == {"image": 6, "category": 6, "text": 6}
    assert methods.mae().decoders(toy.towers) == {"image": 12}
    twice = {"t": Term("x", "x", "d", fw.gaussian()), "u": Term("x", "y", "d", fw.gaussian())}
    with pytest.raises(ValueError, match="'u' wants decoder 'd' to predict 12"):
        Method(codes(), twice).decoders(toy.towers)


def test_terms_that_couple_a_batch_are_named():
    assert set(methods.m3i().batchwise()) == {"text_first", "text_second"}
    assert set(methods.siamese_im().batchwise()) == {"dense"}
    assert methods.siamese_im(negative_weight=0.0, projector=False).batchwise() == {}
    assert set(methods.siamese_im(negative_weight=0.0).batchwise(frozenset({"projector"})))


def test_an_average_is_always_kept():
    assert "ema" in methods.mae().slots
    assert "ema" in methods.m3i().slots


def centred(encoder, **name):
    return fw.assigned(encoder, fw.centring(), **name)


@pytest.mark.parametrize("state", [fw.queue, centred, fw.quantized, fw.visual_tokens])
def test_one_state_is_not_about_the_codes_of_two_heads(state):
    one, other = (Code("a", state(fw.ema(heads=h))) for h in ("projector", "prototypes"))
    with pytest.raises(ValueError, match="wanted for the codes of .*projector.*prototypes.*`name`"):
        Method({"one": one, "other": other}, {})
    other = Code("a", state(fw.ema(heads="prototypes"), name="mine"))
    assert len(Method({"one": one, "other": other}, {}).slots) == 3
    again = Code("b", state(fw.ema(heads="projector")))
    assert len(Method({"one": one, "again": again}, {}).slots) == 2


@pytest.mark.parametrize(
    "former, record",
    [
        ("Look", fw.EncoderInput),
        ("Part", RegionCode),
        ("Derived", fw.DerivedView),
        ("Made", fw.DerivedInputs),
        ("words", fw.visual_tokens),
        ("dalle_words", fw.dalle_tokens),
    ],
)
def test_what_was_renamed_answers_and_says_its_name(former, record):
    with pytest.warns(DeprecationWarning, match=f"{former} is called framework.{record.__name__}"):
        assert getattr(fw, former) is record
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        fw.Nothing  # noqa: B018


def test_a_method_says_which_decoder_classifies():
    for name in ("classification", "mixed_classification", "m3i"):
        assert methods.METHODS[name]().classifier == ("category", "category")
    for name in ("mae", "clip", "byol"):
        assert methods.METHODS[name]().classifier is None
    assert methods.m3i(category=False).classifier is None


def test_an_average_is_of_the_classifier_where_that_is_asked_for():
    leaves = {"encoders": {"image": {"w": 1}, "category": {"kernel": 2}, "text": {"w": 3}},
              "decoders": {"category": {"norm": 4}, "image": {"w": 5}}}  # fmt: skip
    alone = {"encoders": {"image": {"w": 1}}}
    assert methods.mixed_classification().owned(leaves, "ema") == alone
    whole = replace(methods.mixed_classification(), averages_head=True)
    assert whole.owned(leaves, "ema") == {
        "encoders": {"image": {"w": 1}, "category": {"kernel": 2}},
        "decoders": {"category": {"norm": 4}},
    }
    leaves["decoders"] |= {"segmentation": {"norm": 6}, "auxiliary": {"w": 7}}
    dense = methods.segmentation(auxiliary=0.4)
    assert dense.owned(leaves, "ema") == alone
    heads = {name: leaves["decoders"][name] for name in ("segmentation", "auxiliary")}
    averaged = replace(dense, averages_head=True).owned(leaves, "ema")
    assert averaged == alone | {"decoders": heads}


def test_a_state_is_exchanged_in_all_codes_that_have_it():
    average = fw.ema(momentum=0.5)
    first = fw.Method(
        {
            "x": Code("a", fw.online()),
            "y": Code("a", fw.standardize(average)),
            "z": Code("b", average),
        },
        {"t": Term("x", "y", None, fw.gaussian())},
    )
    slot = fw.ema(momentum=0.7).slots[0]
    method = first.with_slot(slot)
    assert method.slots["ema"] is slot and first.slots["ema"].settings[0] == 0.5
    assert method.codes["x"] is not None and method.codes["x"].encoder == first.codes["x"].encoder
