"""MLflow: the server that MLFLOW_TRACKING_URI names, or files in the work directory."""

import os
import re
import time
from collections.abc import Mapping

import numpy as np

from m3i_jax.training.trackers.tracker import PROJECT, TrackedRun, Tracker, flat

FOLDER = "mlruns"  # of the work directory
URI, EXPERIMENT, FILES = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ALLOW_FILE_STORE"
AT_ONCE = 100  # parameters that a server takes
LONGEST = 500  # letters of one
FOREIGN = re.compile(r"[^\w./: -]")  # what no name there has


def opened(run: TrackedRun) -> Tracker:
    """Starts a run there, or goes on with the one that the work directory knows."""
    uri = os.environ.get(URI)
    if not uri:
        os.environ.setdefault(FILES, "true")  # without a server MLflow wants that said
        uri = (run.workdir.absolute() / FOLDER).as_uri()
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunStatus

    client = MlflowClient(tracking_uri=uri)
    identity = run.identity("mlflow")
    if identity:
        client.update_run(identity, RunStatus.to_string(RunStatus.RUNNING))
    else:
        identity = run.known_as("mlflow", _begun(client, run))

    def scalars(step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_named(name), value, now, step) for name, value in values.items()]
        client.log_batch(identity, metrics)

    def images(step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            place = f"images/{FOREIGN.sub('_', name)}-{step:08d}.png"
            client.log_image(identity, picture, artifact_file=place)

    return Tracker(scalars, images, close=lambda: client.set_terminated(identity))


def _named(metric: str) -> str:
    """A name there, where what is before a slash is a group: of files, a folder, and no other file.

    "information/pixels.entropy" of "information/pixels/entropy", beside "information/pixels".
    """
    group, slash, rest = FOREIGN.sub("_", metric).partition("/")
    return group + slash + rest.replace("/", ".")


def _begun(client, run: TrackedRun) -> str:
    """The identity of a new run, with the config as its parameters."""
    from mlflow.entities import Param

    name = os.environ.get(EXPERIMENT, PROJECT)
    experiment = client.get_experiment_by_name(name)
    number = experiment.experiment_id if experiment else client.create_experiment(name)
    identity = client.create_run(number, run_name=run.workdir.name).info.run_id
    said = [Param(FOREIGN.sub("_", k), str(x)[:LONGEST]) for k, x in flat(run.config).items()]
    for first in range(0, len(said), AT_ONCE):
        client.log_batch(identity, params=said[first : first + AT_ONCE])
    return identity
