"""Every layout: there and back bit for bit, known by its keys alone, and never mistaken."""

import re

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import layouts
from m3i_jax.interop.rename import sort, to_ours, to_theirs

STEMS = ("patch_embed/kernel", "patch_embed/proj/kernel")
NAMES = [layout.name for layout in layouts.LAYOUTS]
OF_DECODERS = ("dalle_decoder", "ijepa_predictor")
OF_ENCODERS = [name for name in NAMES if name not in OF_DECODERS]


def flat(params, wanted):
    """Kernels of patch embeddings are flattened by `adapt.fit` only, as it may resize them."""
    stem = lambda path: path.endswith(STEMS)  # noqa: E731
    return {p: x.reshape(wanted[p].shape) if stem(p) else x for p, x in params.items()}


def written(layout, params):
    state, unknown = to_theirs(params, layout)
    assert not unknown, unknown
    return state


@pytest.mark.parametrize("name", OF_ENCODERS)
def test_there_and_back_is_bitwise(name, example, same):
    layout, (_, params) = layouts.lookup(name), example(name)
    state = written(layout, params)
    kept = {path: x for path, x in params.items() if not re.search(layout.omitted, path)}
    for prefix in layout.prefixes:
        prefixed = {prefix + key.removeprefix(layout.prefixes[0]): x for key, x in state.items()}
        places = sort(prefixed, layout)
        assert not places.unknown and not places.dropped
        same(flat(layout.ours(to_ours(prefixed, places)), kept), kept)
    assert all(x.flags.c_contiguous and x.dtype == np.float32 for x in state.values())


@pytest.mark.parametrize("name", OF_ENCODERS)
def test_whoever_knows_all_keys_reads_the_same_encoder(name, example, same):
    """So that it does not matter which of several layouts is recognised."""
    layout, (_, params) = layouts.lookup(name), example(name)
    state = written(layout, params)
    found, places = layouts.recognise(state, what="it")
    same(to_ours(state, places), to_ours(state, sort(state, layout)))
    assert not places.dropped, f"{found.name} drops what {name} reads"


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_what_is_unknown_is_listed():
    state = dict.fromkeys(["cls_token", "norm.weight", "norm.bias", "zebra", "norm.zoo"])
    with pytest.raises(
        ConfigError, match="no layout knows all 5 keys of it;.*'timm' does not"
    ) as e:
        layouts.recognise(state, what="it")
    assert "norm.zoo, zebra" in str(e.value)
    with pytest.raises(ConfigError, match="without a place in layout 'timm': norm.zoo, zebra$"):
        layouts.recognise(state, layout="timm", what="it")
    with pytest.raises(ConfigError, match="such as zebra; there are m3i_jax, timm"):
        layouts.recognise(["zebra"], what="it")
    with pytest.raises(ConfigError, match="unknown layout 'tim'; did you mean 'timm'"):
        layouts.recognise(state, layout="tim", what="it")


def test_heads_alone_are_no_encoder():
    with pytest.raises(ConfigError, match="no layout knows"):
        layouts.recognise(["head.weight", "head.bias"], what="it")


def test_the_module_that_is_known_is_found_among_others(drawn):
    state, _ = to_theirs(drawn(positions="learned")[1], layouts.lookup("timm"))
    inner = [f"model.vit.{key}" for key in state]
    others = ["decoder.conv.weight", "model.scale"]
    assert layouts.module_of([*state]) == ""
    assert layouts.module_of([*others, *inner]) == "model.vit."
    assert layouts.module_of([*others, *inner, "model.vit.strange"]) == "model.vit."
    assert layouts.module_of([*others, *inner], layout="timm") == "model.vit."
    assert layouts.module_of(others) == layouts.module_of([]) == ""
