"""A run of CIM is shown, or refused in a sentence."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--workdir={tmp}", "has no checkpoints; expected the --workdir of"),
        ("--out={tmp}/x", "which is no folder"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("analyze", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said
