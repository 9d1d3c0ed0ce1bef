"""Tables and pictures of cut encoders say the mean, the deviation and the range of draws."""

import numpy as np
import pytest

from m3i_jax.evaluation import tasks
from m3i_jax.evaluation.results import Result
from m3i_jax.studies import curves
from m3i_jax.studies.cuts import FIRST, SAMPLED, Cut, Point

(KNN,) = tasks.create([{"name": "knn"}])
VERSIONS = {"jax": "0.0", "device": "cpu"}


def point(curve, blocks, top1):
    counts = {"train": 40, "test": 20}
    result = Result({KNN.metric: top1}, "ema", 1, {}, counts, data="garments", versions=VERSIONS)
    return Point(Cut(curve, blocks, lambda: None), KNN, result)


@pytest.fixture
def points():
    draws = [point(SAMPLED, 2, x) for x in (0.2, 0.3, 0.4)]
    return [point(FIRST, 1, 0.5), point(FIRST, 2, 0.625), *draws]


def test_a_table_has_a_row_for_each_number_of_blocks(points):
    text = curves.markdown(points)
    assert "| 1 | 50.0 | – |" in text
    # The deviation of 20, 30 and 40 is 10.
    assert "| 2 | 62.5 | 30.0 ± 10.0 (20.0–40.0) |" in text
    assert "garments: 40 training and 20 test images; jax 0.0 on cpu." in text
    np.testing.assert_allclose(curves.values(points, SAMPLED, 2), [20, 30, 40])


def test_metres_are_said_to_three_digits():
    (depth,) = tasks.create([{"name": "depth"}])
    how = dict(counts={"test": 20}, data="rooms", versions=VERSIONS)
    found = [Result({depth.metric: x}, "ema", 1, {"train": 40}, **how) for x in (0.612, 0.634)]
    text = curves.markdown([Point(Cut(FIRST, 1, lambda: None), depth, one) for one in found])
    assert "**depth, metres**" in text
    # Half the difference, times √2.
    assert "| 1 | 0.623 ± 0.0156 (0.612–0.634) |" in text
    assert "rooms: 40 training and 20 test images" in text


def test_a_picture_is_written(points, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("curves.png", "curves.svg"):
        path = curves.plot(points, tmp_path / name, title="Cut")
        assert path.stat().st_size > 1000
    assert "sampled blocks" in path.read_text() or "<path" in path.read_text()
