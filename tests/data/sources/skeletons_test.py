"""Key points of people, by name: sides that change places, and lines between what is there."""

import pytest

from m3i_jax.data.sources.skeletons import COCO, CROWDPOSE, STROKES, sides


@pytest.mark.parametrize("skeleton, count", [(COCO, 17), (CROWDPOSE, 14), (STROKES, 5)])
def test_points_have_names_and_a_mirror_image_twice_is_none(skeleton, count):
    names, swapped, bones, upper = skeleton
    assert len({*names}) == count
    both = [n for pair in swapped for n in pair]
    assert len({*both}) == len(both)  # nobody changes places twice
    for one, other in swapped:
        assert names[one].replace("left", "") == names[other].replace("right", "")
    alone = {names[n] for n in range(count) if n not in both}
    assert not any("left" in name or "right" in name for name in alone)
    assert {n for bone in bones for n in bone} == {*range(count)} and {*upper} < {*range(count)}


def test_sides_are_found_by_name():
    assert sides(("tail", "right_ear", "left_ear", "left_out")) == ((2, 1),)
    assert {COCO.names[n] for n in COCO.upper} & {"left_hip", "left_knee"} == set()
