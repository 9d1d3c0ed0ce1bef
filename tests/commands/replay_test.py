"""A wrong start of `m3i replay` is one sentence; what it prints is in training/replay_test."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("", "takes one file, WORKDIR/skipped/step-"),
        ("{tmp}/step-00000001.json", "there is no file"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("replay", line, tmp_path)
