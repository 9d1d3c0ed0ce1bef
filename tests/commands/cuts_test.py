"""Studies of cut encoders are refused in sentences, and go from a command line to a table."""

import pytest
from absl import flags

from m3i_jax import command_flags
from m3i_jax.build import ConfigError
from m3i_jax.commands import _cuts, study
from m3i_jax.evaluation import results

VIT = "untrained:vit_nano:image=16,width=16,depth=3,heads=2,patch=8"


@pytest.fixture
def said(monkeypatch):
    """said(words): the flags of a command line."""

    def say(words):
        found = flags.FlagValues()
        command_flags.define(command_flags.of(study), flag_values=found)
        found(["m3i", *words.split()])
        monkeypatch.setattr(command_flags.flags, "FLAGS", found)

    return say


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--study=layers", "needs a --model to cut"),
        (f"--study=layers --model={VIT} --blocks=4", "4 blocks of untrained:vit_nano"),
        (f"--study=layers --model={VIT} --blocks=two", "--blocks is 'two', expected whole numbers"),
        (f"--study=random_weights --model={VIT} --model={VIT}", "is of one model"),
        (f"--study=layers --model={VIT} --blocks=1", "is of no run, so nothing says on which data"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, said, tmp_path):
    said(f"--workdir={tmp_path} {line}")
    with pytest.raises(ConfigError, match=sentence):
        study.main()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", _cuts.STUDIES)
def test_a_study_writes_its_table_and_goes_on_where_it_was(name, said, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = f"--study={name} --model={VIT} --data=digit_scenes:length=60 --task=knn:k=5 --blocks=2"
    words += f" --workdir={tmp_path} --seeds=2 --train_limit=40 --test_limit=20 --cache=none"
    said(words)
    assert study.main() == 0
    table = (tmp_path / "table.md").read_text()
    assert "| 2 | " in table and (tmp_path / "curves.png").stat().st_size > 1000
    assert table.strip() in capsys.readouterr().out
    count = len(results.read(tmp_path))
    assert study.main() == 0
    assert len(results.read(tmp_path)) == count and (tmp_path / "table.md").read_text() == table
