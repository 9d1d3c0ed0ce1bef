"""Several sources as one: indices, classes, what each record has, splits, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from m3i_jax import cli, data
from m3i_jax.build import ConfigError
from m3i_jax.data.order import epoch_length
from m3i_jax.data.sources import protocol, subset
from m3i_jax.data.sources.protocol import NoSplit, component_of
from m3i_jax.data.sources.unreadable import robust
from tests.drawn_records import drawn, tar

RNG = np.random.default_rng(0)
PETS = dict(count=5, classes=["cat", "dog"], labels=[0, 1, 0, 1, 1])
BIRDS = dict(count=3, classes=["owl", "cat"], labels=[0, 1, -1], test=2)
WEB = dict(count=4, captions=True, test=3)


@pytest.fixture
def blocks(tmp_path):
    """{name: block} of three sources in NumPy files; `web` has captions only, `pets` no test."""

    def made(name, *, count, classes=(), labels=None, captions=False, test=0):
        arrays = {}
        for split, number in (("train", count), ("test", test)):
            if number:
                arrays[f"{split}_images"] = RNG.integers(0, 256, (number, 4, 5, 3), np.uint8)
            if number and labels:
                arrays[f"{split}_labels"] = np.array(labels[:number])
            if number and captions:
                arrays[f"{split}_captions"] = np.array([f"{name} {i}" for i in range(number)])
        if classes:
            arrays["classes"] = np.array(classes)
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "all.npz", **arrays)
        return {"name": "arrays", "root": str(tmp_path / name)}

    return {
        name: made(name, **how) for name, how in {"pets": PETS, "birds": BIRDS, "web": WEB}.items()
    }


def mixed(blocks, split="train", classes=None, **how):
    return data.source({"name": "mixture", "of": blocks, **how}, split=split, classes=classes)


def labels(source):
    return [source[i].label for i in range(len(source))]


def test_records_of_all_sources_one_behind_the_other_with_what_they_have(blocks):
    source = mixed(blocks)
    assert [(c.name, c.length) for c in source.components] == [
        ("birds", 3),
        ("pets", 5),
        ("web", 4),
    ]
    assert len(source) == 12 and epoch_length(source) == 12
    assert source.classes == ("owl", "cat", "dog")
    assert labels(source) == source.labels.tolist() == [0, 1, -1, 1, 2, 1, 2, 2, -1, -1, -1, -1]
    assert source.account.labelled == 7
    said = [source[i].caption for i in range(12)]
    assert said == list(source.captions()) == [""] * 8 + [f"web {i}" for i in range(4)]
    assert source.where(9).startswith("web: ") and source.where(9).endswith("1")
    alone = data.source(blocks["pets"], split="train")
    assert all(np.array_equal(source[3 + i].image, alone[i].image) for i in range(5))
    assert [component_of(source, i) for i in (0, 2, 3, 11)] == [
        range(0, 3), range(0, 3), range(3, 8), range(8, 12)
    ]  # fmt: skip


def test_classes_apart_and_what_is_left_out(blocks):
    apart = mixed(blocks, class_names="apart")
    assert apart.classes == ("birds/owl", "birds/cat", "pets/cat", "pets/dog")
    assert labels(apart)[:8] == [0, 1, -1, 2, 3, 2, 3, 3]
    fewer = mixed({**blocks, "birds": blocks["birds"] | {"without": "labels"},
                   "web": blocks["web"] | {"without": "captions"}})  # fmt: skip
    assert fewer.classes == ("cat", "dog") and labels(fewer) == fewer.labels.tolist()
    assert labels(fewer)[:4] == [-1, -1, -1, 0] and not any(fewer.captions())
    assert fewer.account.labelled == 5 and not any(fewer[i].caption for i in range(12))
    marks = {s.fingerprint() for s in (mixed(blocks), apart, fewer)}
    assert len(marks) == 3
    weights = dict(zip(blocks, (1, 2.5, 0), strict=True))
    weighed = mixed({n: b | {"weight": weights[n]} for n, b in blocks.items()}, epoch_of="birds")
    assert weighed.fingerprint() == mixed(blocks).fingerprint(), "weights may change"
    assert epoch_length(weighed) == 5  # of every 7 samples 5 are of its 3 records: 3 · 7/5 = 4.2
    assert weighed.contents() == mixed(blocks).contents() != {}


def test_evaluation_reads_the_test_splits_that_there_are(blocks):
    train = mixed(blocks)
    test = mixed(blocks, "test", train.classes)
    assert [c.name for c in test.components] == ["birds", "web"]
    assert test.classes == train.classes and labels(test) == [0, 1, -1, -1, -1]
    apart = mixed(blocks, class_names="apart")
    assert labels(mixed(blocks, "test", apart.classes, class_names="apart")) == labels(test)
    named = mixed(blocks, "test", train.classes, evaluate_on="birds")
    assert len(named) == 2
    with pytest.raises(NoSplit, match="no source of the mixture has a test split: pets: .*no imag"):
        mixed(blocks, "test", train.classes, evaluate_on="pets")
    wholly_other = mixed({"birds": blocks["birds"]}, "test", ("emu", "owl"))
    assert labels(wholly_other) == [1, -1] and wholly_other.account.unknown == {"cat": 1}


def test_a_part_held_out_of_a_mixture_is_a_mixture(blocks):
    of = {"name": "mixture", "of": {n: b | {"weight": 1} for n, b in blocks.items()}}
    block = {"name": "held_out", "of": of, "share": 0.25}
    train, held = (data.source(block, split=split) for split in ("train", "test"))
    assert len(train) == 9 and len(held) == 3
    assert sum(c.length for c in train.components) == 9
    whole, (lengths, names) = mixed(blocks), ([3, 5, 4], ["birds", "pets", "web"])
    for one, other, length, name in zip(
        train.components, held.components, lengths, names, strict=True
    ):
        assert one.length + other.length == length and one.name == name and one.weight == 1
    for index in range(9):  # the component of a record is the one that it lies in
        place = component_of(train, index)
        name = next(c.name for c, e in zip(train.components, np.cumsum(
            [c.length for c in train.components]), strict=True) if place.stop == e)  # fmt: skip
        assert train.where(index).startswith(name)
    assert len({train.fingerprint(), held.fingerprint(), whole.fingerprint()}) == 3


def test_a_broken_record_is_replaced_by_one_of_its_own_source(blocks, tmp_path):
    source = mixed(blocks)

    class Broken:
        """Records 7 and 11, the last ones of pets and web, cannot be read."""

        def __getattr__(self, name):
            return getattr(source, name)

        def __len__(self):
            return len(source)

        def __getitem__(self, index):
            if index in (7, 11):
                raise ValueError("cut off")
            return source[index]

    kept = robust(Broken(), report=tmp_path / "report.txt", max_share=0.5)
    assert np.array_equal(kept[7].image, source[3].image)
    assert kept[11].caption == "web 0" and kept.read(11) is None
    rows = [json.loads(line) for line in (tmp_path / "report.txt").read_text().splitlines()]
    assert [row["record"].partition(":")[0] for row in rows] == ["pets", "web"]
    assert kept.components == source.components


def test_other_decoders_change_pixels_and_nothing_else(tmp_path):
    """Each source's own is replaced, behind what is renumbered and what is left out."""
    of = {}
    for name, kinds in (("birds", ("owl", "cat")), ("pets", ("cat", "dog"))):
        of[name] = {"name": "image_folder", "root": str(tmp_path / name)}
        for kind in kinds:
            (tmp_path / name / "train" / kind).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / name / "train" / kind / "1.png")
    of["pets"]["without"] = "labels"
    source = mixed(of)
    white = protocol.decoded_by(source, lambda own: lambda data: 255 - own(data))
    assert len(white) == 4 and labels(white) == labels(source) and -1 in labels(white)
    part = subset.mixed(source, np.arange(3))
    again = protocol.decoded_by(part, lambda own: own)
    assert [one.length for one in again.components] == [2, 1], "drawn as before"
    assert white.fingerprint() == source.fingerprint()
    for index in range(4):
        assert source[index].image.max() == 0 and white[index].image.min() == 255


