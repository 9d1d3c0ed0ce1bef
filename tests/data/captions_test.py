"""Captions: fixed length, the end token kept, and the same file from the same captions."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

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


def test_sizes_that_no_tokenizer_has_are_refused(tmp_path, words):
    path = tmp_path / "tokenizer.json"
    words.save(path)
    said = json.loads(path.read_text())
    doubled = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    many = {"type": "Sequence", "normalizers": [doubled] * 40}
    far = said["model"] | {"vocab": said["model"]["vocab"] | {"far": 2**32 - 1}}
    for other, sentence in (
        ({"padding": said["padding"] | {"strategy": {"Fixed": 10**9}}}, "captions of 1000000000"),
        ({"normalizer": many}, "its normalizer makes 1.1e\\+12 letters of one"),
        ({"normalizer": {"type": "Sequence", "normalizers": [many]}}, "1.1e\\+12 letters"),
        ({"model": far}, "has 4294967296 tokens, expected at most 4194304"),
    ):
        path.write_text(json.dumps(said | other))
        with pytest.raises(ConfigError, match=sentence):
            captions.load(path)
    path.write_text('{"a": ' * 100_000)
    with pytest.raises(ConfigError, match="nested more than 64 deep"):
        captions.load(path)
    path.write_text(json.dumps(said | {"normalizer": doubled}))
    assert captions.load(path).encode("a").shape == (8,)


WORDS = ["a", "red", "seven", "!"]
SPECIALS = {  # id by id, what the first tokens of each kind of file are
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>"],
    "llama": ["<unk>", "<s>", "</s>"],
    "gpt2": [],
}


def user_file(kind, path):
    """A tokenizer.json laid out as that of a published model, with stored settings in the way."""
    if kind in ("clip", "gpt2"):  # words first, the special tokens behind them
        order = ["!", "a", "red", "seven", "<start>", "<end>", "<unk>"]
    else:
        order = SPECIALS[kind] + WORDS
    numbers = {token: i for i, token in enumerate(order)}
    if kind == "bert":
        tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    else:
        tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([t for t in order if t not in WORDS])
    pair = lambda end, start: ((end, numbers[end]), (start, numbers[start]))  # noqa: E731
    tokenizer.post_processor = {
        "bert": lambda: processors.BertProcessing(*pair("[SEP]", "[CLS]")),
        "roberta": lambda: processors.RobertaProcessing(*pair("</s>", "<s>")),
        "clip": lambda: processors.RobertaProcessing(*pair("<end>", "<start>")),
        "gpt2": lambda: processors.ByteLevel(trim_offsets=True),
        "llama": lambda: processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", numbers["<s>"])]
        ),
    }[kind]()
    tokenizer.enable_padding(direction="left", pad_id=1, pad_token="<pad>", length=20)
    tokenizer.enable_truncation(3, direction="left", stride=1)
    tokenizer.save(str(path))
    return numbers


# kind -> start token or None, end token, how far its ids are raised, what the user has to say
KINDS = {
    "bert": ("[CLS]", "[SEP]", 0, {}),
    "roberta": ("<s>", "</s>", 1, {}),
    "clip": ("<start>", "<end>", 1, {}),
    "gpt2": (None, "<end>", 1, dict(end="<end>")),
    "llama": ("<s>", "</s>", 1, dict(end="</s>")),
}


@pytest.mark.parametrize("count", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_a_users_file_pads_with_zero_alone_and_ends_every_text(kind, count, tmp_path):
    start, end, raised, how = KINDS[kind]
    numbers = user_file(kind, tmp_path / "user.json")
    tokenizer = captions.load(tmp_path / "user.json", length=7, **how)
    words = (WORDS[::-1] * 3)[:count]  # "!", which is 0 in the files of CLIP and GPT-2, comes first
    expected = ([start] if start else []) + words + [end]
    if len(expected) > 7:
        expected = expected[:6] + [end]
    expected = [numbers[token] + raised for token in expected] if count else []
    tokens = tokenizer.encode(" ".join(words))
    assert tokens.tolist() == expected + [0] * (7 - len(expected)) and 0 not in expected
    assert tokenizer.vocabulary == len(numbers) + raised
    assert tokenizer.decode(tokens).split() == words[: max(0, 7 - 1 - bool(start))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_copy_of_a_users_file_is_the_same_tokenizer(kind, tmp_path):
    user_file(kind, tmp_path / "user.json")
    first = captions.load(tmp_path / "user.json", length=7, **KINDS[kind][-1])
    first.save(tmp_path / "kept.json")
    kept = captions.load(tmp_path / "kept.json")
    assert kept.digest() == first.digest() and kept.length == 7
    assert np.array_equal(kept.encode("a red ! seven"), first.encode("a red ! seven"))
    assert not list(tmp_path.glob("*.partial"))


def test_special_tokens_in_a_caption_are_words(words):
    tokens = words.encode("a [END] red [PAD] seven")
    used = tokens[tokens > 0]
    assert (used == 2).sum() == 1 and used[-1] == 2 and len(used) == len(tokens) == 8


def test_a_caption_whose_words_are_all_dropped_is_no_text(tmp_path):
    tokenizer = Tokenizer(models.BPE({"a": 0, "<end>": 1}, []))  # without a token for the unknown
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.save(str(tmp_path / "user.json"))
    loaded = captions.load(tmp_path / "user.json", length=4, end="<end>")
    assert loaded.encode("a").tolist() == [1, 2, 0, 0]
    assert not loaded.encode("zz").any()


def test_users_files_that_cannot_work_are_refused(tmp_path):
    path = tmp_path / "user.json"
    user_file("gpt2", path)
    with pytest.raises(ConfigError, match="does not end its texts; .*there are: <end>, <start>"):
        captions.load(path, length=7)
    with pytest.raises(ConfigError, match="'<End>', which .* did you mean '<end>'"):
        captions.load(path, length=7, end="<End>")
    user_file("bert", path)
    with pytest.raises(ConfigError, match=r"is '!', but .* ends texts with '\[SEP\]'"):
        captions.load(path, length=7, end="!")
    with pytest.raises(ConfigError, match="length 2 hold no word: .* adds 2 tokens"):
        captions.load(path, length=2)
    tokenizer = captions.load(path, length=7)
    tokenizer.check(vocabulary=8, length=7)
    with pytest.raises(ConfigError, match="8 token ids, but config.towers.text.vocabulary is 7"):
        tokenizer.check(vocabulary=7, length=7)
    with pytest.raises(ConfigError, match="have 7 tokens .* config.towers.text.length is 6"):
        tokenizer.check(vocabulary=8, length=6)
    user_file("clip", path)
    with pytest.raises(ConfigError, match="8 token ids; one is for padding"):
        captions.load(path, length=7).check(vocabulary=7, length=7)


UNSPACED = {
    "Chinese": ("一只猫坐在桌子上", "一只狗坐在桌子下", "坐在桌子"),
    "Japanese": ("猫がテーブルの上にいる", "犬がソファーの上にいる", "の上にいる"),
    "Thai": ("แมวนั่งบนโต๊ะ", "สุนัขนั่งบนโซฟา", "นั่งบน"),
    "Khmer": ("ឆ្មាអង្គុយលើតុ", "ឆ្កែអង្គុយលើសាឡុង", "អង្គុយលើ"),
}


@pytest.mark.parametrize("script", UNSPACED)
@pytest.mark.parametrize("vocabulary", [8192, 300])
def test_scripts_without_spaces_share_the_tokens_of_common_words(script, vocabulary):
    one, two, common = UNSPACED[script]
    filler = [f"word{i}" for i in range(300 if vocabulary == 300 else 0)]  # makes it byte pairs
    tokenizer = captions.train([one, "a cat", *filler], vocabulary=vocabulary, length=64)

    def run(text):
        tokens = [int(t) for t in tokenizer.encode(text) if t]
        return tokens[:-1]  # without the end

    part, first, second = run(common), run(one), run(two)
    assert len(part) > 3 and captions.UNKNOWN not in tokenizer.decode(np.array(part))
    for tokens in (first, second):
        places = [i for i in range(len(tokens)) if tokens[i : i + len(part)] == part]
        assert len(places) == 1  # the common words are the same tokens in both
    assert len(set(first)) > 3 and first != second


def test_words_between_spaces_are_split_as_ever():
    text = "A cat's naïve Ω-shaped 12.5 кот, كلب 한국어 단어"
    words = captions.train([text], vocabulary=64, length=32)
    expected = "a cat ' s naïve ω - shaped 12 . 5 кот , كلب 한국어 단어".split()
    assert len(set(words.encode(text)[: len(expected)])) == len(set(expected))
    assert words.encode(text)[len(expected)] == 2


@pytest.mark.parametrize("mark", ["\ufeff", "\u2060", "\u00ad", "\u200b"])
def test_marks_that_nobody_sees_are_no_part_of_a_word(mark, words):
    text = "a small red seven"
    assert np.array_equal(words.encode(mark + text), words.encode(text))
    assert np.array_equal(words.encode(text.replace(" ", " " + mark)), words.encode(text))
    assert not words.encode(mark).any()
    marked = captions.train([mark + t for t in TEXTS], vocabulary=64, length=8)
    assert marked.digest() == words.digest()


def test_parts_are_all_tokens_as_the_caption_has_them():
    tokenizer = captions.train(["a cat", "the dog"], length=3)
    seen = [("The", True), ("cat", True), (",", False), ("a", True), ("BIRD", False)]
    assert tokenizer.parts("The cat, a BIRD") == seen
    assert tokenizer.specials == 1 and tokenizer.length == 3 and tokenizer.parts("") == []
    # With a word too many for a token each, all bytes are tokens.
    many = captions.train([" ".join(f"w{n}" for n in range(300))], vocabulary=280)
    assert all(known for _, known in many.parts("ünknown 鳥"))


def test_a_pattern_that_takes_for_ever_is_a_sentence(tmp_path, words, capfd):
    words.save(tmp_path / "tokenizer.json")
    said = json.loads((tmp_path / "tokenizer.json").read_text())
    pattern = {"Regex": "(a|a|a)*(a|aa)+$"}
    said["pre_tokenizer"] = dict(type="Split", pattern=pattern, behavior="Isolated", invert=False)
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    found = captions.load(tmp_path / "tokenizer.json")
    with pytest.raises(ConfigError, match="the tokenizer cannot read 'a{40}b': .*retry-limit"):
        found.encode("a" * 40 + "b")
    assert "panicked" in capfd.readouterr().err
