"""Lists of labels in the forms in which ImageNet's releases have them."""

import unicodedata

import numpy as np
import pytest
import scipy.io
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import ilsvrc

# Their order in the development kit is not that of the alphabet.
KIT = ["n02119789", "n02100735", "n01440764", "n03995372"]
VAL = [3, 1, 4, 1, 2]  # ILSVRC2012_IDs
NAMES = [KIT[i - 1] for i in VAL]


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(root / name, format="PNG")
    return root


def images(place):
    return [f"{place}/ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(VAL))]


def labels(root):
    """Names of the classes that the test split is labelled with, in the order of its images."""
    test = data.source({"name": "image_folder", "root": str(root)}, split="test")
    found = [test[i].label for i in range(len(test))]
    assert test.account.labelled == sum(label >= 0 for label in found)
    return [test.classes[label] if label >= 0 else None for label in found]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def meta(path, kit=KIT):
    """A meta.mat as the kit has it: a record per synset, those with children behind the leaves."""
    fields = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")
    rows = [(i + 1, name, "words", "gloss", 0) for i, name in enumerate(kit)]
    rows.append((len(kit) + 1, "n00001740", "entity", "gloss", 9))
    synsets = np.array(rows, [(field, object) for field in fields]).reshape(-1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"synsets": synsets})


@pytest.fixture
def raw(tmp_path):
    train = [f"train/{name}/1.JPEG" for name in KIT]
    return put(tmp_path, *train, *images("val"))


@pytest.mark.parametrize("place", ["", "val", "ILSVRC2012_devkit_t12/data"])
@pytest.mark.parametrize("table", ["meta.mat", "map_clsloc.txt"])
def test_the_ground_truth_of_the_kit(raw, place, table):
    truth = "ILSVRC2012_validation_ground_truth.txt"
    write(raw / place / truth, "".join(f"{i}\n" for i in VAL))
    with pytest.raises(ConfigError, match=f"{truth}' numbers its classes, and nothing beside it"):
        labels(raw)
    if table == "meta.mat":
        meta(raw / place / table)
    else:
        write(raw / place / table, "".join(f"{n} {i + 1} word\n" for i, n in enumerate(KIT)))
    assert labels(raw) == NAMES
    (raw / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()  # the numbers are in the names
    assert labels(raw) == NAMES[:1] + NAMES[2:]


def test_what_is_no_kit_is_refused(raw):
    write(raw / "ILSVRC2012_validation_ground_truth.txt", "1\n" * 5)
    write(raw / "meta.mat", "no matrix")
    with pytest.raises(ConfigError, match="is not a development kit's meta.mat"):
        labels(raw)
    meta(raw / "meta.mat", KIT[:0])
    with pytest.raises(ConfigError, match="has a class 1, which nothing beside it names"):
        labels(raw)


def test_kaggles_archive(tmp_path):
    inner = "ILSVRC/Data/CLS-LOC"
    put(tmp_path, *(f"{inner}/train/{n}/1.JPEG" for n in KIT), *images(f"{inner}/val"))
    put(tmp_path, f"{inner}/test/ILSVRC2012_test_00000001.JPEG")
    write(tmp_path / "ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1\n")
    for i, name in enumerate(NAMES[:3]):
        body = f"<annotation><filename>{name}</filename><object>\n\t<name>{name}</name></object>"
        write(tmp_path / f"ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_{i + 1:08d}.xml", body)
    for root in (tmp_path, tmp_path / "ILSVRC", tmp_path / inner):
        assert labels(root) == [*NAMES[:3], None, None]  # partly labelled
    rows = [
        f"ILSVRC2012_val_{i + 1:08d},{n} 85 1 499 272 {n} 1 2 3 4 " for i, n in enumerate(NAMES)
    ]
    write(tmp_path / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *rows[::-1]]))
    for root in (tmp_path, tmp_path / "ILSVRC", tmp_path / inner):
        assert labels(root) == NAMES


