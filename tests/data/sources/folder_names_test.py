"""Names of splits and of what a system keeps for itself."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import folder_names
from m3i_jax.data.sources.protocol import NoSplit


def test_system_names_are_known_whatever_the_case():
    kept = "@eaDir @EADIR #recycle $RECYCLE.BIN lost+found __MACOSX .DS_Store ._a.jpg Thumbs.db "
    kept += (
        "thumbs.DB .ipynb_checkpoints .Trash-1000 @Recycle #snapshot desktop.ini ~$a.jpg found.000"
    )
    for name in [*kept.split(), "System Volume Information", "Icon\r"]:
        assert folder_names.is_system(name), name
    for name in "@me #1 $5 lost found recycle cat thumbs macosx a.b~".split():
        assert not folder_names.is_system(name), name


def made(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    "train,test", [("Train", "Test"), ("TRAIN", "VAL"), ("training_set", "test_set")]
)
def test_each_split_is_found(tmp_path, train, test):
    made(tmp_path, train, test, "@eaDir", ".cache")
    assert folder_names.candidates(tmp_path, "train") == [tmp_path / train]
    assert folder_names.candidates(tmp_path, "test") == [tmp_path / test]
    assert folder_names.candidates(tmp_path, None) == [tmp_path]


def test_a_split_may_be_packed_twice_and_imagenet_lies_deep(tmp_path):
    made(tmp_path / "a", "train/Train/cat", "val", "test")
    assert folder_names.candidates(tmp_path / "a", "train") == [tmp_path / "a/train/Train"]
    tests = [tmp_path / "a/test", tmp_path / "a/val"]
    assert folder_names.candidates(tmp_path / "a", "test") == tests
    inner = made(tmp_path / "b", "ILSVRC/Data/CLS-LOC/train") / "ILSVRC/Data/CLS-LOC/train"
    assert folder_names.candidates(tmp_path / "b", "train") == [inner]
    assert folder_names.candidates(tmp_path / "b/ILSVRC", "train") == [inner]


@pytest.mark.parametrize(
    "names", [("Train", "train"), ("train", "training"), ("val2014", "val2017")]
)
def test_two_of_a_kind_are_refused(tmp_path, names):
    made(tmp_path, *names)
    both = "'{}' and '{}'".format(*sorted(names))
    for split in ("train", "test"):
        with pytest.raises(ConfigError, match=both):
            folder_names.candidates(tmp_path, split)


def test_what_is_there_instead_is_said(tmp_path):
    made(tmp_path, "Train", "cat")
    with pytest.raises(NoSplit, match="no test split: looked for test, val .*; it has 'Train'"):
        folder_names.candidates(tmp_path, "test")
    assert folder_names.candidates(tmp_path / "cat", "train") == [tmp_path / "cat"]
    made(tmp_path / "only", "testing")
    with pytest.raises(NoSplit, match="no train split.*'testing'"):
        folder_names.candidates(tmp_path / "only", "train")


def test_a_train_is_a_class_only_among_others_within_a_split(tmp_path):
    folder_names.not_splits({"bus": (), "train": ()}, tmp_path, inside=True)
    for names, inside in [(["bus", "train"], False), (["cat", "test"], True), (["train"], True)]:
        with pytest.raises(ConfigError, match=f"'{names[-1]}', which looks like a split"):
            folder_names.not_splits(dict.fromkeys(names, ()), tmp_path, inside=inside)


@pytest.mark.parametrize(
    "train, test",
    [
        ("seg_train", "seg_test"),
        ("trainA", "testA"),
        ("segTrain", "segTest"),
        ("1_train", "2_test"),
        ("train (1)", "val (1)"),
        ("x-train", "x-val"),
    ],
)
def test_splits_are_found_by_the_word_in_which_names_differ(train, test, tmp_path):
    for name in (train, test, "readme"):
        (tmp_path / name).mkdir()
    found = folder_names.splits(tmp_path)
    assert {path.name for path in found.values()} == {train, test}
    assert folder_names.candidates(tmp_path, "train") == [tmp_path / train]


@pytest.mark.parametrize(
    "name", ["@__thumb", "@appstore", "@SynoDrive", "#SynoRecycle", "SYNO@.fileindexdb", "$Extend"]
)
def test_further_boxes_and_systems_are_known(name):
    assert folder_names.is_system(name)
    assert not any(map(folder_names.is_system, ("#1.jpg", "$5.jpg")))


def test_a_link_to_the_training_split_is_no_test_split(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "val").symlink_to(tmp_path / "train")
    for split in ("train", "test"):
        with pytest.raises(ConfigError, match="train' and '.*val' are one folder; what is"):
            folder_names.candidates(tmp_path, split)
    (tmp_path / "val").unlink()
    (tmp_path / "elsewhere" / "cat").mkdir(parents=True)
    (tmp_path / "val").symlink_to(tmp_path / "elsewhere")  # a link beside its folder is a split
    assert folder_names.candidates(tmp_path, "test") == [tmp_path / "val"]


@pytest.mark.parametrize(
    "train,test", [("Trainingsdaten", "Testdaten"), ("训练集", "测试集"), ("обучение", "тест")]
)
def test_splits_in_other_languages_are_found(tmp_path, train, test):
    made(tmp_path, train, test)
    assert folder_names.candidates(tmp_path, "train") == [tmp_path / train]
    assert folder_names.candidates(tmp_path, "test") == [tmp_path / test]


@pytest.mark.parametrize(
    "names",
    [
        "trainA trainB testA testB",
        "x_train x_test y_train y_val",
        "usTrain usTest eu_train eu_test",
    ],
)
def test_splits_of_several_data_sets_are_no_classes(tmp_path, names):
    made(tmp_path, *names.split())
    for split in ("train", "test"):
        with pytest.raises(ConfigError, match="holds the splits of several data sets"):
            folder_names.candidates(tmp_path, split)


@pytest.mark.parametrize(
    "names, train, test",
    [
        ("train-other-500 test-clean", "train-other-500", "test-clean"),
        ("clean-test other_train_500 readme", "other_train_500", "clean-test"),
        ("trainval test-dev2017", "trainval", "test-dev2017"),
        ("train test-clean", "train", "test-clean"),
        ("train test-clean test-other", "train", "of 'test-clean' and 'test-other' call one test"),
        ("train val test_public test_private", "train", "val"),
        (
            "dev-clean test-clean",
            "no train split.*it has 'dev-clean' and",
            "test-clean",
        ),
        (
            "train-clean-100 train-clean-360 test-clean",
            "two .*'train-clean-100' and",
            "two folders",
        ),
        (
            "train-clean-100 train-other-500 test-other",
            "two .*'train-clean-100' and",
            "two folders",
        ),
        ("train-station test-tube", "", "no test split"),  # as likely classes, see below
        ("train-clean bus-clean", "", "no test split"),
    ],
)
def test_splits_with_further_words_are_found_or_refused(names, train, test, tmp_path):
    made(tmp_path, *names.split())
    for split, what in (("train", train), ("test", test)):
        if not what or (tmp_path / what).is_dir():
            assert folder_names.candidates(tmp_path, split)[0] == tmp_path / what
        else:
            with pytest.raises(ConfigError, match=what):
                folder_names.candidates(tmp_path, split)


@pytest.mark.parametrize(
    "names, sentence",
    [
        ("train-station test-tube", "'train-station' and 'test-tube', which may be splits or cl"),
        ("bird_train cat_test", "which may be splits or classes; call splits train and test"),
        ("train-a train-b", "'train-a' and 'train-b', which looks like a split"),
        ("train-clean cat", "'train-clean', which looks like a split .* beside cat"),
        ("train val", "holds the splits 'train' and 'val'; give it as config.data.root"),
        ("train-station bus-station", None),
        ("train-station test-tube cat", None),
        ("train-real train-toy bus-real bus-toy", None),
        ("train-station train-driver", None),
    ],
)
def test_classes_that_begin_as_splits_do_are_classes_where_nothing_else_is_meant(
    names, sentence, tmp_path
):
    inner = dict.fromkeys(names.split(), ())
    folder_names.not_splits(inner, tmp_path, inside=False, known=inner)
    if "val" not in inner:
        folder_names.not_splits(inner, tmp_path, inside=True)
    if sentence is None:
        return folder_names.not_splits(inner, tmp_path, inside=False)
    with pytest.raises(ConfigError, match=sentence):
        folder_names.not_splits(inner, tmp_path, inside=False)
