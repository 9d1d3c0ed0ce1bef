"""Methods from plain data, and several at once over shared encoders."""

import pytest

from m3i_jax import methods
from m3i_jax.build import ConfigError

MAE_CLIP = dict(
    name="combine",
    methods=dict(mae=dict(name="mae"), clip=dict(name="clip", hidden=0.75)),
    weights=dict(clip=0.1),
)


def test_terms_keep_their_method_and_get_its_weight():
    method = methods.create(MAE_CLIP)
    assert set(method.terms) == {"mae/pixels", "clip/text"}
    assert method.groups == ("clip", "mae")
    assert method.terms["clip/text"].weight == 0.1
    # Equal views and masks: one pass through the encoder.
    assert method.codes["mae/x"].mask == method.codes["clip/x"].mask


def test_m3i_is_one_of_them():
    ema = dict(name="ema", momentum=0.99)
    blocks = dict(
        m3i=dict(name="m3i", target=ema),
        moco=dict(name="moco_v3", target=dict(ema, heads="projector")),
    )
    method = methods.create(dict(name="combine", methods=blocks))
    assert "m3i/mix" in method.views and method.codes["m3i/x"].view == "m3i/mix"
    assert method.codes["m3i/first"].code == "m3i/x"


def test_targets_belong_to_their_method():
    blocks = dict(
        one=dict(name="mae", target=dict(name="pixels", normalization="raw")),
        two=dict(name="siamese_im", target=dict(name="ema", momentum=0.9), projector=False),
    )
    method = methods.create(dict(name="combine", methods=blocks))
    assert method.codes["one/y"].encoder.name == "pixels/raw"
    assert method.slots["ema"].settings[:3] == (0.9, 1.0, "cosine")


def test_one_average_cannot_move_in_two_ways():
    blocks = dict(byol=dict(name="byol"), moco=dict(name="moco_v3"))
    with pytest.raises(ConfigError, match="'ema' is one state"):
        methods.create(dict(name="combine", methods=blocks))


def test_mistakes_are_answered_with_the_place():
    with pytest.raises(ConfigError, match=r"config.objective.methods.x 'maee'; did you mean 'mae'"):
        methods.create(dict(name="combine", methods=dict(x=dict(name="maee"))))
    with pytest.raises(ConfigError, match="config.objective.form is 'z', expected one of a, b"):
        methods.create(dict(name="table2", form="z"))


def combined(**blocks):
    return methods.create(dict(name="combine", methods=blocks))


def test_masks_views_and_guides_that_are_made_alike_are_one():
    method = combined(one=dict(name="simmim"), two=dict(name="simmim"))
    assert method.codes["one/x"].mask == method.codes["two/x"].mask
    assert len({c.mask for c in method.encoded.values() if c.mask}) == 1
    other = combined(one=dict(name="simmim"), two=dict(name="simmim", hidden=0.5))
    assert other.codes["one/x"].mask != other.codes["two/x"].mask
    mixed = combined(one=dict(name="m3i"), two=dict(name="m3i"), three=dict(name="m3i", hidden=0.4))
    assert set(mixed.views) == {"one/mix", "three/mix"}
    assert mixed.codes["two/x"].view == "one/mix" and mixed.codes["three/x"].view == "three/mix"
    guided = combined(one=dict(name="milan"), two=dict(name="milan"))
    assert len({c.mask for c in guided.encoded.values() if c.mask}) == 1


def test_states_about_other_heads_are_named_apart():
    """DenseCL's keys do not enter the queue of MoCo's projector; nor logits another's centre."""
    method = combined(moco=dict(name="moco", size=8), dense=dict(name="densecl", size=8))
    assert {"queue", "dense/queue", "dense_queue", "ema"} == set(method.slots)
    slots = {n: [s.name for s in c.encoder.slots] for n, c in method.codes.items()}
    assert slots["moco/y"] == ["ema", "queue"] and slots["dense/y"] == ["ema", "dense/queue"]
    assert slots["dense/y_dense"] == ["ema", "dense_queue"]
    heads = dict(name="ema", heads=("other", "prototypes"), momentum=0.996)
    two = combined(one=dict(name="dino"), two=dict(name="dino", target=heads))
    assert {"ema", "centre", "two/centre"} == set(two.slots)
    alike = combined(one=dict(name="dino"), two=dict(name="dino"))
    assert {"ema", "centre"} == set(alike.slots)


def test_gram_anchoring_is_of_any_method_and_shares_its_pass_where_it_sees_all_cells():
    gram = lambda **method: methods.combine(methods={"own": method}, gram=2.0, refresh=50)  # noqa: E731
    for name, mask in (("dinov2", "own/x_a"), ("simclr", "own/xa"), ("mae", None)):
        method = gram(name=name)
        views = "a" if name == "mae" else "ab"
        terms = {n: t for n, t in method.terms.items() if t.group == "gram"}
        assert set(terms) == {f"gram_{v}" for v in views}
        assert sum(t.weight for t in terms.values()) == 2.0
        # MAE's encoder sees a part, so the anchored code is one of its own.
        assert method.codes["gram_a"].mask == (mask and method.codes[mask].mask)
        assert method.codes["gram_a_target"].encoder.owner == "snapshot"
        assert method.slots["snapshot"].settings == (50,)
    with pytest.raises(ConfigError, match="large views, of which the method encodes none"):
        gram(name="mixed_classification")
