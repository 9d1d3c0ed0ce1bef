"""Exact evaluation passes, on any hosts."""

import numpy as np
import pytest

from m3i_jax.data.epoch import epoch
from m3i_jax.data.views.annotated import UNKNOWN, Wanted
from m3i_jax.data.views.whole_images import padded
from m3i_jax.types import Share
from tests.data.numbered import Numbered, Ragged


def test_an_epoch_takes_images_of_any_size():
    rows = list(epoch(Ragged(7), batch=3, size=4))
    assert [r.batch.images["a"].shape for r in rows] == [(3, 4, 4, 3)] * 3
    labels = np.concatenate([r.batch.label for r in rows])
    assert labels.tolist() == [*range(7), -1, -1]


@pytest.mark.parametrize("length", range(1, 10))
@pytest.mark.parametrize("batch", range(1, 5))
def test_an_epoch_is_exact(length, batch):
    rows = list(epoch(Numbered(length), batch=batch, size=4, threads=1))
    assert len(rows) == -(-length // batch)
    assert all(r.real.shape == r.batch.label.shape == (batch,) for r in rows)
    real = np.concatenate([r.real for r in rows])
    labels = np.concatenate([r.batch.label for r in rows])
    assert real.sum() == length and labels[real].tolist() == list(range(length))
    assert (labels[~real] == -1).all() and real[:length].all()
    assert all(r.batch.annotations is None and r.batch.text is None for r in rows)


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_hosts_share_an_epoch(hosts):
    source, options = Numbered(8), dict(batch=6, size=4, annotations=Wanted(["mask"]))
    parts = [list(epoch(source, share=Share((p,), hosts), **options)) for p in range(hosts)]
    labels = [
        np.concatenate([part[step].batch.label for part in parts]).tolist() for step in range(2)
    ]
    assert labels == [list(range(6)), [6, 7, -1, -1, -1, -1]]
    assert all(len(part) == 2 for part in parts)
    assert labels_of_masks(parts, step=1) == [7, 8, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]


def labels_of_masks(parts, step):
    said = [part[step].batch.annotations["a"] for part in parts]
    masks = np.concatenate([one.mask for one in said])
    assert masks.shape[1:] == (4, 4) and (masks == masks[:, :1, :1]).all()
    present = np.concatenate([one.present["mask"] for one in said])
    np.testing.assert_array_equal(present, masks[:, 0, 0] != UNKNOWN)
    return masks[:, 0, 0].tolist()


def test_an_absent_mask_is_no_background_and_a_view_may_be_made_otherwise():
    wanted = Wanted(["mask", "box"])
    (rows,) = epoch(Ragged(2), batch=3, size=4, annotations=wanted)
    said = rows.batch.annotations["a"]
    assert (said.mask == UNKNOWN).all() and not said.box.any() and said.depth is None
    assert not said.present["mask"].any() and not said.present["box"].any()
    (rows,) = epoch(Numbered(1), batch=1, size=4, annotations=wanted, cut=padded)
    below = [UNKNOWN] * 4  # of 9 x 12 pixels
    assert rows.batch.annotations["a"].mask[0].tolist() == [[1] * 4] * 3 + [below]
    assert not rows.batch.images["a"][0, 3].any() and rows.batch.images["a"][0, 2].any()


def test_an_epoch_takes_the_sources_own_ratio():
    class Whole(Numbered):
        evaluation_ratio = 1.0

    (half,) = epoch(Numbered(2), batch=2, size=4, ratio=0.5)
    (whole,) = epoch(Whole(2), batch=2, size=4)
    assert whole.batch.boxes["a"][0, 2] == 9 and half.batch.boxes["a"][0, 2] == 4.5