@pytest.mark.parametrize("form", ["{}.JPEG {}", "val/{}.JPEG\t{}", "{}.JPEG,{}", "{} {}"])
@pytest.mark.parametrize("file", ["val.txt", "val/val_annotations.txt", "labels.csv"])
def test_a_line_for_each_image(raw, form, file):
    stems = [f"ILSVRC2012_val_{i + 1:08d}" for i in range(5)]
    lines = [form.format(stem, name) for stem, name in zip(stems, NAMES, strict=True)]
    write(raw / file, "\ufeff" + "\n".join(lines[::-1]) + "\n\n")
    assert labels(raw) == NAMES
    write(raw / file, "\n".join(lines[:2]))
    assert labels(raw) == [*NAMES[:2], None, None, None]
    write(raw / file, lines[0] + "\n" + form.format(stems[1], "n99999999"))
    test = data.source({"name": "image_folder", "root": str(raw)}, split="test")
    assert test.account.unknown == {"n99999999": 1} and test.account.labelled == 1


def test_numbers_of_a_list_of_synsets(raw):
    stems = [f"ILSVRC2012_val_{i + 1:08d}" for i in range(5)]
    order = sorted(KIT)
    rows = [f"{s}.JPEG {order.index(n)}" for s, n in zip(stems, NAMES, strict=True)]
    write(raw / "val.txt", "\n".join(rows))
    with pytest.raises(ConfigError, match="other lists synsets.txt"):
        labels(raw)
    write(raw / "synset_words.txt", "".join(f"{name} some words, others\n" for name in order))
    assert labels(raw) == NAMES
    counted = [f"{s} {i + 1}" for i, s in enumerate(stems)]  # ImageSets/CLS-LOC/val.txt
    write(raw / "val.txt", "\n".join(counted))
    assert labels(raw) == [None] * 5


def test_a_line_for_each_image_without_its_name(raw):
    write(raw / "imagenet_2012_validation_synset_labels.txt", "\n".join(NAMES))
    assert labels(raw) == NAMES


def test_classes_may_be_numbers_or_have_spaces_in_their_names(tmp_path):
    put(tmp_path, "train/3/1.png", "train/sea lion/1.png", "val/a.png", "val/b.png")
    write(tmp_path / "val.txt", "a.png sea lion\nb.png 3\n")
    assert labels(tmp_path) == ["sea lion", "3"]


def test_tiny_imagenet(tmp_path):
    put(tmp_path, *(f"train/{n}/images/{n}_0.JPEG" for n in KIT))
    put(tmp_path, *(f"val/images/val_{i}.JPEG" for i in range(2)), "test/images/test_0.JPEG")
    rows = "val_0.JPEG\tn02119789\t0\t32\t44\t62\nval_1.JPEG\tn02100735\t52\t55\t57\t59\n"
    write(tmp_path / "val" / "val_annotations.txt", rows)
    assert labels(tmp_path) == ["n02119789", "n02100735"]


def test_texts_that_label_nothing_are_no_labels(raw):
    write(raw / "val.txt", "\n".join(images("val")))  # a list of the images
    write(raw / "val" / "ILSVRC2012_val_00000001.txt", "a caption")
    write(raw / "labels.txt", "a sentence about them\n")
    assert labels(raw) == [None] * 5
    assert ilsvrc.find(raw / "val", sorted((raw / "val").glob("*.JPEG")), root=raw) is None


def flat(root, names, **lists):
    """Images of `root`/test, and texts of `root`."""
    (root / "test").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(root / "test" / name)
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("\n".join(lines))
    return sorted((root / "test").glob("*.png"))


def said(root, images, *, classes=("cat", "dog")):
    found = ilsvrc.find(root / "test", images, root=root, classes=classes)
    return found and found.names


def test_a_list_of_all_splits_labels_this_one(tmp_path):
    both = ["test/0.png cat", "test/1.png dog", "train/0.png dog", "train/1.png cat"]
    images = flat(tmp_path / "d", ["0.png", "1.png"], labels=both)
    assert said(tmp_path / "d", images) == ["cat", "dog"]
    images = flat(tmp_path / "e", ["0.png", "1.png"], labels=both[:1] + both[2:])
    assert said(tmp_path / "e", images) == ["cat", None]
    images = flat(tmp_path / "g", ["0.png", "1.png"], labels=both[2:])
    assert said(tmp_path / "g", images) is None
    images = flat(tmp_path / "f", ["0.png", "1.png"], labels=["0.png cat", "0.png dog"])
    with pytest.raises(ConfigError, match="says of '0.png' both 'cat' and 'dog'"):
        said(tmp_path / "f", images)


