"""Which run is meant where none is named."""

import os

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.commands import _automatic as automatic
from m3i_jax.commands import _runs as runs


def made(run, *, written):
    """A work directory whose log was last written then, with a checkpoint."""
    (run / "checkpoints" / "40").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text("")
    os.utime(run / "metrics.jsonl", (written, written))


@pytest.mark.parametrize(
    "config, place",
    [
        ("digit_scenes/mae", "runs/mae"),
        ("mine.py", "runs/mine"),
        ("/a/b/mine.v2.py:images", "runs/mine.v2-images"),
        ("mine.py:lr=1e-3, wide/", "runs/mine-lr=1e-3-wide"),
        ("/a/runs/old/config.json", "runs/old"),
    ],
)
def test_a_run_is_called_as_its_config(config, place):
    assert runs.of_config(config) == place


@pytest.mark.parametrize(
    "model, name",
    [
        ("runs/mae", "mae"),
        ("runs/v1.2@500#online", "v1.2"),
        ("runs/mae/checkpoints/500", "mae"),
        ("runs/mae/export", "mae"),
        ("vit/model.safetensors:encoder=swin_v2_b", "vit"),
        ("../mae_vit_b.pth", "mae_vit_b"),
        ("model.safetensors", "model"),
    ],
)
def test_what_is_fine_tuned_is_called_as_it_was(model, name):
    assert runs.of_model(model) == f"runs/{name}-finetuned"


def test_a_command_that_names_no_run_hears_which_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="'runs' has none: m3i pretrain FOLDER makes one"):
        runs.meant("evaluate")
    made(tmp_path / "runs/old", written=1e9)
    (tmp_path / "runs/export").mkdir()
    (tmp_path / "runs/export/config.json").write_text("{}")  # of weights, and no run
    assert runs.meant("evaluate") == "runs/old"
    assert capsys.readouterr().err == "of runs/old, the only run in 'runs'\n"
    with pytest.raises(ConfigError, match="is a run, no images; --workdir=runs/old goes on"):
        automatic.place({"data": "runs/old"}, [])
    made(tmp_path / "runs/new", written=2e9)
    made(tmp_path / "runs/begun", written=2e9 + 1)
    (tmp_path / "runs/begun/checkpoints/40").rmdir()
    for number in range(runs.MOST):
        made(tmp_path / f"runs/{number}", written=1e8 + number)
    with pytest.raises(ConfigError) as refused:
        runs.meant("evaluate")
    first, *lines = str(refused.value).split("\n")
    assert first == "which run? m3i evaluate runs/new, or another; newest first:"
    assert [line.split()[0] for line in lines[:3]] == ["runs/begun", "runs/new", "runs/old"]
    assert lines[0].endswith(", no checkpoint yet") and lines[1].endswith(", step 40")
    assert lines[-1] == "  and 3 older ones"
