"""The tables of strengths are whole, and what is said to be worse is."""

import numpy as np
import pytest
import skimage.data
import skimage.transform

from m3i_jax.evaluation import corruptions
from m3i_jax.evaluation.corruptions.strengths import TABLES, chosen

UNEVEN = {"saturate", "elastic_transform", "glass_blur", "fog", "spatter"}
GROWING = set(corruptions.CORRUPTIONS) - UNEVEN


def cat(side):
    image = skimage.transform.resize(
        skimage.data.cat()[:, 60:360], (side, side), anti_aliasing=True
    )
    return np.rint(255 * image).astype(np.uint8)[None]


def test_every_corruption_has_five_strengths_in_both_tables():
    for table in TABLES.values():
        assert table.keys() == corruptions.CORRUPTIONS.keys()
        assert all(len(strengths) == 5 for strengths in table.values())
    assert TABLES["imagenet"]["elastic_transform"][0][0] * 224 == pytest.approx(488)
    zooms = [len(factors) for (factors,) in TABLES["imagenet"]["zoom_blur"]]
    assert zooms == [12, 16, 11, 13, 11]


def test_small_images_take_the_strengths_of_cifar():
    assert [chosen(side) for side in (28, 32, 64, 96, 224)] == ["cifar"] * 3 + ["imagenet"] * 2


@pytest.mark.parametrize("table, side", [("imagenet", 112), ("cifar", 32)])
def test_each_severity_is_worse_than_the_one_before(table, side):
    clean = cat(side)
    for name in sorted(GROWING):
        far = []
        for severity in corruptions.SEVERITIES:
            how = dict(name=name, severity=severity, table=table)
            made = [corruptions.corrupted(clean, np.array([i]), **how) for i in range(3)]
            far.append(np.mean([np.abs(x - clean.astype(float)).mean() for x in made]))
        assert np.all(np.diff(far) > 0) or name == "snow", (name, far)
        assert far[-1] > far[0] > 0
