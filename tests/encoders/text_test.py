"""Text transformers: published counts, padding, causality and pooling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, trees


def count(key, name, **overrides):
    module = encoders.create(name, **overrides)
    return trees.count(jax.eval_shape(module.init, key, module.example()))


def test_parameter_counts(key):
    # By formula: BERT-Base as published, its BPE variant, CLIP's text tower.
    wordpiece = dict(vocabulary=30522, length=512, types=True, pooler=True)
    assert count(key, "bert_base", **wordpiece) == 109_482_240
    assert count(key, "bert_base") == 123_060_480
    assert count(key, "clip_text") == 63_428_096
    # Of SigLIP's: tables, twelve blocks, the last norm, a square projection with a bias.
    tables, block = (32000 + 64) * 768, 12 * 768**2 + 13 * 768
    assert count(key, "siglip_text") == tables + 12 * block + 2 * 768 + 768**2 + 768


def ready(key, **overrides):
    module = encoders.create("text_nano", **(dict(width=16, heads=2, vocabulary=50) | overrides))
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    draw = np.random.default_rng(0).normal
    params = jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)
    return jax.jit(lambda tokens: module.apply({"params": params}, tokens).pooled)


CLIP = dict(causal=True, post_norm=False, feature="last", activation="quick_gelu", projection=8)
TEXTS = jnp.array([[3, 7, 9, 0, 0], [5, 0, 0, 0, 0], [1, 2, 3, 4, 5]], jnp.int32)


@pytest.mark.parametrize("style", [{}, CLIP])
def test_padding_has_no_influence(key, style):
    embed = ready(key, **style)
    long = embed(jnp.pad(TEXTS, ((0, 0), (0, 4))))
    np.testing.assert_allclose(embed(TEXTS), long, rtol=1e-5, atol=1e-5)
    assert long.shape == (3, style.get("projection", 16)) and long.dtype == jnp.float32


def test_bidirectional_first_token_reads_the_last_word(key):
    embed = ready(key)
    changed = embed(TEXTS.at[0, 2].set(10)) - embed(TEXTS)
    assert np.abs(changed[0]).max() > 1e-3 and not changed[1:].any()


def test_causal_reads_the_last_real_token(key):
    # The first token alone: a longer text of which it is the only token before padding.
    embed = ready(key, **CLIP)
    first = embed(jnp.array([[3, 0, 0]], jnp.int32))
    np.testing.assert_allclose(embed(jnp.array([[3]], jnp.int32)), first, rtol=1e-5, atol=1e-5)
    # The end sees the beginning, ...
    assert np.abs(embed(TEXTS.at[0, 0].set(4))[0] - embed(TEXTS)[0]).max() > 1e-3
    # ... and the beginning, as a first-token feature, does not see the end.
    first_token = ready(key, **CLIP | {"feature": "first"})
    np.testing.assert_allclose(
        first_token(TEXTS.at[0, 2].set(10)), first_token(TEXTS), rtol=1e-5, atol=1e-6
    )


def test_siglips_padding_is_read_and_its_last_position_stands_for_the_text(key):
    style = dict(post_norm=False, see_padding=True, feature="final", activation="gelu_tanh")
    embed = ready(key, **style)
    # Two more tokens of padding are two more tokens, ...
    assert np.abs(embed(TEXTS) - embed(jnp.pad(TEXTS, ((0, 0), (0, 2)))))[:2].max() > 1e-3
    # ... a text without any is what the last token that is none says, ...
    last = ready(key, **style | {"feature": "last"})
    np.testing.assert_array_equal(embed(TEXTS)[2], last(TEXTS)[2])
    assert np.abs(embed(TEXTS) - last(TEXTS))[:2].max() > 1e-3
    # ... and every position reads those behind it.
    first = ready(key, **style | {"feature": "first"})
    assert np.abs(first(TEXTS.at[0, 2].set(10)) - first(TEXTS))[0].max() > 1e-3


def test_empty_text_is_finite_and_unit_norm(key):
    pooled = ready(key, unit_norm=True)(jnp.zeros((2, 5), jnp.int32))
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=-1), 1, rtol=1e-6)


def test_parameter_names(key):
    module = encoders.create("text_nano", types=True, pooler=True, projection=8)
    params = jax.eval_shape(module.init, key, module.example())["params"]
    assert set(params) == {
        "token_embed", "pos_embed", "type_embed", "norm", "blocks", "pooler", "projection"
    }  # fmt: skip


def test_too_long_a_text_is_refused(key):
    module = encoders.create("text_nano", length=4)
    with pytest.raises(ValueError, match="texts have 5 tokens, the encoder was made for 4"):
        jax.eval_shape(module.init, key, TEXTS)
