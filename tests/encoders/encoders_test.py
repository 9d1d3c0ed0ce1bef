"""`create`: every name works, every mistake is answered with a sentence."""

import jax
import pytest

from m3i_jax import encoders, normalize, trees
from m3i_jax.build import ConfigError


def test_every_name_can_be_created(key):
    required = {"table": dict(size=3, width=8)}
    for name in encoders.names():
        module = encoders.create(name, **required.get(name, {}))
        params = jax.eval_shape(module.init, key, module.example())
        assert trees.count(params) and module.features and module.kind in ("image", "text", "table")
    assert {"vit_ti16", "vit_s16", "vit_b16", "vit_l16", "vit_h14"} < set(encoders.names())


@pytest.mark.parametrize(
    "name, overrides, words",
    [
        ("vit_b61", {}, "did you mean 'vit_b16'"),
        ("vit_b16", {"drop_pth": 0.1}, "no key 'drop_pth'; did you mean 'drop_path'"),
        ("vit_b16", {"width": "768"}, "expected a whole number"),
        ("vit_b16", {"drop_path": float("nan")}, "not a finite number"),
        ("vit_b16", {"parent": 1}, "no key 'parent'"),
        ("vit_b16", {"image": 225}, "image 225x225 is not divisible by patch 16"),
        ("vit_b16", {"image": (224, 200)}, "image 224x200 is not divisible by patch 16"),
        ("vit_b16", {"heads": 7}, "width 768 is not divisible by 7 heads"),
        ("vit_b16", {"width": 770, "heads": 11}, "not divisible by 4, as sincos"),
        ("vit_b16", {"positions": "sincost"}, "did you mean 'sincos'"),
        ("vit_b16", {"hide": "mark"}, "did you mean 'mask'"),
        ("vit_b16", {"dtype": "bf16"}, "dtype is 'bf16'"),
        ("vit_b16", {"drop_path_schedule": "cosine"}, "drop_path_schedule is 'cosine'"),
        ("bert_base", {"heads": 5}, "width 768 is not divisible by 5 heads"),
        ("clip_text", {"feature": "lsat"}, "did you mean 'last'"),
        ("clip_text", {"activation": "quickgelu"}, "did you mean 'quick_gelu'"),
        ("clip_text", {"vocabulary": 1}, "vocabulary is 1"),
        ("table", {"size": 10}, "lacks 'width'"),
    ],
)
def test_mistakes(name, overrides, words):
    with pytest.raises(ConfigError, match=words):
        encoders.create(name, **overrides)


def test_accepts():
    assert encoders.accepts("vit_b16", "image") and not encoders.accepts("bert_base", "image")


@pytest.mark.parametrize(
    "name, fields",
    [
        ("swin_v2_t", dict(image=32, width=8, depths=(1, 1), heads=(1, 2), window=4, hide="")),
        ("resnet_nano", dict(image=16, depths=(1, 1), width=4)),
        ("replknet_nano", {}),
        ("internimage_t", dict(image=32, width=8, groups=2, depths=(1, 1, 1, 1))),
    ],
)
def test_images_are_normalised_as_the_weights_expect(key, name, fields):
    """The same program as normalising the images first; of the ViT, vit_test has the numbers."""
    own = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    plain = encoders.create(name, **fields)
    asked = encoders.create(name, **fields, normalization=own)
    images = plain.example()
    params = jax.eval_shape(plain.init, key, images)["params"]
    program = lambda module, see: str(  # noqa: E731
        jax.make_jaxpr(lambda p, x: module.apply({"params": p}, see(x)).tokens)(params, images)
    )
    want = program(plain, lambda x: normalize.renormalize(x, own))
    assert program(asked, lambda x: x) == want != program(plain, lambda x: x)
