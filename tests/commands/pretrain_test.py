"""A run starts, or is refused before anything compiles; runs are in training/session_test."""

from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "want --distributed" in refused("pretrain", "--processes=2 --workdir={tmp}/x", tmp_path)
