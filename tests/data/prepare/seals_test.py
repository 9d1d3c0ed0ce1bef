"""Notes of what is done, which nobody else's folder gets."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.prepare import seals
from m3i_jax.data.prepare.seals import Seal

MADE = {"size": 256, "sources": {"train": {"records": 3}}}
DONE = Seal(2, 100, "ab", [0, -1], 1, 2, [[1, "b.jpg", "broken"]], [])


def test_what_is_sealed_is_there_again_and_gone_at_the_end(tmp_path):
    folder = tmp_path / "new" / "copy"
    seals.begin(folder, MADE)
    assert seals.sealed(folder, "train-0") is None
    seals.seal(folder, "train-0", DONE)
    seals.begin(folder, MADE)
    assert seals.sealed(folder, "train-0") == DONE
    seals.end(folder)
    assert not list(folder.iterdir())


def test_captions_of_parts_are_joined_in_order(tmp_path):
    seals.begin(tmp_path, MADE)
    for part, lines in (("train-1", b"[]\n"), ("train-0", b'["a"]\n')):
        seals.keep_captions(tmp_path, part, lines)
    place = seals.join_captions(tmp_path, ["train-0", "train-1"], "train.captions.jsonl")
    assert place.parent == tmp_path and place.read_bytes() == b'["a"]\n[]\n'
    seals.end(tmp_path)
    assert [*tmp_path.iterdir()] == [place]


def test_what_is_made_otherwise_is_named(tmp_path):
    seals.begin(tmp_path, MADE)
    with pytest.raises(ConfigError, match="size was 256, is now 32; sources.train.records was 3,"):
        seals.begin(tmp_path, {"size": 32, "sources": {"train": {"records": 4}}})
    (tmp_path / seals.FOLDER / seals.SETTINGS).write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        seals.begin(tmp_path, MADE)


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(ConfigError, match="holds other things"):
            seals.begin(place, MADE)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
