"""Views by a config: their kinds, their fingerprints, and batches and passes of each."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.batches import batches
from m3i_jax.data.epoch import epoch
from m3i_jax.data.views import kinds
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.crops import Crops
from m3i_jax.data.views.person_crops import PersonCrops, person_box
from m3i_jax.data.views.scale_jitter import ScaleJitter

JITTER = dict(name="scale_jitter", base=(64, 48), width=40)


def test_a_block_without_a_name_is_of_random_resized_crops():
    assert kinds.of({"scale": (0.3, 1)}, size=8, views=("a",)) == Crops(8, (0.3, 1), views=("a",))
    assert kinds.of(JITTER, size=32, views=["a"]) == ScaleJitter(32, 40, (64, 48))
    person = kinds.of(dict(name="person", width=24), size=32, views=["a"])
    assert person == PersonCrops(32, 24) and person.shape == (32, 24)
    marks = [kinds.describe(kinds.of(block, size=32, views=["a"])) for block in
             ({}, JITTER, JITTER | {"flip": 0.0}, {"name": "person"})]  # fmt: skip
    assert len({str(mark) for mark in marks}) == 4
    assert marks[0]["transform"] == "TwoCrops"  # as it always was


def test_sides_are_those_of_the_views():
    for block in ({}, JITTER, dict(name="person"), dict(name="person", width=24)):
        views, sides = kinds.of(block, size=32, views=["a"]), kinds.sides(block, 32)
        assert sides == getattr(views, "shape", (32, 32))
    assert sides == (32, 24) and kinds.sides({}, 32, view="l0") == (96, 96)
    assert kinds.sides({"local_size": 48}, 32, view="l1") == (48, 48)


def test_what_is_no_kind_is_refused():
    with pytest.raises(
        ConfigError, match="config.crops 'scale_jiter'; did you mean 'scale_jitter'"
    ):
        kinds.of(dict(name="scale_jiter"), size=8, views=["a"])
    with pytest.raises(ConfigError, match="'person' makes no small crops, but 2 are looked at"):
        kinds.of(dict(name="person"), size=8, views=["a"], local=2)


@pytest.mark.parametrize("block", [JITTER, dict(name="person", width=40)])
def test_batches_have_views_that_are_not_square_and_their_annotations(block):
    pytest.importorskip("sklearn")
    source = data.source(dict(name="digit_scenes", length=12, dense=True), split="train")
    wanted = Wanted.of(source, "mask", "depth", "points")
    views = kinds.of(block, size=32, views=["a"])
    how = dict(batch=4, seed=3, crops=views, annotations=wanted)
    with batches(source, threads=2, **how) as stream:
        (first, state), (second, _) = next(stream), next(stream)
    said = first.annotations["a"]
    assert first.images["a"].shape == (4, 32, 40, 3) and said.mask.shape == (4, 32, 40)
    assert said.points.shape == (4, 5, 3) and said.box is None and all(said.present["depth"])
    shown = (said.mask > 0) & (said.mask < 255)
    assert shown.any() and (said.depth[shown] < 0.5).all()  # digits are that near
    with batches(source, start=state, **how) as stream:
        again, _ = next(stream)
    np.testing.assert_array_equal(again.images["a"], second.images["a"])
    np.testing.assert_array_equal(again.annotations["a"].points, second.annotations["a"].points)
    rows = next(iter(epoch(source, batch=5, size=(32, 40), frame=person_box, annotations=wanted)))
    assert rows.batch.images["a"].shape == (5, 32, 40, 3) and rows.real.all()
    centre = rows.batch.annotations["a"].points[:, 4, :2]
    assert np.abs(centre - [16, 20]).max() < 8  # a digit's box fills its view
