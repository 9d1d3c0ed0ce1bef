"""A page needs a run; its content is in analysis/page_test."""

from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "has no metrics.jsonl" in refused("report", "--workdir={tmp}", tmp_path)
