"""Texts of a config: words, what is not empty, names, and patterns that are matched in no time."""

import re
import time
from typing import Annotated

import pytest

from m3i_jax import texts
from m3i_jax.ranges import described, refusal
from m3i_jax.training import optimizer

# A path of the length of the longest that our networks have.
PATH = "encoders/image/blocks/attention/relative_position_bias/" + "abcd/" * 8 + "kernel"
SLOW = (
    "(a+)+$", "(a|a)*$", "(.*)*x", r"(\w+\s?)*$", "(x+x+)+y", "(a*)*b", "((a{1,9}){1,9}){1,9}b",
    ".*.*.*.*.*x", "(?:.*a){20}", "a?" * 30 + "a" * 30, "(?:){1000000000}", "(?=(a+)+$)",
    "x" * 1001,
)  # fmt: skip
QUICK = (
    optimizer.NO_DECAY, optimizer.WITHOUT_CLASS, optimizer.WITHOUT_TOKENS, "(?!)", ".*", "(?i)bias",
    r"^(?!.*/kernel$)", "encoders/.*blocks/.*attention/.*kernel", r"blocks_\d+/", "(a|b|cd)?x",
    r"\w*\w*\w*!", ".*/.*/.*/.*/.*!", "[a-z]{2,90}[a-z]+!",
)  # fmt: skip


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_may_take_for_ever_is_refused_at_once(pattern):
    start = time.process_time()
    said = refusal(pattern, texts.Pattern, "config.optimizer.freeze")
    assert said.startswith("config.optimizer.freeze is ") and ", expected a pattern: " in said
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("pattern", QUICK)
def test_any_other_is_matched_in_milliseconds(pattern):
    assert refusal(pattern, texts.Pattern, "x") is None
    start = time.process_time()
    re.search(pattern, PATH)
    assert time.process_time() - start < 0.05


def test_what_is_no_pattern_says_why():
    assert "'(' is not a pattern, missing )" in refusal("(", texts.Pattern, "x")
    assert refusal("", texts.Pattern, "x") == (
        "x is '', expected a pattern: an empty one matches everything"
    )
    assert refusal("", texts.PatternOrNone, "x") is None


def test_words_and_empty_texts():
    word = texts.Annotated[str, texts.OneOf("ema", "online")]
    assert refusal("ema", word, "x") is None
    assert (
        refusal("onlin", word, "x")
        == "x is 'onlin', expected one of ema, online; did you mean 'online'?"
    )
    assert refusal("", word, "x") == "x is '', expected one of ema, online"
    assert refusal(" ", texts.Filled, "x") == "x is ' ', expected a text that is not empty"
    assert refusal("a", texts.Filled, "x") is None


@pytest.mark.parametrize("name", ["image", "l0", "Teacher_2", "a-b", "blockwise", "x" * 64])
def test_names_that_a_path_can_have(name):
    assert texts.NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a b", "a.b", "x\n", "é", "x" * 65, "blocks", "block_3", "stage2", "stages"]
)
def test_names_that_a_path_cannot_have(name):
    assert not texts.NAME.fullmatch(name)


def test_what_a_text_may_be_is_said():
    assert described(Annotated[str, texts.OneOf("ema", "online")]) == "one of ema, online"
    assert described(texts.Filled) == "text"
    assert described(texts.Pattern | None) == "a pattern; or None"
    assert described(texts.PatternOrNone) == "a pattern, or an empty text"
