"""What --help is asked with, and how flags are shown."""

import pytest

from m3i_jax import usage
from m3i_jax.commands import evaluate
from m3i_jax.training.config import Config


@pytest.mark.parametrize(
    "words, asks", [(["--help"], True), (["-h"], True), (["--workdir=x"], False)]
)
def test_help_is_asked_for_in_the_usual_ways(words, asks):
    assert usage.asked(["program", *words]) == asks
    assert not usage.asked(["--help"]), "the program itself is no word"


def test_a_flag_has_its_values_its_meaning_and_its_default():
    page = usage.text(evaluate.main)
    assert page.startswith("Evaluates encoders on frozen features")
    assert "  --pool=mean|cls|both\n    Patch tokens' mean, class token, or both" in page
    assert "  --batch=BATCH\n    Images that are encoded at once. Default: 128" in page
    assert "  --baselines\n    Also the untrained encoder and raw pixels, each once.\n" in page
    assert "  --task=TASK\n    What is measured, see above. May be said several times. Def" in page
    assert (
        "  --[no]compilation_cache\n    Whether compiled programs are kept for the next run.\n"
        in page
    )
    assert "--config" not in page
    assert "Default: digit_scenes/m3i" in usage.text(evaluate.main, config="digit_scenes/m3i")


def test_keys_of_a_config_have_a_line_each():
    page = usage.text(evaluate.main, config="digit_scenes/m3i", schema=Config)
    lines = page.partition("keys and blocks of a config")[2].splitlines()[1:]
    named = [line.split(maxsplit=1) for line in lines if line[2:3].strip()]
    assert [name for name, _ in named] == list(Config.__dataclass_fields__)
    assert all(said for _, said in named) and max(map(len, lines)) <= 100
