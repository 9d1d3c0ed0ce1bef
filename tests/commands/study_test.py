"""A study starts with what it needs, or says what is missing."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--forms=k,m", "there is no case 'm' to compare"),
        ("--table_only --workdir={tmp}", "has no results of an ablation"),
        ("--docs={tmp}/ablation.md", "which is no file"),
        ("--docs=README.md", "to put a table between"),
        ("--study=cim --tokenizer={tmp}/x", "m3i train_tokenizer"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("study", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said
