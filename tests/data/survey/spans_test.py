"""Spans of numbers, and of none."""

from m3i_jax.data.survey.spans import span


def test_spans():
    assert span([5, 1, 3, 2]) == (1.0, 2.5, 5.0)
    assert span([]) == (0.0, 0.0, 0.0)
