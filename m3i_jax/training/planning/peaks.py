"""What accelerators can do at most, as their makers state it; not measured here."""

from collections.abc import Iterable
from typing import Any

# TFLOP/s of dense matrix products by the start of `device_kind`; the longest start counts.
# float32 is what JAX's default precision does with float32 arrays: TF32 on NVIDIA's, one bfloat16
# pass on TPUs. No rates with sparsity.
PEAKS = {
    "TPU v4": {"bfloat16": 275, "float32": 275},
    "TPU v4 lite": {"bfloat16": 138, "float32": 138},
    "TPU v5 lite": {"bfloat16": 197, "float32": 197},
    "TPU v5e": {"bfloat16": 197, "float32": 197},
    "TPU v5": {"bfloat16": 459, "float32": 459},  # v5p, either way it is spelt
    "TPU v6 lite": {"bfloat16": 918, "float32": 918},
    "TPU v6e": {"bfloat16": 918, "float32": 918},
    "NVIDIA A100": {"bfloat16": 312, "float32": 156},
    "NVIDIA H100": {"bfloat16": 989.4, "float32": 494.7},
    "NVIDIA H100 PCIe": {"bfloat16": 756, "float32": 378},
    "NVIDIA H100 NVL": {"bfloat16": 835, "float32": 417.5},
    "NVIDIA H200": {"bfloat16": 989.4, "float32": 494.7},
    "NVIDIA H200 NVL": {"bfloat16": 835, "float32": 417.5},
}


def peak(devices: Iterable[Any], dtype: str) -> float | None:
    """FLOP/s of all devices together in products of `dtype`; None if one of them is not known.

    A CPU has no figure of its own: what it can do depends on how many cores are free and how fast
    they run just now, so a rate measured once would say little about the steps that follow.
    """
    total = 0.0
    for device in devices:
        starts = [start for start in PEAKS if device.device_kind.startswith(start)]
        if not starts:
            return None
        total += PEAKS[max(starts, key=len)][dtype] * 1e12
    return total
