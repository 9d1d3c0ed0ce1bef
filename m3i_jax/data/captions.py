"""Captions to tokens: a tokenizer that is trained on the spot, or one that is loaded.

Token 0 is padding and every caption ends with an end token, also when it had to be cut; an empty
caption is all zeros, which the framework reads as "this sample has no text".
"""

import collections
import hashlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from m3i_jax.build import ConfigError

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"
SPECIAL = (PADDING, UNKNOWN, END)  # in this order: ids 0, 1, 2


class Captions:
    """A caption encoder. Safe from several threads at once: encoding changes nothing."""

    def __init__(self, tokenizer: Tokenizer):
        """Wraps a tokenizer that pads with 0 to a fixed length and truncates to it."""
        self._tokenizer = tokenizer
        self.length = tokenizer.padding["length"]
        self.vocabulary = tokenizer.get_vocab_size()

    def encode(self, caption: str) -> np.ndarray:
        """(length,) int32 tokens, the end token always among them; all 0 for an empty caption."""
        if not caption.strip():
            return np.zeros(self.length, np.int32)
        return np.array(self._tokenizer.encode(caption).ids, np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """The words of `tokens`, for reports."""
        return self._tokenizer.decode([int(token) for token in tokens if token])

    def save(self, path: str | os.PathLike) -> None:
        """Writes tokenizer.json, the format of the `tokenizers` library."""
        Path(path).write_text(self._tokenizer.to_str(pretty=True), encoding="utf-8")

    def digest(self) -> str:
        """A digest of all that decides how captions are encoded."""
        return hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()[:16]


def train(captions: Iterable[str], *, vocabulary: int = 8192, length: int = 32) -> Captions:
    """Builds a tokenizer from captions; the same captions give the same file, byte for byte.

    If all words fit into the vocabulary each is a token. If not, byte-pair encoding splits the
    rarer ones, so that no word is unknown.

    Args:
      captions: the texts; empty ones are ignored. Letter case is ignored throughout.
      vocabulary: largest number of tokens, with the three special ones.
      length: tokens per caption, with the end token.

    Raises:
      ConfigError: no caption has a word, or the sizes are too small to hold anything.
    """
    if length < 2 or vocabulary <= len(SPECIAL):
        raise ConfigError(
            f"captions need a length of 2 and a vocabulary of {len(SPECIAL) + 1} or more; "
            f"given were length {length} and vocabulary {vocabulary}"
        )
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.BertPreTokenizer()
    words = collections.Counter(
        word
        for caption in captions
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))
    )
    if not words:
        raise ConfigError("there are no captions to train a tokenizer on")
    if len(words) + len(SPECIAL) <= vocabulary:
        tokenizer = _word_level(words)
        tokenizer.pre_tokenizer = splitter
    else:
        tokenizer = _byte_pairs(words, vocabulary)
    tokenizer.normalizer = normalizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, SPECIAL.index(END))]
    )
    return Captions(_fixed_length(tokenizer, length))


def load(path: str | os.PathLike, *, length: int | None = None) -> Captions:
    """Reads a tokenizer.json: one that `train` made, or any other that pads with token 0.

    Args:
      path: the file.
      length: tokens per caption; the length stored in the file when None.

    Raises:
      ConfigError: no such file, not a tokenizer, or one that has a word where padding must be.
    """
    if not Path(path).is_file():
        raise ConfigError(f"there is no tokenizer at '{path}'; expected a tokenizer.json file")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"'{path}' is not a tokenizer.json: {error}") from error
    stored = (tokenizer.padding or {}).get("length") or (tokenizer.truncation or {}).get(
        "max_length"
    )
    length = length or stored
    if not length:
        raise ConfigError(f"'{path}' does not say how long captions are; give a length")
    zero = tokenizer.id_to_token(0)
    specials = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    if zero is not None and zero not in specials:
        raise ConfigError(
            f"token 0 of '{path}' is {zero!r}, but 0 means padding here; use a tokenizer whose "
            "first token is its padding token"
        )
    return Captions(_fixed_length(tokenizer, length))


def _fixed_length(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """Cuts and pads to `length`; the library counts the end token in, so a cut never drops it."""
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token=tokenizer.id_to_token(0) or PADDING)
    return tokenizer


def _word_level(words: collections.Counter) -> Tokenizer:
    """One token for each word, the most frequent first, ties in alphabetical order."""
    ranked = sorted(words, key=lambda word: (-words[word], word))
    numbers = {word: number for number, word in enumerate((*SPECIAL, *ranked))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _byte_pairs(words: collections.Counter, vocabulary: int) -> Tokenizer:
    """Byte-level BPE over the counted words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary < len(alphabet) + len(SPECIAL):
        raise ConfigError(
            f"{len(words)} different words do not fit into a vocabulary of {vocabulary}, and "
            f"splitting them needs at least {len(alphabet) + len(SPECIAL)}"
        )
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    ranked = sorted(words)
    counted = itertools.chain.from_iterable(itertools.repeat(w, words[w]) for w in ranked)
    tokenizer.train_from_iterator(counted, trainer)
    return tokenizer