def test_a_class_for_each_image_needs_an_order(tmp_path):
    lines = ["cat"] * 6 + ["dog"] * 6
    images = flat(tmp_path / "d", [f"{i}.png" for i in range(12)], test_labels=lines)
    with pytest.raises(ConfigError, match="write NAME CLASS in each line"):
        said(tmp_path / "d", images)
    images = flat(tmp_path / "e", [f"{i:02}.png" for i in range(12)], test_labels=lines)
    assert said(tmp_path / "e", images) == lines
    # Names of classes may be as many as there are images.
    images = flat(tmp_path / "f", ["0.png", "1.png"], labels=["cat", "dog"])
    assert said(tmp_path / "f", images) is None


def test_numbers_may_begin_at_0_and_lines_may_be_empty(tmp_path):
    names = [f"img_{i:08}.png" for i in range(3)]
    images = flat(tmp_path / "d", names, test_labels=["cat", "dog", "dog"])
    assert said(tmp_path / "d", images) == ["cat", "dog", "dog"]
    names = [f"img_{i:08}.png" for i in (1, 2, 3)]
    images = flat(tmp_path / "e", names, test_labels=["cat", "", "dog"])
    assert said(tmp_path / "e", images) == ["cat", None, "dog"]
    images = flat(tmp_path / "f", names, test_labels=["cat", "dog"])
    assert said(tmp_path / "f", images) is None


def test_the_longest_name_of_a_class_is_meant(tmp_path):
    lines = ["1.png,golden retriever,1", "2.png,golden,1"]
    images = flat(tmp_path / "d", ["1.png", "2.png"], labels=lines)
    names = said(tmp_path / "d", images, classes=("golden", "golden retriever"))
    assert names == ["golden retriever", "golden"]


def test_lists_of_another_data_set_are_not_looked_at(tmp_path):
    images = flat(tmp_path / "d", ["1.png"])
    (tmp_path / "labels.csv").write_text("1.png,cat")
    assert said(tmp_path / "d", images) is None


def composed(name):
    return unicodedata.normalize("NFC", name)


def apart(name):
    return unicodedata.normalize("NFD", name)


@pytest.mark.parametrize("disk,text", [(composed, apart), (apart, composed)])
def test_names_are_compared_whichever_form_their_accents_have(tmp_path, disk, text):
    """Of images, of classes, of the list itself and of annotations."""
    images = flat(tmp_path / "d", [disk("é.png"), disk("ü.png")])
    rows = text("é.png chaîne\nü.png Bär\n")
    (tmp_path / "d" / "labels.txt").write_text(rows)
    classes = (disk("chaîne"), disk("Bär"))
    assert said(tmp_path / "d", images, classes=classes) == list(classes)
    put(tmp_path, disk("train/Bär/1.png"), disk("val/été.png"))
    write(tmp_path / "val" / "labels.csv", text("été.png,Bär"))
    assert [composed(name) for name in labels(tmp_path)] == [composed("Bär")]


