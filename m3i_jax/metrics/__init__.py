"""Measures of predictions and of representations.

What is inside a step is float32 and jittable; what is of the results of a set is NumPy in float64.

* `classification`: one category each. `information`: nats. `representations`: their health.
* `segmentation`: pixels of categories. `depth`: pixels of metres. `keypoints`,
  `average_precision`: joints of people. `objects`, `federated`: boxes and masks of objects.
  `tracking`: an object through a video.
"""

from m3i_jax.metrics import (
    average_precision,
    depth,
    federated,
    keypoints,
    objects,
    segmentation,
    tracking,
)
from m3i_jax.metrics.classification import accuracy, hits
from m3i_jax.metrics.information import gaussian_information, information_bound
from m3i_jax.metrics.representations import (
    effective_rank,
    entropy,
    feature_std,
    participation,
    usage,
)

__all__ = [
    "accuracy",
    "average_precision",
    "depth",
    "effective_rank",
    "entropy",
    "feature_std",
    "federated",
    "gaussian_information",
    "hits",
    "information_bound",
    "keypoints",
    "objects",
    "participation",
    "segmentation",
    "tracking",
    "usage",
]
