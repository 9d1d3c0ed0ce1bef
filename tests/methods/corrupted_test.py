"""CIM as published, and beside other rows."""

import pytest

from m3i_jax import methods
from m3i_jax.build import ConfigError


def test_cim_as_published():
    method = methods.cim()
    assert method.sources == {"a"}
    assert {name: (t.x, t.y, t.weight) for name, t in method.terms.items()} == {
        "words": ("guess", "golden", 1.0),
        "respix": ("x", "y", 10.0),
    }
    assert method.terms["words"].positions == "hidden"
    assert method.terms["respix"].predict.name == "Laplace · Gaussian"
    assert method.codes["guess"].mask.count((14, 14)) == 96  # 100 of 196 are hidden
    assert method.codes["y"].encoder.name == "pixels/window"
    # Golden words and guesses come before the image that is made of them.
    assert method.order.index("golden") < method.order.index("x") > method.order.index("guess")


def test_revdet_asks_every_cell_whether_it_was_replaced():
    method = methods.cim(task="revdet", tokenizer="dalle")
    assert method.terms["revdet"].weight == 1.0 and method.terms["revdet"].positions == "all"
    assert method.codes["y"].view == "corrupted" and method.codes["y"].encoder.stops
    assert methods.cim(task="revdet", weight=3.0).terms["revdet"].weight == 3.0


def test_the_painter_lives_with_the_tokenizer():
    for tokenizer in ("vq", "dalle"):
        method = methods.cim(tokenizer=tokenizer)
        assert "painter" in method.heads()
        params = {
            "encoders": {"image": {"w": 1}, "generator": {"w": 2}, "tokenizer": {"w": 3}},
            "decoders": {"painter": {"w": 4}, "words": {"w": 5}},
        }
        owned = method.owned(params, "frozen/tokenizer")
        assert owned["encoders"] == {"tokenizer": {"w": 3}}
        assert owned["decoders"] == {"painter": {"w": 4}}
        assert set(method.trained(params)["encoders"]) == {"image", "generator"}


def test_beside_categories_by_config_alone():
    rows = {"cim": dict(name="cim", task="revdet"), "category": dict(name="classification")}
    method = methods.create(dict(name="combine", rows=rows))
    view = method.views["cim/corrupted"]
    assert view.codes == {"golden": "cim/golden", "guess": "cim/guess"}
    assert method.codes["cim/x"].view == "cim/corrupted"
    assert {t.group for t in method.terms.values()} == {"cim", "category"}


def test_wrong_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'respix'"):
        methods.create(dict(name="cim", task="respixx"))
    with pytest.raises(ConfigError, match="has no target to choose"):
        methods.create(dict(name="cim", task="revdet", target=dict(name="pixels")))
    with pytest.raises(ConfigError, match="did you mean 'dalle'"):
        methods.create(dict(name="cim", tokenizer="dale"))
    with pytest.raises(ConfigError, match="did you mean 'softmax'"):
        methods.create(dict(name="cim", sampling="softmx"))
