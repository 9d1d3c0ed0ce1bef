"""Captions to tokens: a tokenizer that is trained on the spot, or one that is loaded.

Scripts that set no spaces between words (Chinese, Japanese, Thai, ...) are split at every letter
with its marks, so that captions with a word in common have tokens in common; see `words`. A file
keeps how it was made, so vocabularies from before a change of that keep their ids.

0 is padding and nothing else, so `tokens != 0` is the padding mask. Every caption ends with an end
token, also when it had to be cut; a caption without a word is all zeros, which the framework reads
as "this sample has no text". A file whose token 0 is anything but padding (in CLIP's it is "!", in
RoBERTa's the start token) has all of its ids raised by one.
"""

import collections
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tokenizers import Encoding, Tokenizer, models, pre_tokenizers, processors, trainers

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data import words
from m3i_jax.ranges import Range

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"
LONGEST, MOST = 4096, 2**22  # tokens of a caption, and of a vocabulary
Length = Annotated[int, Range(2, LONGEST, why="a word and the end token")]
Vocabulary = Annotated[int, Range(4, MOST, why="three tokens are special")]
SWELL = 1000  # letters that a file may make of one, before it splits them
SPECIAL = (PADDING, UNKNOWN, END)  # in this order: ids 0, 1, 2


class Captions:
    """A caption encoder. Safe from several threads at once: encoding changes nothing.

    length: tokens of every caption.   vocabulary: number of token ids, padding included.
    """

    def __init__(self, tokenizer: Tokenizer):
        """Wraps a tokenizer that pads and cuts to a fixed length and ends every text."""
        self._tokenizer = tokenizer
        # Not part of the file. Off, a caption that spells out "[END]" would end there.
        tokenizer.encode_special_tokens = True
        self._shift = 0 if _pads_with_zero(tokenizer) else 1
        self.length = tokenizer.padding["length"]
        self.vocabulary = max(tokenizer.get_vocab().values()) + 1 + self._shift

    @property
    def raised(self) -> bool:
        """Whether ids are those of the file and one, because token 0 of the file is no padding."""
        return bool(self._shift)

    def number(self, token: str) -> int | None:
        """The id of a token that the vocabulary has."""
        number = self._tokenizer.token_to_id(token)
        return None if number is None else number + self._shift

    def encode(self, caption: str) -> np.ndarray:
        """(length,) int32 tokens, the last but padding an end token; all 0 without a word."""
        tokens = np.zeros(self.length, np.int32)
        if (caption := words.visible(caption)).strip():
            encoding = _encoded(self._tokenizer, caption)
            if not all(encoding.special_tokens_mask):
                count = sum(encoding.attention_mask)
                tokens[:count] = encoding.ids[:count]
                tokens[:count] += self._shift
        return tokens

    def parts(self, caption: str) -> list[tuple[str, bool]]:
        """(its letters, whether the vocabulary has it) of every token; none is cut off or special.

        `encode` adds `specials` more, and cuts what is then longer than `length`.
        """
        text = words.visible(caption)
        encoding = self._uncut.encode(text, add_special_tokens=False)
        spans = zip(encoding.offsets, encoding.ids, strict=True)
        return [(text[start:stop], token != self._unknown) for (start, stop), token in spans]

    @property
    def specials(self) -> int:
        """Tokens that are added to every caption: its end, and what others put in front."""
        return self._tokenizer.num_special_tokens_to_add(False)

    @functools.cached_property
    def _uncut(self) -> Tokenizer:
        """The tokenizer without a length."""
        copy = Tokenizer.from_str(self._tokenizer.to_str())
        copy.no_truncation()
        copy.no_padding()
        copy.encode_special_tokens = True
        return copy

    @functools.cached_property
    def _unknown(self) -> int | None:
        """The token of what the vocabulary lacks, in the file's own numbers."""
        model = json.loads(self._tokenizer.to_str())["model"]
        token = model.get("unk_token")
        return model.get("unk_id") if token is None else self._tokenizer.token_to_id(token)

    def decode(self, tokens: np.ndarray) -> str:
        """The words of `tokens`, for reports."""
        return self._tokenizer.decode([int(token) - self._shift for token in tokens if token])

    def check(
        self,
        *,
        vocabulary: int,
        length: int,
        said_by: tuple[str, str] = ("config.towers.text.vocabulary", "config.towers.text.length"),
    ) -> None:
        """Raises ConfigError unless what has these sizes, by default a text tower, can read them.

        said_by: where a config says the two.
        """
        if self.vocabulary > vocabulary:
            raised = "; one is for padding, which the file has no token for" if self._shift else ""
            raise ConfigError(
                f"the tokenizer has {self.vocabulary} token ids{raised}, "
                f"but {said_by[0]} is {vocabulary}"
            )
        if self.length > length:
            raise ConfigError(
                f"captions have {self.length} tokens (config.captions.length), "
                f"but {said_by[1]} is {length}"
            )

    def numbers_as(self, other: "Captions") -> bool:
        """Whether every token has the same id here and there, whatever the length of captions."""
        mine, theirs = (c._tokenizer.get_vocab() for c in (self, other))
        return mine == theirs and self.raised == other.raised

    def save(self, path: str | os.PathLike) -> None:
        """Writes tokenizer.json, the format of the `tokenizers` library; all of it or nothing."""
        partial = Path(f"{os.fspath(path)}.partial")
        ordinary.written(partial, self._tokenizer.to_str(pretty=True).encode())
        os.replace(partial, path)

    def digest(self) -> str:
        """A digest of all that decides how captions are encoded."""
        described = self._tokenizer.to_str() + ("+1" if self._shift else "")
        return hashlib.sha256(described.encode()).hexdigest()[:16]


