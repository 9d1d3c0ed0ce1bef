"""Names of ViTs with rotary positions; that the numbers are the others' is in tests/parity."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import exporting, importing, rotary
from m3i_jax.interop.rename import nested, to_theirs

FRONT = "encoders/image/"


def written(params, layout):
    state, unknown = to_theirs(params, layout)
    assert not unknown, unknown
    return state


def test_a_masked_bias_has_no_part_of_the_keys(example, same):
    _, params = example("dinov3")
    state = written(params, rotary.DINOV3)
    bias, mask = (state[f"blocks.1.attn.qkv.{name}"] for name in ("bias", "bias_mask"))
    np.testing.assert_array_equal(mask, np.repeat([1, 0, 1], 16))
    np.testing.assert_array_equal(bias[:16], params[FRONT + "blocks/attn/q_bias"][1])
    assert state["mask_token"].shape == (1, 16) and state["storage_tokens"].shape == (1, 2, 16)
    # What the mask hides may be anything; without the mask a bias has no place.
    state["blocks.0.attn.qkv.bias"][16:32] = 7
    stem = FRONT + "patch_embed/kernel"
    found = importing.renamed(state, what="it").params
    same(found | {stem: found[stem].reshape(48, 16)}, params)
    del state["blocks.0.attn.qkv.bias_mask"]
    with pytest.raises(ConfigError, match=r"layout 'dinov3': blocks\.0\.attn\.qkv\.bias"):
        importing.renamed(state, layout="dinov3", what="it")


def test_gated_layers_of_beits_names_are_an_eva02s(example):
    module, params = example("eva02_timm")
    inner = ("q_norm", "k_norm", "attn/norm", "mlp/norm")
    plain = {path: x for path, x in params.items() if not any(name in path for name in inner)}
    state = written(plain, rotary.EVA02_TIMM)
    gates = [state.pop(f"blocks.{i}.mlp.fc1_{k}.{n}") for i in range(2) for n in ("weight", "bias")
             for k in "gx"]  # fmt: skip
    for i in range(2):
        for j, name in enumerate(("weight", "bias")):
            state[f"blocks.{i}.mlp.fc1.{name}"] = np.concatenate(gates[4 * i + 2 * j :][:2])
    found = importing.renamed(state, what="it")
    assert found.layout is rotary.EVA02_TIMM and found.params.keys() == plain.keys()
    path = FRONT + "blocks/mlp/w12/kernel"
    np.testing.assert_array_equal(found.params[path], plain[path])


def test_waves_say_heads_and_are_written(example):
    for name, key in (("dinov3", "rope_embed.periods"),
                      ("capi", "encoder.blocks.1.residual1.fn.rope.freqs")):  # fmt: skip
        module, params = example(name)
        module = module.clone(rope_base=rotary.BASES[name])
        layout = {"dinov3": rotary.DINOV3, "capi": rotary.CAPI}[name]
        own = nested({path.removeprefix(FRONT): x for path, x in params.items()})
        state, _ = exporting.export(own, module, to=name)
        state |= rotary.beside(layout, module)
        found = importing.renamed(state, what="it")
        assert found.layout is layout and found.stated.fields() == {"heads": 2}
        state[key] = 1.1 * state[key]
        with pytest.raises(ConfigError, match=f"positions are not those of '{name}' with rope_b"):
            importing.renamed(state, what="it")


def test_an_encoder_that_turns_otherwise_is_no_candidate(example):
    """No parameter shows how queries are turned, so the layout does."""
    for name in ("dinov3_timm", "eva02_timm", "aimv2_timm"):
        module, params = example(name)
        own = nested({path.removeprefix(FRONT): x for path, x in params.items()})
        assert exporting.export(own, module, to="timm")[1].name == name
