"""Where a caption is parted into words, and what makes two of them the same word.

The normal form is Unicode's NFKC_Casefold (UAX #44): compatibility forms, letter case and all that
is ignorable by default (joiners, variation selectors, fillers) are no difference. So "ΛΟΓΟΣ" is
"λόγος" but for its accent, "STRASSE" is "Straße", and "❤️" is "❤". Beyond it, points that a writer
may as well leave out are left out: Arabic and Syriac vowel signs and tatweel, Hebrew points and
accents, and the dot that "İ" leaves on an "i". The hamza and madda of "أ" and "آ" stay.
"""

from tokenizers import Regex, normalizers, pre_tokenizers

# Scripts that set no space between words, by line-break class of their letters (UAX #14): SA, for
# which a dictionary is needed; ID, ideographs and syllables; AK and AS, Brahmic syllables; and two
# that part syllables by a mark of their own. Han to Tibetan are what the first files had.
_SA = "Thai Lao Khmer Myanmar Tai_Le New_Tai_Lue Tai_Tham Tai_Viet Ahom".split()
_ID = "Han Hiragana Katakana Bopomofo Yi Tangut Nushu Khitan_Small_Script".split()
_AK = "Balinese Javanese Batak Brahmi Cham Dives_Akuru Grantha Kawi Makasar Tulu_Tigalari".split()
UNSPACED = (*_ID, *_SA, *_AK, "Tibetan", "Phags_Pa")
# A letter of these scripts with the marks on it; the long vowel sign belongs to two of them.
LETTER = "[" + "".join(rf"\p{{{script}}}" for script in UNSPACED) + r"ー]\p{M}*"
# A zero-width space parts words; byte-order marks, word joiners, soft hyphens and what sets the
# direction say nothing. What joins emoji stays: tokenizers of others know it.
INVISIBLE = {0x200B: " ", **dict.fromkeys((0xFEFF, 0x2060, 0x00AD, 0x034F, 0x061C, 0x180E), "")}
INVISIBLE |= dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "")
INVISIBLE |= {code: " " for code in (*range(0x00, 0x20), 0x7F)}  # controls

_POINTS = (
    r"[\u0640\u0610-\u061A\u064B-\u0652\u0656-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8"
    r"\u06EA-\u06ED\u08CA-\u08E1\u08E3-\u08FF"  # Arabic, but for madda and hamza
    r"\u0711\u0730-\u074A"  # Syriac
    r"\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7]"  # Hebrew, but for its punctuation
)
# What case folding changes and lower case does not, once letters and marks are apart.
_FOLDED = {"ς": "σ", "ß": "ss", "\u0345": "ι", "i\u0307": "i"}
_FOLDED |= dict(zip("ᲀᲁᲂᲃᲄᲅᲆᲇᲈ", "вдосттъѣꙋ", strict=True))


def visible(text: str) -> str:
    """A text without what nobody sees and a tokenizer would take for a part of a word."""
    return text.translate(INVISIBLE)


def normalizer() -> normalizers.Normalizer:
    """Text -> the normal form of its words; a tokenizer's file keeps it."""
    folded = [normalizers.Replace(letter, plain) for letter, plain in _FOLDED.items()]
    return normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.Replace(Regex(r"\p{Default_Ignorable_Code_Point}|" + _POINTS), ""),
            normalizers.Lowercase(),
            *folded,
            normalizers.NFC(),
        ]
    )


def letters() -> pre_tokenizers.PreTokenizer:
    """Parts the letters of scripts without spaces, so that captions share those of common words."""
    return pre_tokenizers.Split(Regex(LETTER), "isolated")
