"""Files of objects: what is taken, what is left out and counted, what is the truth."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import object_files, outlines, sample_objects
from tests.data.sources.dense_files import written

SQUARE = [[2, 1, 6, 1, 6, 5, 2, 5]]  # x, y
RUNS = {"size": [10, 20], "counts": [0, 5, 195]}


def thing(number, image=7, category=3, box=(2, 1, 4, 4), **more):
    head = dict(id=number, image_id=image, category_id=category, bbox=[*box], iscrowd=0)
    return head | dict(area=16.5, segmentation=SQUARE) | more


def content(things, **image):
    images = [
        dict(id=9, file_name="9.png", height=10, width=20),
        dict(id=7, file_name="7.png", height=10, width=20) | image,
        dict(id=8, file_name="8.png", height=10, width=20),
    ]
    names = [dict(id=5, name="dog", frequency="c"), dict(id=3, name="cat", frequency="f")]
    return dict(images=images, annotations=things, categories=names)


THINGS = [
    thing(1), thing(2, 9, 5, (-1, 2, 4, 30), segmentation=[]),
    thing(3, iscrowd=1, segmentation=RUNS), thing(4, 6), thing(5, box=(20, 1, 4, 4)),
    thing(6, box=(1, 1, 0, 4)), thing(7, segmentation=[[1, 2, 3, 4]]),
    thing(8, segmentation=RUNS | {"size": [20, 10]}), thing(9, 7, 5, (0, 0, 20, 10)),
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    said = content(THINGS, neg_category_ids=[5], not_exhaustive_category_ids=[3, 5])
    return written(tmp_path / "a.json", said)


def test_objects_of_images(file):
    said = object_files.read(file)
    assert said.kinds == object_files.Kinds(("cat", "dog"), (3, 5), ("f", "c"))
    assert said.pictures.number.tolist() == [9, 7, 8]
    assert said.pictures.negative == ((), (1,), ()) and said.pictures.not_exhaustive[1] == (0, 1)
    assert said.left_out == {
        "of images that are not listed": 1, "without a box in their image": 2,
        "with a broken outline": 2,
    }  # fmt: skip
    nine, seven, eight = (said.of(n) for n in range(3))
    for one in (nine, seven, eight):
        sample_objects.checked(one, 10, 20)
    np.testing.assert_array_equal(nine.corners, [[2, 0, 10, 3]])
    assert nine.outlines is None and nine.categories.tolist() == [1]
    np.testing.assert_array_equal(seven.corners, [[1, 2, 5, 6]] * 2 + [[0, 0, 10, 20]])
    assert seven.categories.tolist() == [0, 0, 1] and seven.crowd.tolist() == [False, True, False]
    assert seven.area.tolist() == [16.5] * 3 and len(eight.corners) == 0
    np.testing.assert_array_equal(seven.outlines[0][0], [[1, 2], [1, 6], [5, 6], [5, 2]])
    np.testing.assert_array_equal(np.nonzero(outlines.decoded(seven.outlines[1]))[0], range(5))
    assert len(seven.outlines[2]) == 1


def test_areas_that_nobody_says(tmp_path):
    bare = [{k: v for k, v in thing(1).items() if k != "area"} | dict(segmentation=s, id=n)
            for n, s in enumerate((SQUARE, RUNS, [], None))]  # fmt: skip
    bare[3] |= dict(bbox=[0, 0, 3, 2], area=None)
    said = object_files.read(written(tmp_path / "a.json", content(bare)))
    assert said.of(1).area.tolist() == [16, 5, 16, 6]
    assert said.kinds.frequency and said.left_out == {}


def test_the_truth_is_all_of_the_file_as_it_is(file):
    truth = object_files.truth(file)
    assert truth.image.tolist() == [7, 9, 7, 6, 7, 7, 7, 7, 7]
    np.testing.assert_array_equal(truth.corners[1], [2, -1, 32, 3])
    assert truth.category.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 1] and truth.crowd.sum() == 1
    assert truth.outlines[0] == SQUARE and truth.outlines[1] is None and truth.outlines[2] == RUNS
    assert truth.area.tolist() == [16.5] * 9


def test_what_cannot_be_compared_is_no_truth_that_breaks_a_measure(tmp_path):
    flat, text = [1, 2, 3, 4, 5, 6], [["1", "2", "3", "4", "5", "6"]]
    things = [thing(n, segmentation=one) for n, one in enumerate((flat, text, SQUARE))]
    things += [thing(3, segmentation=RUNS | {"size": [20, 10]}), thing(4, box=(6, 1, -4, 4))]
    file = written(tmp_path / "a.json", content(things))
    truth = object_files.truth(file)
    assert truth.outlines == (None, None, SQUARE, None, SQUARE)
    np.testing.assert_array_equal(truth.corners[4], [1, 6, 5, 6])
    assert object_files.read(file).left_out == {
        "with a broken outline": 3, "without a box in their image": 1,
    }  # fmt: skip


def test_rare_categories_are_shown_more_often(tmp_path):
    things = [thing(n, 7) for n in range(3)] + [thing(3, 9), thing(4, 9, 5)]
    said = object_files.read(written(tmp_path / "a.json", content(things)))
    # Of three images two have cats, one a dog.
    every = np.arange(3)
    often = object_files.repeats(said, shown=every, threshold=0.5)
    np.testing.assert_allclose(often, [np.sqrt(0.5 / (1 / 3)), 1, 1])
    often = object_files.repeats(said, shown=every[:2], threshold=0.8)
    np.testing.assert_allclose(often, [np.sqrt(0.8 / (1 / 2)), 1])  # of two images
    np.testing.assert_array_equal(object_files.repeats(said, shown=every, threshold=0.001), 1)
    assert object_files.image_counts(said).tolist() == [2, 1]


def test_many_objects_are_the_same_as_few(tmp_path):
    rng = np.random.default_rng(0)
    things = [
        thing(n, int(rng.choice([9, 7])), segmentation=(rng.random((1 + n % 3, 8)) * 9).tolist())
        for n in range(50)
    ]
    said = object_files.read(written(tmp_path / "a.json", content(things)))
    for place, image in enumerate((9, 7)):
        own = [one for one in things if one["image_id"] == image]
        for got, one in zip(said.of(place).outlines, own, strict=True):
            wanted = outlines.of_coco(one["segmentation"])
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize(
    "changed, why",
    [
        (dict(annotations=3), "COCO's objects: its 'annotations' are no list of objects of JSON"),
        (dict(images=["7.png"]), "its 'images' are no list of objects of JSON"),
        (dict(annotations=[thing(1, category=4)]), "annotation 1: it has category 4, which is not"),
        (dict(annotations=[thing(6, box=(1, 2, "x", 4))]), "annotation 6: 'x' is no number"),
        (dict(annotations=[thing(1, box=(1, 2, 3))]), r"its bbox is \[1, 2, 3\], expected left"),
        (dict(annotations=[thing(1, image="7")]), "annotation 1: '7' is no whole number"),
        (dict(annotations=[thing(1, image=7.0)]), "annotation 1: 7.0 is no whole number"),
        (dict(annotations=[thing(1, iscrowd="0")]), "annotation 1: '0' is neither 0 nor 1"),
        (dict(annotations=[{"id": 5, "image_id": 7}]), "annotation 5: it lacks 'bbox'"),
        (dict(categories=[dict(id=3, name="a")] * 2), "two of its categories have the same id"),
        (dict(categories=[dict(id=3.0, name="a")]), "3.0 is no whole number"),
        (dict(images=[dict(id=1, file_name="a", height=1, width=1)] * 2), "two of its images"),
        (dict(images=[dict(id=1, file_name="../a", height=1, width=1)]), "no name of an image"),
        (dict(images=[dict(id=1, file_name="a", width=1)]), "it lacks 'height'"),
    ],
)
def test_other_files_are_refused(tmp_path, changed, why):
    file = written(tmp_path / "a.json", content([]) | changed)
    with pytest.raises(ConfigError, match=why):
        object_files.read(file)


def test_a_list_is_no_file_of_objects(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("[]")
    with pytest.raises(ConfigError, match="it is no object of JSON with 'images' in it"):
        object_files.read(file)


def test_a_truth_of_another_form_is_refused(tmp_path):
    file = written(tmp_path / "a.json", content([thing(1, category=4)]))
    with pytest.raises(ConfigError, match="no file of COCO's objects: it has category 4"):
        object_files.truth(file)
