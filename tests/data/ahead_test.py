"""Results come in order, few of them wait, and an error forgets the rest."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from m3i_jax.data.ahead import ahead


def test_results_are_in_order_and_few_are_made_before_they_are_taken():
    started, lock = [], threading.Lock()

    def square(value):
        with lock:
            started.append(value)
        time.sleep(0.001 * (value % 3))
        return value**2

    with ThreadPoolExecutor(4) as pool:
        results = ahead(pool, square, range(50), most=5)
        assert next(results) == 0 and len(started) <= 6
        assert list(results) == [value**2 for value in range(1, 50)]


def test_an_error_comes_in_its_place_and_what_is_behind_it_is_forgotten():
    called = []

    def fail(value):
        called.append(value)
        return 1 / (value - 3)

    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, fail, range(1000), most=2)
        with pytest.raises(ZeroDivisionError):
            list(results)
    assert len(called) <= 8
