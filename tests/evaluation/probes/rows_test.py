"""Rows that learn and rows that choose are all rows, each once."""

import pytest

from m3i_jax.evaluation.probes.rows import split


@pytest.mark.parametrize("count, held", [(150, 15), (2, 1), (19, 1), (20, 2)])
def test_a_tenth_chooses_and_the_rest_learns(count, held):
    learn, choose = split(count, choose="held_out", seed=3)
    assert len(choose) == held and sorted([*learn, *choose]) == list(range(count))
    assert choose.tolist() == split(count, choose="held_out", seed=3)[1].tolist()


def test_the_papers_choice_leaves_all_rows_to_learn():
    learn, choose = split(150, choose="test", seed=0)
    assert learn.tolist() == list(range(150)) and not len(choose)
