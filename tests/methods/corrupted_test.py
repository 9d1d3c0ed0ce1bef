"""CIM as published, and beside other methods."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import methods, networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Box, View

VIT = dict(name="vit_nano", width=16, depth=2, heads=2, patch=4)
GENERATOR = dict(VIT, depth=3, hide="mask", positions="learned")


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
    # Target tokens and predictions come before the image that is made of them.
    assert method.order.index("golden") < method.order.index("x") > method.order.index("guess")


def test_revdet_asks_every_cell_whether_it_was_replaced():
    method = methods.cim(task="revdet", tokenizer="dalle")
    assert method.terms["revdet"].weight == 1.0 and method.terms["revdet"].positions == "all"
    assert method.codes["y"].view == "corrupted" and method.codes["y"].encoder.stop_gradient
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
    blocks = {"cim": dict(name="cim", task="revdet"), "category": dict(name="classification")}
    method = methods.create(dict(name="combine", methods=blocks))
    view = method.views["cim/corrupted"]
    assert view.codes == {"target": "cim/golden", "prediction": "cim/guess"}
    assert method.codes["cim/x"].view == "cim/corrupted"
    assert {t.group for t in method.terms.values()} == {"cim", "category"}


def test_erasing_has_no_generator():
    method = methods.cim(corruption="erasing", hidden=0.4)
    assert set(method.terms) == {"respix"} and set(method.codes) == {"x", "y"}
    assert method.codes["x"].view == "erased" and method.sources == {"a"}
    with pytest.raises(ConfigError, match="not by 'revdet'"):
        methods.create(dict(name="cim", task="revdet", corruption="erasing"))
    with pytest.raises(ConfigError, match="did you mean 'erasing'"):
        methods.create(dict(name="cim", corruption="erase"))


def test_wrong_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'respix'"):
        methods.create(dict(name="cim", task="respixx"))
    with pytest.raises(ConfigError, match="has no target to choose"):
        methods.create(dict(name="cim", task="revdet", target=dict(name="pixels")))
    with pytest.raises(ConfigError, match="did you mean 'dalle'"):
        methods.create(dict(name="cim", tokenizer="dale"))
    with pytest.raises(ConfigError, match="did you mean 'softmax'"):
        methods.create(dict(name="cim", sampling="softmx"))


@functools.cache
def moved(task, shares=None):
    """{term of CIM: paths of the parameters on which it alone depends}, by its gradient.

    shares: blocks that the generator has in common with the encoder.
    """
    generator = GENERATOR if shares is None else dict(GENERATOR, shares=shares)
    method = methods.cim(task=task, vocabulary=8)
    bottleneck = dict(name="mlp", hidden=16, out=4, layers=2, norm="none", pool="none")
    painter = dict(name="infill", width=16, depth=1, heads=2, input="bottleneck", out=48)
    heads = {"words": dict(name="linear", input="generator"), task: dict(name="linear")}
    heads[{"respix": "pixels", "revdet": "replaced"}[task]] = heads.pop(task)
    network = networks.build(
        VIT,
        dict(generator=generator, tokenizer=VIT),
        dict(heads, bottleneck=dict(bottleneck, input="tokenizer"), painter=painter),
        image=16,
        dtype="float32",
        out=lambda name, nodes: method.decoders(nodes).get(name, 8),
    )
    key = jax.random.key(0)
    pixels = jax.random.normal(key, (4, 16, 16, 3))
    views = {"a": View(pixels, Box(*(jnp.ones(4),) * 6))}

    @jax.jit
    def grads(key):
        params, states = fw.init(method, network, key)
        # Linear heads start at small weights; zeros would hide what flows through them.
        params = jax.tree.map(lambda x: x + 0.01, params)
        prepared = fw.prepare(method, network, views, key=key)
        weighting = fw.constant()
        how = dict(balance=weighting.init(), key=key)

        def alone(term):
            one = fw.Method(method.codes, {term: method.terms[term]}, method.views)
            return fw.gradients(one, network, weighting, params, states, prepared, **how).params

        # That of the generator is the same under both tasks.
        return {term: alone(term) for term in method.terms if term == task or task == "respix"}

    return {term: reached(found) for term, found in jax.device_get(grads(key)).items()}


def reached(grads):
    """Towers, heads and blocks with a gradient."""
    parts = {}
    for path, grad in trees.named_leaves(grads):
        tower = "/".join(path.split("/")[:2])
        layers = grad if "/blocks/" in path else grad[None]
        for i, layer in enumerate(layers):
            where = f"{tower}/blocks/{i}" if "/blocks/" in path else tower
            where = f"{tower}/patch_embed" if "/patch_embed/" in path else where
            parts[where] = parts.get(where, 0.0) + float(np.abs(layer).sum())
    return {where for where, size in parts.items() if size > 0}


OURS = {"encoders/generator", "decoders/words"}


@pytest.mark.parametrize("task, head", [("respix", "pixels"), ("revdet", "replaced")])
def test_no_gradient_leads_from_the_enhancer_to_the_generator(task, head):
    alone = moved(task)[task]
    blocks = {f"encoders/image/blocks/{i}" for i in (0, 1)}
    image = {"encoders/image", "encoders/image/patch_embed"} | blocks
    assert alone == image | {f"decoders/{head}"}
    # What is in common is the encoder's, and all that is left of the generator stays untouched.
    assert moved(task, shares=1)[task] == alone


def test_the_generator_trains_itself_and_what_it_shares():
    embedding = "encoders/generator/patch_embed"
    blocks = {f"encoders/generator/blocks/{i}" for i in (0, 1, 2)}
    assert moved("respix")["words"] == OURS | blocks | {embedding}
    common = {"encoders/image/patch_embed", "encoders/image/blocks/0"}
    behind = {f"encoders/generator/blocks/{i}" for i in (0, 1)}
    assert moved("respix", shares=1)["words"] == OURS | behind | common
