"""The order: what it has always been, and every record once an epoch."""

import grain
import pytest

from m3i_jax.data import order

# Records of samples 0, 1, 2, 3, 5, 8, 13, 10^6, 10^9: as of the first runs, which go on with them.
PLACES = (0, 1, 2, 3, 5, 8, 13, 10**6, 10**9)
GOLDEN = {
    (1, 0): [0] * 9,
    (7, 0): [0, 4, 6, 2, 3, 2, 3, 0, 0],
    (7, 2**32 - 1): [2, 1, 5, 3, 4, 4, 1, 6, 4],
    (1000, 5): [544, 964, 142, 679, 660, 121, 274, 390, 130],
    (442_000_000, 3): [417499353, 339913162, 413174779, 335588072, 110536245, 425853271, 60164779,
                       191778346, 352502466],
}  # fmt: skip


@pytest.mark.parametrize("length, seed", GOLDEN)
def test_the_order_of_a_source_is_that_of_the_first_runs(length, seed):
    record = order.order_of(range(length), seed=seed)
    assert [record(sample) for sample in PLACES] == GOLDEN[length, seed]
    peer = grain.MapDataset.range(length).shuffle(seed=seed).repeat()
    assert [peer[sample] for sample in PLACES] == GOLDEN[length, seed]


def test_every_record_once_an_epoch_and_each_of_them_as_often_as_is_asked():
    record = order.order_of(range(13), seed=2**32 - 1)
    epochs = [[record(13 * epoch + i) for i in range(13)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    thrice = order.Ordered([10 * i for i in range(13)], record, times=3)
    assert [thrice[i] for i in range(39)] == [10 * i for i in epochs[0] for _ in range(3)]
