"""Captions: fixed length, the end token kept, and the same file from the same captions."""

import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data import captions

TEXTS = [
    "a small red seven on a photograph of a cup, lower left",
    "a large green two on a photograph of a cat, upper right",
    "A Large white two",
] * 3


@pytest.fixture
def words():
    return captions.train(TEXTS, vocabulary=64, length=8)


def test_word_level_when_all_words_fit(words):
    tokens = words.encode("a red seven")
    assert tokens.shape == (8,) and tokens.dtype == np.int32
    assert words.decode(tokens) == "a red seven"
    assert (tokens[:3] > 2).all() and tokens[3] == 2 and (tokens[4:] == 0).all()
    assert np.array_equal(tokens, words.encode("A RED  seven "))
    assert words.encode("a zebra")[1] == 1  # unknown
    distinct = set(" ".join(TEXTS).lower().replace(",", " ,").split())
    assert words.vocabulary == len(distinct) + 3


@pytest.mark.parametrize("vocabulary", [64, 300])
@pytest.mark.parametrize("count", range(0, 14))
def test_the_end_token_survives_every_cut(vocabulary, count):
    texts = TEXTS if vocabulary == 64 else TEXTS + [f"word{i} thing{i * i}" for i in range(400)]
    tokenizer = captions.train(texts, vocabulary=vocabulary, length=8)
    tokens = tokenizer.encode(" ".join(["small"] * count))
    used = tokens[tokens > 0]
    assert (used == 2).sum() == (count > 0) and tokenizer.vocabulary <= vocabulary
    if count:
        assert used[-1] == 2 and (tokens[len(used) :] == 0).all()
        assert len(used) == 8 if count >= 7 else len(used) >= count + 1


def test_empty_captions_are_all_padding(words):
    for empty in ("", "  ", "\n"):
        assert not words.encode(empty).any()


@pytest.mark.parametrize("vocabulary", [64, 300])
def test_same_captions_same_file(vocabulary, tmp_path):
    texts = TEXTS if vocabulary == 64 else TEXTS + [f"word{i} thing{i * i}" for i in range(400)]
    files = []
    for n, order in enumerate((texts, texts[::-1], texts)):  # the order does not matter either
        tokenizer = captions.train(order, vocabulary=vocabulary, length=12)
        tokenizer.save(tmp_path / f"{n}.json")
        files.append((tmp_path / f"{n}.json").read_bytes())
    assert files[0] == files[1] == files[2]
    loaded = captions.load(tmp_path / "0.json")
    assert loaded.length == 12 and loaded.digest() == tokenizer.digest()
    assert all(np.array_equal(loaded.encode(t), tokenizer.encode(t)) for t in texts[:20])
    assert captions.load(tmp_path / "0.json", length=5).encode(TEXTS[0]).shape == (5,)


def test_byte_pairs_know_every_word():
    texts = [f"word{i} thing{i * i}" for i in range(400)]
    tokenizer = captions.train(texts, vocabulary=300, length=40)
    tokens = tokenizer.encode("zürich wörd7 日本")
    assert 1 not in tokens and tokens[tokens > 0][-1] == 2


def test_digest_sees_the_length(words):
    assert words.digest() != captions.train(TEXTS, vocabulary=64, length=9).digest()


def test_refusals_are_sentences(tmp_path):
    with pytest.raises(ConfigError, match="no captions"):
        captions.train(["", " "], vocabulary=64, length=8)
    with pytest.raises(ConfigError, match="length 1"):
        captions.train(TEXTS, vocabulary=64, length=1)
    with pytest.raises(ConfigError, match="259"):
        captions.train([f"w{i}" for i in range(99)], vocabulary=50, length=8)
    with pytest.raises(ConfigError, match="no tokenizer at"):
        captions.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not a tokenizer.json"):
        captions.load(tmp_path / "bad.json")
    captions.train(TEXTS, vocabulary=64, length=8).save(tmp_path / "odd.json")
    odd = json.loads((tmp_path / "odd.json").read_text())
    odd["added_tokens"] = []
    odd["model"]["vocab"]["!"] = odd["model"]["vocab"].pop("[PAD]")
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    with pytest.raises(ConfigError, match="token 0 of .* is '!'"):
        captions.load(tmp_path / "odd.json")
