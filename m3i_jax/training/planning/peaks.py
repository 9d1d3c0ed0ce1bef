"""What accelerators can do at most, as their makers state it; not measured here."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

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
# GiB of memory, GB/s between it and the chip, and GB/s that the chip can send to others: all links
# of a TPU, NVLink of a GPU, PCIe where there is none; half of what is stated for both directions.
# https://cloud.google.com/tpu/docs/v4, /v5e, /v5p, /v6e; https://www.nvidia.com/en-us/data-center/
# a100, h100, h200, of which the SXM form is meant. TPUs of a slice, eight GPUs of a machine.
MEMORIES = {
    "TPU v4": (32, 1228, 300),
    "TPU v5 lite": (16, 819, 200),
    "TPU v5e": (16, 819, 200),
    "TPU v5": (95, 2765, 600),
    "TPU v6 lite": (32, 1640, 400),
    "TPU v6e": (32, 1640, 400),
    "NVIDIA A100": (80, 2039, 300),
    "NVIDIA H100": (80, 3350, 450),
    "NVIDIA H100 PCIe": (80, 2000, 64),
    "NVIDIA H200": (141, 4800, 450),
}
# GPUs of a machine, and GB/s that each can send to other machines: a network card for each, as in
# NVIDIA's own, https://docs.nvidia.com/dgx/dgxh100-user-guide/introduction-to-dgxh100.html.
MACHINE = 8
NETWORKS = {"NVIDIA A100": 25, "NVIDIA H100": 50, "NVIDIA H200": 50}
# What people call them.
NAMES = {
    "v4": "TPU v4", "v5e": "TPU v5e", "v5p": "TPU v5p", "v6e": "TPU v6e",
    "A100": "NVIDIA A100", "H100": "NVIDIA H100", "H200": "NVIDIA H200",
}  # fmt: skip


class Chip(NamedTuple):
    """memory: bytes.  bandwidth: GB/s.  link: GB/s to others.  flops: TFLOP/s by dtype.

    fused: convolutions read what is computed on the way; on GPUs they are calls, and read arrays.
    """

    memory: int
    bandwidth: float
    link: float
    flops: Mapping[str, float]
    fused: bool = True


def chip(kind: str, *, count: int = 1) -> Chip | None:
    """What a chip of this `device_kind` can do; None for those that are not in both tables.

    count: of chips that work together. GPUs of several machines sum inside a machine first, so that
    an eighth of what each sends goes over the network.
    """
    memory, flops = (_longest(table, kind) for table in (MEMORIES, PEAKS))
    if not memory or not flops:
        return None
    size, bandwidth, link = memory
    network = _longest(NETWORKS, kind)
    if network and count > MACHINE:
        outside = 1 / MACHINE
        link = 1 / ((1 - outside) / link + outside / network)
    return Chip(size * 2**30, bandwidth, link, flops, fused=kind.startswith("TPU"))


def peak(devices: Iterable[Any], dtype: str) -> float | None:
    """FLOP/s of all devices together in products of `dtype`; None if one of them is not known.

    A CPU has no figure of its own: what it can do depends on how many cores are free and how fast
    they run just now, so a rate measured once would say little about the steps that follow.
    """
    total = 0.0
    for device in devices:
        flops = _longest(PEAKS, device.device_kind)
        if flops is None:
            return None
        total += flops[dtype] * 1e12
    return total


def _longest(table: Mapping[str, Any], kind: str) -> Any:
    """The entry under the longest start of a kind, None if there is none."""
    starts = [start for start in table if kind.startswith(start)]
    return table[max(starts, key=len)] if starts else None
