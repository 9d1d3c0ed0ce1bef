"""Exact evaluation passes, on any hosts."""

import numpy as np
import pytest

from m3i_jax.data.epoch import UNKNOWN, epoch
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
    assert all(r.mask is None and r.batch.text is None for r in rows)


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_hosts_share_an_epoch(hosts):
    source, batch = Numbered(8), 6
    parts = [
        list(epoch(source, batch=batch, size=4, process_index=p, process_count=hosts, masks=True))
        for p in range(hosts)
    ]
    labels = [
        np.concatenate([part[step].batch.label for part in parts]).tolist() for step in range(2)
    ]
    assert labels == [list(range(6)), [6, 7, -1, -1, -1, -1]]
    assert all(len(part) == 2 for part in parts)
    last = parts[0][0]
    assert last.mask.shape == last.batch.images["a"].shape[:3]
    assert (last.mask[0] == 1).all()
    (rows,) = epoch(Ragged(2), batch=3, size=4, masks=True)  # of a source without masks
    assert (rows.mask == UNKNOWN).all()


def test_an_epoch_takes_the_sources_own_ratio():
    class Whole(Numbered):
        evaluation_ratio = 1.0

    (half,) = epoch(Numbered(2), batch=2, size=4, ratio=0.5)
    (whole,) = epoch(Whole(2), batch=2, size=4)
    assert whole.batch.boxes["a"][0, 2] == 9 and half.batch.boxes["a"][0, 2] == 4.5
