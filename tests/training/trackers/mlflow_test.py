"""MLflow, into files: read back by its own client; a run that goes on is the same one there."""

import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mlflow", reason="pip install 'm3i_jax[mlflow]' to test what it is told")

from m3i_jax.training.trackers import mlflow  # noqa: E402
from m3i_jax.training.trackers.tracker import TrackedRun  # noqa: E402

CONFIG = {"encoder": {"width": 32}, "seed": 1}
PICTURE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def told(workdir, start):
    """A session of a run that begins or goes on: two steps and a picture."""
    tracker = mlflow.opened(TrackedRun(workdir, start, CONFIG))
    for step in (start + 1, start + 2):
        tracker.scalars(step, {"train/loss": 1 / step, "train/loss/odd": float("nan")})
    tracker.images(start + 2, {"views/mix": PICTURE})
    tracker.close()


def test_numbers_and_pictures_are_there_and_a_run_that_goes_on_is_the_same(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    for name in (mlflow.URI, mlflow.EXPERIMENT):
        monkeypatch.delenv(name, raising=False)
    workdir = tmp_path / "run"
    workdir.mkdir()
    for start in (0, 2):
        told(workdir, start)
    identity = (workdir / "trackers" / "mlflow").read_text()
    client = MlflowClient(tracking_uri=(workdir / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("m3i_jax").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_id == identity and run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"encoder.width": "32", "seed": "1"}
    history = client.get_metric_history(identity, "train/loss")
    assert [(m.step, m.value) for m in history] == [(step, 1 / step) for step in range(1, 5)]
    assert all(math.isnan(m.value) for m in client.get_metric_history(identity, "train/loss.odd"))
    file = client.download_artifacts(identity, "images/views/mix-00000002.png", str(tmp_path))
    np.testing.assert_array_equal(np.asarray(Image.open(file)), PICTURE)


def test_a_server_that_is_named_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv(mlflow.URI, (tmp_path / "server").as_uri())
    monkeypatch.setenv(mlflow.FILES, "true")
    (tmp_path / "run").mkdir()
    told(tmp_path / "run", 0)
    assert (tmp_path / "server").is_dir() and not (tmp_path / "run" / "mlruns").exists()