def train(
    captions: Iterable[str], *, vocabulary: Vocabulary = 8192, length: Length = 32
) -> Captions:
    """Builds a tokenizer from captions; the same captions give the same file, byte for byte.

    If all words fit into the vocabulary each is a token. If not, byte-pair encoding splits the
    rarer ones, so that no word is unknown.

    Args:
      captions: the texts; empty ones are ignored. Their words are compared as `words` says.
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
    normalizer, letters = words.normalizer(), words.letters()
    splitter = pre_tokenizers.Sequence([letters, pre_tokenizers.BertPreTokenizer()])
    counted = collections.Counter(
        word
        for caption in captions
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(words.visible(caption)))
    )
    if not counted:
        raise ConfigError("there are no captions to train a tokenizer on")
    if len(counted) + len(SPECIAL) <= vocabulary:
        tokenizer = _word_level(counted)
        tokenizer.pre_tokenizer = splitter
    else:
        tokenizer = _byte_pairs(counted, vocabulary, letters)
    tokenizer.normalizer = normalizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, SPECIAL.index(END))]
    )
    return Captions(_fixed_length(tokenizer, length))


def load(
    path: str | os.PathLike,
    *,
    length: Length | None = None,
    end: str | None = None,
    said_by: str = "config.captions.end",
) -> Captions:
    """Reads a tokenizer.json: one that `train` made, or any other (BPE, WordPiece, unigram).

    Args:
      path: the file.
      length: tokens per caption; the length stored in the file when None.
      end: the token that ends a text, for a file that does not say so itself (GPT-2's does not).
      said_by: where the user says `end`, for sentences.

    Raises:
      ConfigError: no such file, not a tokenizer, no end token, no length that holds a word, or
        sizes that no tokenizer has.
    """
    if not Path(path).is_file():
        raise ConfigError(f"there is no tokenizer at '{path}'; expected a tokenizer.json file")
    tokenizer = _read(path)
    stored = (tokenizer.padding or {}).get("length") or (tokenizer.truncation or {}).get(
        "max_length"
    )
    length = length or stored
    if not length:
        raise ConfigError(f"'{path}' does not say how long captions are; give a length")
    if length > LONGEST:
        raise ConfigError(
            f"'{path}' has captions of {length} tokens, expected at most {LONGEST}; give a length"
        )
    _end_with(tokenizer, end, path, said_by)
    added = tokenizer.num_special_tokens_to_add(False)
    if length <= added:  # the library then cuts nothing at all
        raise ConfigError(
            f"captions of length {length} hold no word: '{path}' adds {added} tokens to each"
        )
    found = Captions(_fixed_length(tokenizer, length))
    if found.vocabulary > MOST:
        raise ConfigError(f"'{path}' has {found.vocabulary} tokens, expected at most {MOST}")
    return found


def _read(path: str | os.PathLike) -> Tokenizer:
    """The tokenizer of a file, within bounds."""
    try:
        said = jsonfile.read(path)
        if (swells := _swells(said.get("normalizer"))) > SWELL:
            raise ValueError(f"its normalizer makes {swells:.3g} letters of one")
        return Tokenizer.from_str(json.dumps(said))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"'{path}' is not a tokenizer.json: {error}") from error


def _encoded(tokenizer: Tokenizer, text: str) -> Encoding:
    """The tokens of a text.

    Raises:
      ConfigError: a pattern of the file takes too long with it. The library panics then, which is
        no Exception.
    """
    try:
        return tokenizer.encode(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ConfigError(f"the tokenizer cannot read '{text[:80]}': {error}") from None


def _swells(part: Any) -> float:
    """How many letters a normalizer makes of one, at most, where it replaces texts."""
    if not isinstance(part, dict):
        return 1.0
    inner = part.get("normalizers")
    most = math.prod(map(_swells, inner)) if isinstance(inner, list) else 1.0
    content, pattern = part.get("content"), part.get("pattern")
    if isinstance(content, str) and isinstance(pattern, dict):
        most *= max(1.0, len(content) / max(len(str(pattern.get("String", ""))), 1))
    return most


def _end_with(tokenizer: Tokenizer, end: str | None, path: str | os.PathLike, said_by: str) -> None:
    """Makes every text end with the token `end`, where the file has not seen to an end token."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    specials = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    probe = _encoded(tokenizer, "a")
    has = probe.tokens[-1] if probe.ids and probe.special_tokens_mask[-1] else None
    if has is None and end is None:
        raise ConfigError(
            f"'{path}' does not end its texts; name the token that does in {said_by}"
            f"{nearest('', specials)}"
        )
    if end is None or end == has:
        return
    if has is not None:
        raise ConfigError(f"{said_by} is '{end}', but '{path}' ends texts with '{has}'")
    if tokenizer.token_to_id(end) is None:
        raise ConfigError(
            f"{said_by} is '{end}', which '{path}' does not have{nearest(end, specials)}"
        )
    marked = zip(probe.tokens, probe.special_tokens_mask, strict=True)
    starts = [token for token, special in marked if special]
    numbers = {token: tokenizer.token_to_id(token) for token in (*starts, end)}
    # A new template, because a sequence of two takes what the first adds for a second text.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*starts, "$A", end], special_tokens=list(numbers.items())
    )


