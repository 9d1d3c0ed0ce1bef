"""A wrong start of `m3i embed` is one sentence; what it writes is in evaluation/embedding_test."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--model=pixels --data=digit_scenes", "--out is needed, and was not given"),
        ("--model=pixels --data=digit_scenes --out={tmp}/f.csv", "expected a file that ends in"),
        ("--model=a b --out={tmp}/f.npz", "of one model on one --data"),
        ("--model=pixels --out={tmp}/f.npz", "'pixels' is of no run"),
        ("--model=pixels --data=digit_scene --out={tmp}/f.npz", "did you mean 'digit_scenes'"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("embed", line, tmp_path)
