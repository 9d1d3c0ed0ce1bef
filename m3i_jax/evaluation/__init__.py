"""Evaluation of frozen encoders: features, linear probes, nearest neighbours, and the record.

Every number is over exactly the rows of the data set, and its name holds its protocol.
"""

from m3i_jax.evaluation.features import Table, extract, image_encoder, pooled, raw_pixels
from m3i_jax.evaluation.knn import online_knn
from m3i_jax.evaluation.linear import Classifier, Probe, lars, lbfgs
from m3i_jax.evaluation.report import Result

__all__ = [
    "Classifier",
    "Probe",
    "Result",
    "Table",
    "extract",
    "image_encoder",
    "lars",
    "lbfgs",
    "online_knn",
    "pooled",
    "raw_pixels",
]
