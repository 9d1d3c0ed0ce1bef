"""The teacher of a tokenizer has to be there."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        (
            "--workdir={tmp}/t --config.weights.teacher.path={tmp}/c",
            "--config digit_scenes/classification --workdir {tmp}/c",
        ),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("train_tokenizer", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said
