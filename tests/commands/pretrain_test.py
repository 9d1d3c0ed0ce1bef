"""A run starts, or is refused before anything compiles; runs are in training/session_test."""

from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "want --distributed" in refused("pretrain", "--processes=2 --workdir={tmp}/x", tmp_path)


def test_a_folder_and_a_config_are_two_wishes(tmp_path):
    both = refused("pretrain", "photos --config=digit_scenes/mae --workdir={tmp}/x", tmp_path)
    assert "give one of the two" in both