def test_a_list_of_a_folder_with_an_accent_or_a_bracket(tmp_path):
    place = tmp_path / apart("prêt [1]")
    place.mkdir()
    Image.new("RGB", (4, 4)).save(place / "1.png")
    write(tmp_path / composed("Prêt [1].CSV"), "1.png,cat")
    found = ilsvrc.find(place, [place / "1.png"], root=tmp_path, classes=("cat",))
    assert found.names == ["cat"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_lists_have_the_encoding_that_their_mark_says(tmp_path, encoding):
    images = flat(tmp_path / "d", ["1.png", "2.png"])
    for file, row in (("labels.csv", "{},{}"), ("labels.tsv", "{}\t{}"), ("test.txt", "{} {}")):
        data = "\n".join([row.format("1.png", "Kätzchen"), row.format("2.png", "猫")])
        (tmp_path / "d" / file).write_bytes(data.encode(encoding))
        assert said(tmp_path / "d", images, classes=("Kätzchen", "猫")) == ["Kätzchen", "猫"]
        (tmp_path / "d" / file).write_bytes(data.encode("gb18030"))
        with pytest.raises(ConfigError, match="is no text in UTF-8 .line 1, byte 0x.*save it"):
            said(tmp_path / "d", images)
        (tmp_path / "d" / file).unlink()


def test_counters_of_pascal_voc_are_no_classes(tmp_path):
    images = flat(tmp_path / "d", ["000001.png", "000002.png", "000003.png"])
    write(tmp_path / "d" / "test.txt", "000001 -1\n000002  1\n000003  0\n")
    for classes in (("1", "2", "3"), ("cat", "dog")):
        with pytest.raises(ConfigError, match="whether it has a class .1 or -1., and not which"):
            said(tmp_path / "d", images, classes=classes)
    assert said(tmp_path / "d", images, classes=("-1", "0", "1")) == ["-1", "1", "0"]
    write(tmp_path / "d" / "test.txt", "000001 3\n000002 1\n000003 1\n")
    assert said(tmp_path / "d", images, classes=("1", "2", "3")) == ["3", "1", "1"]
    write(tmp_path / "d" / "test.txt", "000001 1\n000002 2\n000003 3\n")
    assert said(tmp_path / "d", images, classes=("1", "2", "3")) == ["1", "2", "3"]
    assert said(tmp_path / "d", images, classes=("cat", "dog")) is None  # counts its lines


def test_columns_of_a_list(tmp_path):
    images = flat(tmp_path / "d", ["1.png", "2.png"])
    for text in (
        "id,filename,label\n2,1.png,cat\n1,2.png,dog",
        "filename,width,height,label\n1.png,640,480,cat\n2.png,2,1,dog",
        "file,label,split\n1.png,dog,train\n1.png,cat,test\n2.png,dog,test",
        'id;name;class\n7;"1.png";"cat"\n8;"2.png";"dog"',
    ):
        write(tmp_path / "d" / "labels.csv", text)
        assert said(tmp_path / "d", images) == ["cat", "dog"]
    write(tmp_path / "d" / "labels.csv", "1.png,small,brown\n2.png,large,grey")
    with pytest.raises(ConfigError, match="leaves open which of them is the class"):
        said(tmp_path / "d", images)


def test_a_sentence_is_no_class_that_it_begins_with(tmp_path):
    images = flat(tmp_path / "d", ["1.png"], labels=["1.png cat on a dog"])
    assert said(tmp_path / "d", images) == ["cat on a dog"]  # which training lacks
    images = flat(tmp_path / "e", ["1.png"], labels=["1.png cat 3 4.5 6 -1"])
    assert said(tmp_path / "e", images) == ["cat"]


def test_a_title_above_classes_is_none_of_them(tmp_path):
    images = flat(tmp_path / "d", ["1.png", "2.png"])
    write(tmp_path / "d" / "test_labels.csv", 'label\n"cat"\n"cat"\n')
    assert said(tmp_path / "d", images) == ["cat", "cat"]


def test_numbers_beside_a_class_are_no_part_of_it(tmp_path):
    images = flat(tmp_path / "d", ["1.png", "2.png"])
    write(tmp_path / "d" / "labels.csv", "filename,width,height,label\n1.png,1,2,3\n2.png,2,1,1\n")
    assert said(tmp_path / "d", images, classes=("1", "2", "3")) == ["3", "1"]
    write(tmp_path / "d" / "labels.csv", "1.png,1,2,3\n2.png,2,1,1\n")
    with pytest.raises(ConfigError, match="leaves open which of them is the class"):
        said(tmp_path / "d", images, classes=("1", "2", "3"))
    boxes = "file,class,xmin\n1.png,cat,1\n1.png,cat,7\n2.png,dog,1\n"
    write(tmp_path / "d" / "labels.csv", boxes)
    assert said(tmp_path / "d", images) == ["cat", "dog"]
