"""Records in the sizes that they have: each once over all processes, and back in its own pixels."""

import functools

import numpy as np
import pytest

from m3i_jax.data.originals import originals
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.unreadable import robust
from m3i_jax.data.views.whole_images import kept_ratio, restored
from m3i_jax.types import Share


class Scenes:
    """Images of sizes of their own, whose mask is a checkerboard; the fourth cannot be read."""

    name, classes = "scenes", ()

    def __len__(self):
        return 7

    def __getitem__(self, index):
        if index == 3:
            raise ValueError("broken")
        mask = np.kron(np.indices((4, 3 + index)).sum(0) % 2, np.ones((20, 20))).astype(np.uint8)
        return Sample(np.repeat(mask[..., None] * np.uint8(200), 3, 2), mask=mask)


def test_masks_come_back_to_the_pixels_of_their_images(caplog):
    cut = functools.partial(kept_ratio, base=(200, 60), multiple=8)
    seen = []
    for one in originals(robust(Scenes(), max_share=0.5), cut=cut, threads=3):
        assert not one.view.shape[0] % 8 and not one.view.shape[1] % 8
        back = restored(one.view[..., 0] > 99, one.box, one.sample.mask.shape) > 0.5
        assert (back == one.sample.mask).mean() > 0.93  # all but edges
        seen.append(one.number)
    assert seen == [0, 1, 2, 4, 5, 6] and "left out 1 of 7 records" in caplog.text


def test_processes_have_all_records_together():
    source = robust(Scenes(), max_share=0.5)
    parts = [[one.number for one in originals(source, share=Share((p,), 2))] for p in range(2)]
    assert parts == [[0, 2, 4, 6], [1, 5]]
    with pytest.raises(ValueError, match="broken"):
        list(originals(Scenes()))
