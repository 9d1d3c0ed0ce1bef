"""Parts hold each record once, in an order that a seed alone decides."""

import numpy as np
import pytest

from m3i_jax.data.prepare.parts import parts


@pytest.mark.parametrize("total, count", [(10, 3), (3, 10), (1, 1), (1000, 7)])
@pytest.mark.parametrize("seed", [None, 5])
def test_each_record_is_in_one_part(total, count, seed):
    cut = parts("train", range(total), count=count, seed=seed)
    order = np.concatenate([part.indices for part in cut])
    assert sorted(order) == list(range(total)) and len(cut) == min(count, total)
    sizes = [len(part.indices) for part in cut]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert [part.first for part in cut] == np.cumsum([0, *sizes[:-1]]).tolist()
    again = parts("train", range(total), count=1, seed=seed)[0].indices
    assert (order == again).all() and (seed is not None or (order == np.arange(total)).all())
    assert cut[0].name == f"train-00000-of-{len(cut):05d}"
