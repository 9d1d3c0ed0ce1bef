"""Peaks by the names under which devices report themselves."""

from types import SimpleNamespace

import jax
import pytest

from m3i_jax.training.planning.peaks import NAMES, chip, peak


def devices(kind, count=1):
    return [SimpleNamespace(device_kind=kind)] * count


@pytest.mark.parametrize(
    "kind, bfloat16, float32",
    [
        ("TPU v4", 275e12, 275e12),
        ("TPU v5 lite", 197e12, 197e12),
        ("TPU v5p", 459e12, 459e12),
        ("TPU v6 lite", 918e12, 918e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 156e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12, 494.7e12),
        ("NVIDIA H100 PCIe", 756e12, 378e12),
        ("NVIDIA H200", 989.4e12, 494.7e12),
    ],
)
def test_peaks_add_up_over_devices(kind, bfloat16, float32):
    assert peak(devices(kind), "bfloat16") == bfloat16
    assert peak(devices(kind, 4), "float32") == pytest.approx(4 * float32)


def test_a_device_without_a_known_peak_has_none():
    assert peak(jax.devices(), "float32") is None
    assert peak(devices("TPU v4") + devices("TPU v99"), "bfloat16") is None


def test_every_name_is_a_chip_whose_rates_are_known():
    chips = {name: chip(kind) for name, kind in NAMES.items()}
    assert chips["v5p"].memory == 95 * 2**30 and chips["H200"].bandwidth == 4800
    assert all(c.link < c.bandwidth and c.flops["bfloat16"] > 100 for c in chips.values())
    assert chip("NVIDIA H100 PCIe").link < chip("NVIDIA H100 80GB HBM3").link


def test_gpus_of_several_machines_share_a_network():
    """Seven eighths at NVLink's 450 GB/s and one at the network's 50, of a H100 among 64."""
    alone, many = (chip("NVIDIA H100 80GB HBM3", count=n).link for n in (8, 64))
    assert alone == 450 and 1 / many == pytest.approx(7 / 8 / 450 + 1 / 8 / 50)
    assert chip("TPU v5e", count=256).link == chip("TPU v5e").link
