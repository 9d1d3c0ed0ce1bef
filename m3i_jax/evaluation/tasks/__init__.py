"""Evaluation tasks by name: one file and one line here for each."""

from collections.abc import Sequence
from typing import Any

from m3i_jax import build
from m3i_jax.evaluation.tasks.attentive import attentive
from m3i_jax.evaluation.tasks.calibration import calibration
from m3i_jax.evaluation.tasks.corruptions import corruptions
from m3i_jax.evaluation.tasks.depth import depth
from m3i_jax.evaluation.tasks.detection import detection, instance
from m3i_jax.evaluation.tasks.few_shot import few_shot
from m3i_jax.evaluation.tasks.knn import knn
from m3i_jax.evaluation.tasks.knn_segmentation import knn_segmentation
from m3i_jax.evaluation.tasks.linear import linear
from m3i_jax.evaluation.tasks.linear_grid import linear_grid
from m3i_jax.evaluation.tasks.ncm import ncm
from m3i_jax.evaluation.tasks.pose import pose
from m3i_jax.evaluation.tasks.retrieval import retrieval
from m3i_jax.evaluation.tasks.segmentation import segmentation
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.evaluation.tasks.tracking import tracking
from m3i_jax.evaluation.tasks.without_fine_tuning import without_fine_tuning
from m3i_jax.evaluation.tasks.zero_shot import zero_shot

TASKS = {
    "linear": linear,
    "knn": knn,
    "few_shot": few_shot,
    "ncm": ncm,
    "linear_grid": linear_grid,
    "attentive": attentive,
    "without_fine_tuning": without_fine_tuning,
    "zero_shot": zero_shot,
    "retrieval": retrieval,
    "calibration": calibration,
    "corruptions": corruptions,
    "segmentation": segmentation,
    "knn_segmentation": knn_segmentation,
    "depth": depth,
    "pose": pose,
    "detection": detection,
    "instance": instance,
    "tracking": tracking,
}

__all__ = ["TASKS", "Measured", "Task", "create", "defaults", "written"]


def create(blocks: Sequence[dict[str, Any]], *, what: str = "task") -> list[Task]:
    """The tasks that blocks `{name, **settings}` describe.

    Raises:
      ConfigError: an unknown name or setting, with the nearest right one.
    """
    return [build.build(TASKS, block, what=what) for block in blocks]


def written(task: Task) -> str:
    """A task as a command line says it: its name, and the settings that are not the usual ones."""
    usual = TASKS[task.name]().settings if task.name in TASKS else task.settings
    others = {key: x for key, x in task.settings.items() if key not in usual or usual[key] != x}
    return task.name + ":" * bool(others) + ",".join(f"{key}={x}" for key, x in others.items())


def defaults() -> list[Task]:
    """Every task as it is without settings: what its numbers are called, and their unit."""
    return [make() for make in TASKS.values()]
