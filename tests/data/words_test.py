"""The normal form of words, and scripts that set no spaces between them."""

import collections
import unicodedata

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from m3i_jax.data import captions, words

SAME = {
    "final sigma": ("ΟΔΟΣ", "οδος", "οδοσ"),
    "sharp s": ("Straße", "STRASSE", "STRAẞE", "strasse"),
    "dotted i": ("İstanbul", "istanbul", "i̇stanbul", "ISTANBUL"),
    "iota below": ("ᾳδω", "ΑΙΔΩ", "ᾼδω"),
    "ligature": ("ﬁsh", "fish", "FISH"),
    "width": ("Ｃａｔ", "cat"),
    "accent": ("café", "cafe\u0301", "CAFÉ"),
    "harakat": ("كَلْبٌ", "كلب", "كـــلب", "كَلب"),
    "alef above": ("هٰذا", "هذا"),
    "points": ("כֶּלֶב", "כלב"),
    "point in one code": ("\ufb2aלום", "שלום"),
    "Syriac": ("ܟܰܠܒܳܐ", "ܟܠܒܐ"),
    "non-joiner": ("می\u200cخواهم", "میخواهم"),
    "joiner": ("👨\u200d👩", "👨👩"),
    "variation": ("❤\ufe0f", "❤"),
    "soft hyphen": ("Katzen\u00adfutter", "katzenfutter"),
    "filler": ("cat\u3164", "cat"),
    "tags": ("cat\U000e0061", "cat"),
    "Mongolian selector": ("ᠮᠣᠩ\u180b", "ᠮᠣᠩ"),
}
OTHER = [("أب", "اب"), ("آب", "اب"), ("résumé", "resume"), ("ı", "i"), ("بيت", "بنت"), ("שם", "סם")]


@pytest.mark.parametrize("vocabulary", [8192, 300])
@pytest.mark.parametrize("kind", SAME)
def test_words_that_differ_in_form_alone_are_one_word(kind, vocabulary):
    first, *others = SAME[kind]
    filler = [f"word{i}" for i in range(300 if vocabulary == 300 else 0)]  # makes it byte pairs
    tokenizer = captions.train([first, "a", *filler], vocabulary=vocabulary, length=24)
    expected = tokenizer.encode(f"a {first} a")
    assert captions.UNKNOWN not in tokenizer.decode(expected)
    for other in others:
        assert np.array_equal(tokenizer.encode(f"a {other} a"), expected), other


@pytest.mark.parametrize("one,two", OTHER)
def test_words_that_differ_in_more_stay_two(one, two):
    form = words.normalizer()
    assert form.normalize_str(one) != form.normalize_str(two)


def test_the_normal_form_is_that_of_unicode():
    """Code points are alike here if they are by Python's NFKC and casefold, and the other way."""
    form, ours, theirs = words.normalizer(), {}, {}
    old = normalizers.NFKD()  # the library may know an older Unicode than Python
    for code in (*range(0x20, 0x3000), *range(0xA640, 0xABC0), *range(0xF900, 0xFFEF)):
        letter = chr(code)
        kinds = ("Cn", "Cs", "Co", "Mn")
        if unicodedata.category(letter) in kinds or letter in words.INVISIBLE:
            continue
        folded = unicodedata.normalize("NFKD", letter)
        if old.normalize_str(letter) != folded or form.normalize_str(f"a{letter}a") == "aa":
            continue
        points = {c for c in folded if form.normalize_str(f"a{c}a") == "aa"}
        theirs[letter] = _folded("".join(c for c in folded if c not in points))
        ours[letter] = form.normalize_str(letter)
    assert len(ours) > 8000
    for one, two in ((ours, theirs), (theirs, ours)):
        groups = collections.defaultdict(set)
        for letter, key in one.items():
            groups[key].add(two[letter])
        split = {key: found for key, found in groups.items() if len(found) > 1}
        assert not split


def _folded(text):
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text.casefold().replace("i\u0307", "i"))
    return text


UNSPACED = {
    "Javanese": "ꦏꦸꦕꦶꦁꦭꦸꦁꦒꦸꦃ",
    "Balinese": "ᬫᬾᬂᬂᬦᭂᬕᬓ᭄",
    "Tai Tham": "ᨾᩯ᩠ᨾᩅᨶᩢ᩠ᨦ",
    "New Tai Lue": "ᦶᦙᦞᧃᦐᦱᧂ",
    "Tai Le": "ᥛᥦᥝᥢᥒᥤ",
    "Tai Viet": "ꪵꪣꪫꪙꪱꪉ",
    "Ahom": "𑜉𑜠𑜈𑜃𑜂",
    "Batak": "ᯂᯮᯘᯪᯝ᯲",
    "Cham": "ꨠꨳꨩꨣꨓ",
    "Tangut": "𗀀𗀁𗀂",
    "Tibetan": "ཞི་མི་",
    "Phags-pa": "ꡏꡡꡃꡣꡟ",
    "Lao": "ແມວນັ່ງ",
    "Myanmar": "ကြောင်ထိုင်",
}


@pytest.mark.parametrize("script", UNSPACED)
def test_texts_without_spaces_have_a_token_for_each_letter_with_its_marks(script):
    text = UNSPACED[script]
    pieces = [piece for piece, _ in words.letters().pre_tokenize_str(text)]
    starts = [c for c in text if unicodedata.category(c)[0] != "M"]
    assert len(pieces) == len(starts) > 2 and "".join(pieces) == text
    # A part of it has tokens of the whole.
    tokenizer = captions.train([text, "a"], vocabulary=64, length=32)
    whole = [t for t in tokenizer.encode(text) if t]
    part = [t for t in tokenizer.encode("".join(pieces[1:])) if t]
    assert part == whole[1:] and 1 not in whole


def test_vocabularies_from_before_keep_their_ids(tmp_path):
    """A file says itself how its words are compared; only what is trained anew is new."""
    numbers = {token: i for i, token in enumerate((*captions.SPECIAL, "red", "straße", "οδος"))}
    old = Tokenizer(models.WordLevel(numbers, unk_token=captions.UNKNOWN))
    old.add_special_tokens(list(captions.SPECIAL))
    old.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    old.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    old.save(str(tmp_path / "old.json"))
    loaded = captions.load(tmp_path / "old.json", length=5, end=captions.END)
    assert loaded.encode("Red straße οδος STRASSE").tolist() == [3, 4, 5, 1, 2]


def test_words_that_nothing_changes_for_have_the_ids_of_before():
    texts = [
        "A small red cat, naïve and 12.5 cm",
        "кот сидит",
        "كلب",
        "一只猫",
        "แมวนั่ง",
        "한국어 Ωmega",
    ]
    tokenizer = captions.train(texts, vocabulary=64, length=64)
    found = [tokenizer.encode(text) for text in texts]
    assert [[int(t) for t in tokens if t] for tokens in found] == [
        [7, 13, 12, 9, 3, 11, 8, 5, 4, 6, 10, 2],
        *([15, 16, 2], [17, 2], [23, 24, 25, 2], [22, 20, 21, 19, 18, 2], [26, 14, 2]),
    ]
