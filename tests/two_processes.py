"""Two processes that are threads: what is gathered of one is gathered of both."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from m3i_jax.parallel import processes
from m3i_jax.types import Share

SECONDS = 120  # that one waits for the other


def as_two(monkeypatch, run):
    """[run(share of the first), run(share of the second)], which meet where they gather."""
    both, told, own = threading.Barrier(2), {}, threading.local()

    def gathered(rows):
        told[own.rank] = np.asarray(rows)
        both.wait(SECONDS)
        found = np.concatenate([told[0], told[1]])
        both.wait(SECONDS)  # before either tells something else
        return found

    def one(rank):
        own.rank = rank
        try:
            return run(Share((rank,), 2))
        except BaseException:
            both.abort()
            raise

    monkeypatch.setattr(processes, "gathered", gathered)
    monkeypatch.setattr(processes, "own_share", lambda: Share((own.rank,), 2))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, (0, 1)))
