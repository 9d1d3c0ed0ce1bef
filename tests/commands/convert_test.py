"""Weights are converted, or refused in a sentence."""

import pytest

from tests.commands.starts import refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--input={tmp}/x --output={tmp}/y", "no model.safetensors at '{tmp}/x'"),
        ("--input=setup.py --output={tmp}/y --fields=[1]", "--fields is [1], expected"),
        ("--output={tmp}/y", "--input is needed, and was not given"),
        ("--input=x --beside=y --to=timm --output={tmp}/z", "not in those of --to timm"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("convert", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said
