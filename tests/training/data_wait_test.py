"""Waiting for data is said once, when it is more than a share of half a minute."""

import pytest

from m3i_jax.training import data_wait


@pytest.mark.parametrize("share, said", [(0.04, 0), (0.06, 1)])
def test_what_is_waited_is_said_once(share, said, caplog):
    look = data_wait.watch()
    for _ in range(9):  # 90 s in all: three spans
        look(10.0, 10 * share)
    messages = [r.message for r in caplog.records]
    assert len(messages) == said
    assert all(m.startswith("6 % of the time") and "decode=fast" in m for m in messages)


def test_a_short_wait_is_no_matter(caplog):
    look = data_wait.watch()
    look(20.0, 20.0)  # of a start
    look(1000.0, 1.0)
    assert not caplog.records
