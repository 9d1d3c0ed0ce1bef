"""Captions in a file of their own: there and back, and damaged lines cost no other."""

from m3i_jax.data.sources import caption_lines

SAID = [("a dog", "ein Hund: „\\n“"), (), ("犬",), ("",)]


def test_there_and_back(tmp_path):
    place = tmp_path / "train.captions.jsonl"
    place.write_bytes(caption_lines.lines(SAID))
    assert [*caption_lines.read(place, count=4)] == ["\n".join(one) for one in SAID]
    assert place.read_bytes().count(b"\n") == 4 and "犬".encode() in place.read_bytes()


def test_damaged_lines_are_no_captions(tmp_path):
    place = tmp_path / "x"
    place.write_bytes(b'["one"]\n{"a": 1}\n[1]\n\xff\n' + b"[" * 10**6 + b'\n["two"]\n')
    assert [*caption_lines.read(place, count=8)] == ["one", "", "", "", "", "two", "", ""]
