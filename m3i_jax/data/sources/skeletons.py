"""How key points are called, which change places in a mirror image, and which are joined by a line.

COCO's: https://cocodataset.org/#format-data. CrowdPose's: Li et al. 2019,
https://arxiv.org/abs/1812.00324, in the order of its annotation files.
"""

from typing import NamedTuple

Pairs = tuple[tuple[int, int], ...]


class Skeleton(NamedTuple):
    """What is known of the K key points of a data set, beside where they are.

    names: of the points, in their order.
    swapped: numbers of points that change places in a mirror image, as left and right eye.
    bones: numbers of points that a drawing joins.
    upper: numbers of the points of the upper body; () = a body has no halves.
    """

    names: tuple[str, ...]
    swapped: Pairs = ()
    bones: Pairs = ()
    upper: tuple[int, ...] = ()


def sides(names: tuple[str, ...]) -> Pairs:
    """Points that are called alike but for the word left or right, as left_eye and right_eye."""
    number = {name: n for n, name in enumerate(names)}
    others = [(n, number.get(name.replace("left", "right"))) for name, n in number.items()]
    return tuple((n, other) for n, other in others if other not in (None, n))


_COCO = tuple(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle".split()
)
COCO = Skeleton(
    _COCO,
    sides(_COCO),
    (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
        *((6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    tuple(range(11)),
)

_CROWD = tuple(
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip "
    "left_knee right_knee left_ankle right_ankle head neck".split()
)
CROWDPOSE = Skeleton(
    _CROWD,
    sides(_CROWD),
    (
        *((10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 1), (0, 2), (1, 3)),
        *((2, 4), (3, 5), (12, 13), (1, 13), (0, 13)),
    ),
    (*range(6), 12, 13),
)

# Of the strokes of a digit: where the pen is uppermost, lowest, leftmost, rightmost; its middle.
STROKES = Skeleton(
    ("top", "bottom", "left", "right", "centre"), ((2, 3),), ((0, 4), (1, 4), (2, 4), (3, 4))
)
