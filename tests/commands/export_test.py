"""An encoder is exported, or its run refused in a sentence."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("{tmp}", "has no checkpoints; expected the --workdir of"),
        ("pixels", "raw pixels have no encoder"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("export", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said