def test_what_is_no_mixture_is_a_sentence(blocks):
    def said(match, of, **how):
        with pytest.raises(ConfigError, match=match):
            mixed(of, **how)

    pets, birds = blocks["pets"], blocks["birds"]
    said("expected the blocks of sources by their names", {})
    said("expected the blocks of sources by their names", {"name": "arrays"})
    said("has the name 'a.b'", {"a.b": pets})
    said("data.of.birds lacks 'weight'", {"pets": pets | {"weight": 1}, "birds": birds})
    said("weights of all sources are 0", {"pets": pets | {"weight": 0}})
    said("weight is -1, expected", {"pets": pets | {"weight": -1}})
    said("without is 'label'.*did you mean 'labels'", {"pets": pets | {"without": "label"}})
    said("epoch_of is 'pet', no source.*'pets'", {"pets": pets}, epoch_of="pet")
    said("is 'pets', which is never drawn", {"pets": pets | {"weight": 0}, "birds": birds | {
        "weight": 1}}, epoch_of="pets")  # fmt: skip
    said("config.data.of.pets.*'roots'.*'root'", {"pets": {"name": "arrays", "roots": "x"}})
    said("of.more is a mixture", {"more": {"name": "mixture", "of": {"pets": pets}}})


def test_the_papers_mixture_is_read_from_files_of_its_layouts(tmp_path, monkeypatch):
    """LAION, YFCC and CC12M as img2dataset writes them, ImageNet-22k as its archive is."""
    monkeypatch.chdir(tmp_path)
    records = drawn(8)
    for name, count in (("laion400m", 8), ("yfcc15m", 4), ("cc12m", 2)):
        members = []
        for n, one in enumerate(records[:count]):
            said = json.dumps({"caption": one.caption, "status": "success"}).encode()
            members += [(f"{n:09d}.png", one.png), (f"{n:09d}.json", said)]
        tar(tmp_path / "data" / name / "00000.tar", members)
    classes = []
    for n, one in enumerate(records[:4]):
        tar(tmp_path / f"n{n}.tar", [(f"n{n}_1.png", one.png)])
        classes.append((f"n{n}.tar", (tmp_path / f"n{n}.tar").read_bytes()))
    tar(tmp_path / "data" / "imagenet22k" / "fall11_whole.tar", classes)
    block = cli.load("mixture/m3i_internimage_h").to_dict()["data"]
    found = data.source(block, split="train")
    assert [(c.name, c.length, c.weight) for c in found.components] == [
        ("cc12m", 2, None), ("imagenet22k", 4, None), ("laion400m", 8, None), ("yfcc15m", 4, None)
    ]  # fmt: skip
    assert found.labels.tolist() == [-1] * 2 + [0, 1, 2, 3] + [-1] * 12
    assert found.classes == ("n0", "n1", "n2", "n3")
    assert [bool(text) for text in found.captions()] == [True] * 2 + [False] * 4 + [True] * 12
