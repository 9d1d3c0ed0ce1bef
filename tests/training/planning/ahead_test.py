"""A step compiled for chips that are not here, where their compiler is."""

import importlib.util
import subprocess
import sys

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training.planning import ahead, hlo

FOUND = ahead.Ahead(
    chips=8,
    kind="TPU v5 lite",
    seconds=133.4,
    arguments=3 * 2**29,
    temporaries=2**32,
    peak=5 * 2**30,
    products=197e9,
    moved=hlo.Moved(1638e6, {"all-reduce": (24, 451e6)}, 400e6),
)


def test_lines_say_what_bounds_a_step():
    """197 GFLOP at 197 TFLOP/s take 1 ms, 1.638 GB at 819 GB/s 2, 400 MB at 200 GB/s 2."""
    said = "\n".join(ahead.lines(FOUND, "bfloat16"))
    assert "temporaries 4.00, arguments 1.50, at most 5.00 GiB of 16" in said
    assert "all-reduce" in said and "24 a step, 0.451 GB" in said
    assert "1.0 ms of products, 2.0 ms of traffic, 2.0 ms of links: at most 50 % of the" in said
    assert "0.400 GB sent: 50 % of a step, if none of it overlaps" in said
    unknown = "\n".join(ahead.lines(FOUND._replace(kind="TPU v99"), "bfloat16"))
    assert "peak rate" not in unknown and "5.00 GiB" in unknown


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="the compiler is here")
def test_without_the_compiler_a_sentence():
    with pytest.raises(ConfigError, match=r"no compiler for 'v5e:2x4'.*pip install 'jax\[tpu\]'"):
        ahead.chips("v5e:2x4")


def test_gpus_are_planned_by_formula():
    with pytest.raises(ConfigError, match=r"TPUs alone; by formula: --accelerator=H100 --devices"):
        ahead.chips("H100:8")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs jax[tpu]")
@pytest.mark.parametrize(
    "name, mesh, most, moved",
    [
        ("mae_vit_b16", ["data=8"], 4.26, 18.2),
        ("mae_vit_b16", ["data=1", "fsdp=8"], 2.74, 13.9),
        ("m3i_vit_b16", ["data=8"], 9.63, 64.8),
    ],
    ids=["mae, data parallel", "mae, fsdp", "m3i, data parallel"],
)
def test_a_step_fits_a_v5e_with_room(name, mesh, most, moved):
    """Figures of docs/benchmarks.md, within what another version of the compiler may change."""
    command = [sys.executable, "-m", "m3i_jax", "plan", "--config", f"imagenet/{name}",
               "--config.batch=512", "--topology=v5e:2x4",
               *(f"--config.mesh.{axis}" for axis in mesh)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=True)
    words = done.stdout.split()
    peak, traffic = (float(words[words.index(word) + 1]) for word in ("most", "traffic"))
    assert peak < 1.15 * most and traffic < 1.15 * moved
    # Products are whole: weights are gathered for them, and no windows sent round.
    assert "collective-permute" not in words
    assert ("all-gather" in words) == ("fsdp=8" in mesh) and "whole recipe" in done.stdout