def _pads_with_zero(tokenizer: Tokenizer) -> bool:
    """Whether token 0 is a padding token or no token at all; files agree only on its name."""
    zero = tokenizer.id_to_token(0)
    specials = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    return zero is None or (zero in specials and "pad" in zero.lower())


def _fixed_length(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """Cuts and pads to `length`; the library counts the end token in, so a cut never drops it."""
    tokenizer.enable_truncation(max_length=length)
    padding = tokenizer.id_to_token(0) if _pads_with_zero(tokenizer) else None
    tokenizer.enable_padding(length=length, pad_id=0, pad_token=padding or PADDING)
    return tokenizer


def _word_level(words: collections.Counter) -> Tokenizer:
    """One token for each word, the most frequent first, ties in alphabetical order."""
    ranked = sorted(words, key=lambda word: (-words[word], word))
    numbers = {word: number for number, word in enumerate((*SPECIAL, *ranked))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _byte_pairs(
    words: collections.Counter, vocabulary: int, letters: pre_tokenizers.PreTokenizer
) -> Tokenizer:
    """Byte-level BPE over the counted words; `letters` parts those of scripts without spaces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary < len(alphabet) + len(SPECIAL):
        raise ConfigError(
            f"{len(words)} different words do not fit into a vocabulary of {vocabulary}, and "
            f"splitting them needs at least {len(alphabet) + len(SPECIAL)}"
        )
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([letters, bytes_of])
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
