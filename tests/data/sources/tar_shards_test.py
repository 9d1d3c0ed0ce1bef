"""Tar files of WebDataset and img2dataset, from a config to samples; and damaged ones."""

import io
import json
import pickle
import tarfile

import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import TooManyUnreadable, robust
from tests.drawn_records import drawn, mutated, same, samples, tar


def source(root, split="train", **how):
    classes = how.pop("classes", None)
    block = {"name": "tar_shards", "root": str(root), **how}
    return data.source(block, split=split, classes=classes)


def test_shards_of_webdataset(tmp_path):
    records = drawn(7)
    tar(tmp_path / "train-0.tar", samples(records[:4]))
    tar(tmp_path / "train-1.tar", samples(records[4:], start=4), form=tarfile.PAX_FORMAT)
    tar(tmp_path / "val-0.tar", samples(records[1:4]))
    train = source(tmp_path)
    same(train, records)
    same(pickle.loads(pickle.dumps(train)), records)
    assert train.classes == ("cat", "dog", "emu") and train.account.labelled == 7
    assert train.where(5) == f"{tmp_path}/train-1.tar: 000005.png"
    same(source(tmp_path, "test"), records[1:4])
    other = source(tmp_path, "test", classes=("emu", "dog"))
    assert other.account.unknown == {"cat": 1}
    same(source(f"{tmp_path}/train-{{0..1}}.tar", captions=False), records, captions=False)


def test_numbers_have_names_where_a_file_says_them(tmp_path):
    records = drawn(4)
    tar(tmp_path / "train" / "0.tar", samples(records, of=lambda r: r.label))
    assert source(tmp_path).classes == ("0", "1", "2")
    (tmp_path / "names.txt").write_text("cat\ndog\nemu\nfox\n")
    same(named := source(tmp_path, names=str(tmp_path / "names.txt")), records)
    assert named.classes == ("cat", "dog", "emu", "fox")
    assert any("none of 'fox'" in note for note in named.account.notes)


def test_shards_of_img2dataset(tmp_path):
    records = drawn(3)
    members = []
    for n, record in enumerate(records):
        said = {"caption": f"table {n}", "key": f"{n:09d}", "width": 12, "status": "success"}
        members += [(f"{n:09d}.png", record.png), (f"{n:09d}.json", json.dumps(said).encode())]
    tar(tmp_path / "00000.tar", members)
    found = source(tmp_path)
    assert list(found.captions()) == ["table 0", "table 1", "table 2"] and found.classes == ()
    assert [found[n].label for n in range(3)] == [-1] * 3
    with pytest.raises(ConfigError, match="no test split"):
        source(tmp_path, "test")


def test_hostile_members_are_counted_and_nothing_is_written(tmp_path):
    link = tarfile.TarInfo("b.png")
    link.type, link.linkname = tarfile.SYMTYPE, "../../outside"
    (record,) = drawn(1)
    folder = tmp_path / "in"
    tar(folder / "0.tar", [("../../a.png", record.png), ("/c.png", record.png), ("b.png", link)])
    found = source(folder)
    assert len(found) == 2 and "1 link (0.tar: b.png)" in " ".join(found.account.notes)
    found[0], found[1]
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    tar(folder / "0.tar", [("b.png", link)])
    with pytest.raises(ConfigError, match="no images in the tar files.*1 link"):
        source(folder)


def test_a_shard_that_was_cut_is_said_and_its_record_forgiven(tmp_path):
    records = drawn(6)
    path = tar(tmp_path / "0.tar", [(f"{n}.png", r.png) for n, r in enumerate(records)])
    whole = source(tmp_path).fingerprint()
    with tarfile.open(path) as file:
        cut = file.getmembers()[3].offset_data + 50
    path.write_bytes(path.read_bytes()[:cut])
    found = source(tmp_path)
    assert len(found) == 4 and found.fingerprint() != whole
    assert "1 cut off by the end of the file (0.tar: 3.png)" in found.account.warnings[0]
    forgiving = robust(found, max_share=0.5)
    assert (forgiving[3].image == records[0].pixels).all()
    assert "the file ends after" in forgiving.unreadable[3]


def test_a_caption_that_cannot_be_read_is_said_of_its_record(tmp_path):
    (record,) = drawn(1)
    tar(tmp_path / "0.tar", [("a.png", record.png), ("a.txt", b"fine\ncaf\xe9\n")])
    sample = source(tmp_path)[0]
    assert sample.captions == ("fine",)
    assert sample.left_out.startswith(f"left out of '{tmp_path}/0.tar: a.png': 1 of 2 lines")


def test_damaged_files_come_to_a_sentence_or_to_the_same_substitutes(tmp_path):
    path = tar(tmp_path / "0.tar", samples(drawn(6)))
    outcomes = {"refused": 0, "read": 0, "too many": 0}
    for damaged in mutated(path.read_bytes(), count=150):
        path.write_bytes(damaged)
        try:
            one, two = (robust(source(tmp_path), max_share=0.5) for _ in range(2))
        except ConfigError:
            outcomes["refused"] += 1
            continue
        try:
            assert [one[n].image.tobytes() for n in range(len(one))] == [
                two[n].image.tobytes() for n in range(len(two))
            ]
            outcomes["read"] += 1
        except TooManyUnreadable:
            outcomes["too many"] += 1
        list(one.captions()), [one.where(n) for n in range(len(one))], one.contents()
    assert outcomes["read"] > 50 and outcomes["refused"] > 0, outcomes
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith(".m3i-index-")} == {"0.tar"}


def inner(records, name):
    """A tar of the images of a class, as bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for n, record in enumerate(records):
            info = tarfile.TarInfo(f"{name}_{n}.PNG")
            info.size = len(record.png)
            packed.addfile(info, io.BytesIO(record.png))
    return file.getvalue()


def test_imagenets_own_archives(tmp_path):
    """A tar of a tar for each class, a flat one, and the truth in the development kit's numbers."""
    records = drawn(9)
    of = {wnid: records[n::3] for n, wnid in enumerate(("n01", "n03", "n02"))}
    members = [(f"{wnid}.tar", inner(some, wnid)) for wnid, some in of.items()]
    tar(tmp_path / "ILSVRC2012_img_train.tar", [*members, ("no.tar", b"x" * 600)])
    names = [f"ILSVRC2012_val_{n:08d}.PNG" for n in (1, 2, 3)]
    tar(
        tmp_path / "ILSVRC2012_img_val.tar",
        [(n, r.png) for n, r in zip(names, records, strict=False)],
    )
    kit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    (kit / "map_clsloc.txt").write_text("n02 1 two\nn01 2 one\nn03 3 three\n")
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n3\n")
    train = source(tmp_path)
    assert (
        train.classes == ("n01", "n02", "n03")
        and train.labels.tolist() == [0] * 3 + [2] * 3 + [1] * 3
    )
    for n, record in enumerate([*records[0::3], *records[1::3], *records[2::3]]):
        assert (train[n].image == record.pixels).all()
    assert train.where(4) == f"{tmp_path}/ILSVRC2012_img_train.tar: n03_1.PNG"
    assert any(
        "1 '.tar' (ILSVRC2012_img_train.tar: no.tar)" in note for note in train.account.notes
    )
    test = source(tmp_path, "test", classes=train.classes)
    assert test.labels.tolist() == [0, 1, 2] and test.account.labelled == 3
    assert any("ground_truth.txt'" in note for note in test.account.notes)
    kit.joinpath("ILSVRC2012_validation_ground_truth.txt").unlink()
    assert source(tmp_path, "test", classes=train.classes).account.labelled == 0
