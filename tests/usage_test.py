"""What --help is asked with, and how flags are shown."""

import pytest

from m3i_jax import usage
from m3i_jax.commands import evaluate


@pytest.mark.parametrize(
    "words, asks", [(["--help"], True), (["-h"], True), (["--workdir=x"], False)]
)
def test_help_is_asked_for_in_the_usual_ways(words, asks):
    assert usage.asked(["program", *words]) == asks
    assert not usage.asked(["--help"]), "the program itself is no word"


def test_a_flag_has_its_values_its_meaning_and_its_default():
    page = usage.text(evaluate.main)
    assert page.startswith("Evaluates a pre-trained encoder")
    assert "  --pool=mean|cls\n    Patch tokens' mean, or class token. Default: mean" in page
    assert "  --baselines\n    Also the untrained encoder and raw pixels.\n" in page
    assert "--config" not in page
    assert "Default: digit_scenes/m3i" in usage.text(evaluate.main, config="digit_scenes/m3i")
