"""Texts of others, by their byte-order marks."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import texts

TEXT = "a.png,Kätzchen\nb.png,猫\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_are_read_as_their_mark_says(tmp_path, encoding):
    (tmp_path / "a").write_bytes(TEXT.encode(encoding))
    assert texts.read(tmp_path / "a") == TEXT
    assert texts.lines(TEXT.encode(encoding), whole=True) == (TEXT.splitlines(True), 0)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_ascii_shows_which_utf_16_it_is(tmp_path, encoding):
    (tmp_path / "a").write_bytes("a.png,cat\n".encode(encoding))
    assert texts.read(tmp_path / "a") == "a.png,cat\n"


@pytest.mark.parametrize("encoding", ["gbk", "shift-jis", "utf-16-le"])
def test_what_is_not_said_is_not_guessed(tmp_path, encoding):
    data = "a.png,cat\nb.png,猫の\n".encode(encoding)
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ConfigError, match="'.*a' is no text.*; save it as UTF-8"):
        texts.read(tmp_path / "a")
    assert texts.lines(data, whole=True)[1] >= 1


def test_a_cut_text_has_whole_lines():
    assert texts.lines(b"a b\nc d", whole=False) == (["a b\n"], 0)
    assert texts.lines(b"a b\nc d\n", whole=False) == (["a b\n", "c d\n"], 0)
    assert texts.lines(b"a b", whole=False) == (["a"], 0)
    assert texts.lines(b"", whole=True) == texts.lines(b"", whole=False) == ([], 0)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot read '.*none': No such file"):
        texts.read(tmp_path / "none")
