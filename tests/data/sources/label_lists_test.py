"""Columns of lists: which cells name an image and which its class."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import label_lists

CLASSES = ("cat", "dog", "sea lion", "lion, brown")
STEMS = {"a", "b", "c d", "1", "2", "x.1"}


def pairs(text, path, classes=CLASSES):
    found = label_lists.pairs(text, STEMS, path, meant=lambda c: c if c in classes else None)
    return [(label_lists.stem(name, STEMS), cell) for name, cell in found if "/" not in name]


READ = {
    "spaces": "a.png cat\nb.png sea lion",
    "tabs": "a.png\tcat\nb.png\tsea lion",
    "commas": "a.png,cat\nb.png,sea lion",
    "semicolons": "a.png;cat\nb.png;sea lion",
    "bars": "a.png | cat\nb.png | sea lion",
    "quotes": '"a.png","cat"\r\n"b.png","sea lion"\r\n',
    "quotes and spaces": '"a.png" "cat"\n"b.png" "sea lion"',
    "Excel": "sep=;\nfilename;label\na.png;cat\nb.png;sea lion",
    "id, filename, label": "id,filename,label\n2,a.png,cat\n1,b.png,sea lion",
    "label first": "label,filename\ncat,a.png\nsea lion,b.png",
    "sizes": "filename,width,height,label\na.png,640,480,cat\nb.png,32,32,sea lion",
    "sizes behind": "filename,label,width\na.png,cat,1\nb.png,sea lion,2",
    "sizes without a header": "a.png,640,480,cat\nb.png,32,32,sea lion",
    "sizes and spaces": "a.png 640 480 cat\nb.png 32 32 sealion",
    "a header and spaces": "filename width label\na.png 640 cat\nb.png 32 sealion",
    "pandas": ",image,target\n0,b.png,sea lion\n1,a.png,cat",
    "number and name": "Image Name,Class ID,Class Name\na.png,0,cat\nb.png,7,sea lion",
    "a column of ours": "file,label,animal\na.png,0,cat\nb.png,1,sea lion",
    "wnid": "file,class,wnid,x\na.png,Hauskatze,cat,1\nb.png,Robbe,sea lion,1",
    "twice": "file,label,class\na.png,cat,cat\nb.png,sea lion,sea lion",
    "predicted": "file,predicted,label\na.png,dog,cat\nb.png,cat,sea lion",
    "foreign header": "Kennung,Foto,Sorte\n7,a.png,cat\n8,b.png,sea lion",
    "quoted marks": 'path,label\n"x,y/a.png",cat\nb.png,"sea lion"',
    "backslashes": "label,path\ncat,val\\a.png\nsea lion,.\\b.png",
    "empty lines": "\n\na.png,cat\n\n,\nb.png,sea lion\n",
    "full-width commas": "a.png，cat\nb.png，sea lion",
    "commas of lists": "a.png、cat\nb.png、sea lion",
    "full-width semicolons": "a.png； cat\nb.png； sea lion",
    "colons": "a.png: cat\nb.png: sea lion",
    "colons apart": "a.png : cat\nb.png : sea lion",
    "full-width colons": "a.png：cat\nb.png：sea lion",
    "a drive, a colon and backslashes": "C:\\x\\a.png, cat\nC:\\x\\b.png, sea lion",
    "quoted, as YAML has it": '"a.png": "cat"\n"b.png": "sea lion"',
    "equals signs": "a.png = cat\nb.png = sea lion",
    "arrows": "a.png -> cat\nb.png -> sea lion",
    "other arrows": "a.png→cat\nb.png => sea lion",
    "marks of another kind in it": "a.png;cat\nb.png;sea lion",
    "more images": "zz.png,dog,1\na.png,cat,1\nb.png,sea lion,1\nyy.png,dog,1",
}


@pytest.mark.parametrize("kind", READ)
def test_the_class_is_found_in_whichever_column_it_stands(kind, tmp_path):
    found = pairs(READ[kind].replace("sealion", "dog"), tmp_path / "val.csv")
    want = "dog" if "sealion" in READ[kind] else "sea lion"
    about = {name: cell for name, cell in found if name in STEMS}
    about |= {n: c for n, c in found if n == "a"}
    if "backslashes" in kind or "quoted marks" in kind:  # with their folders
        rows = label_lists.pairs(READ[kind], STEMS, tmp_path, meant=lambda c: None)
        about = {label_lists.stem(name, STEMS): cell for name, cell in rows}
    assert {name: cell.strip('"') for name, cell in about.items()} == {"a": "cat", "b": want}


SPACES = {
    "quoted": '"c d.png",dog',
    "quoted with spaces": '"c d.png" dog',
    "in a column": "c d.png,dog",
    "between spaces": "c d.png dog",
    "without a suffix": "c d dog",
}


@pytest.mark.parametrize("kind", SPACES)
def test_names_of_images_may_have_spaces(kind, tmp_path):
    assert pairs(SPACES[kind] + "\n", tmp_path / "val.txt") == [("c d", "dog")]


def test_names_may_have_dots_and_classes_commas(tmp_path):
    assert pairs("x.1 dog", tmp_path) == pairs("x.1.png dog", tmp_path) == [("x.1", "dog")]
    assert pairs("a.png,lion, brown\nb.png,cat", tmp_path) == [("a", "lion, brown"), ("b", "cat")]
    assert pairs("a.png lion, brown", tmp_path) == [("a", "lion, brown")]


def test_a_column_of_splits_is_a_folder(tmp_path):
    text = "file,label,data set\n1.png,cat,train\n1.png,dog,valid\n2.png,cat,test\n"
    found = label_lists.pairs(text, STEMS, tmp_path, meant=lambda c: None)
    assert found == [("train/1.png", "cat"), ("valid/1.png", "dog"), ("test/2.png", "cat")]


OPEN = {
    "two of words": "a.png,brown,small\nb.png,grey,large",
    "two of numbers": "a.png,1,7\nb.png,2,9",
    "two that are classes": "a.png,cat,dog\nb.png,dog,cat",
    "one-hot": "image,cat,dog\na.png,1,0\nb.png,0,1",
    "two of one name": "file,species,breed\na.png,wolf,grey\nb.png,fox,red",
    "numbers and spaces": "a.png 3 4 5\nb.png 6 7 8",
}


@pytest.mark.parametrize("kind", OPEN)
def test_what_is_left_open_is_refused(kind, tmp_path):
    with pytest.raises(ConfigError, match="leaves open which of them is the class; call one"):
        pairs(OPEN[kind], tmp_path / "val.csv")


def test_lists_of_other_images_have_no_pairs(tmp_path):
    for text in ("", "\n", "zz.png,cat", "one caption of a.png", "cat\ndog\n", "sep=;", '"'):
        assert pairs(text, tmp_path) == []


@pytest.mark.parametrize("line", ["a.png~cat", "val/a.png#cat", "a.png…cat"])
def test_a_list_that_cannot_be_read_is_refused_with_its_line(line, tmp_path):
    with pytest.raises(ConfigError, match="has the line 2, .*, which names an image") as it:
        pairs(f"# ours\n\n{line}\nb.png~dog", tmp_path / "val.txt")
    assert repr(line) in str(it.value)


def test_numbers_of_rows_are_no_images_where_names_are_there(tmp_path):
    text = "id,filename,label\n1,2.png,cat\n2,1.png,dog"
    assert pairs(text, tmp_path) == [("2", "cat"), ("1", "dog")]
    assert pairs("id,breed\n1,cat\n2,dog", tmp_path) == [("1", "cat"), ("2", "dog")]
    assert pairs("id,image,label\n1,2,cat\n2,1,dog", tmp_path) == [("2", "cat"), ("1", "dog")]


def test_broken_tables_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no list of labels"):
        pairs('a.png,"' + "x" * 200_000 + '"', tmp_path)
