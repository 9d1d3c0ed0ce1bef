"""A plan is printed, or refused in a sentence."""

from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "--devices is 0" in refused("plan", "--devices=0", tmp_path)
