"""The paper's own configs are planned without data, memory or devices."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PAPER = {
    "m3i_vit_b16_in1k": ("500456 steps of 4096 images", "119,497,728"),
    "m3i_vit_b16_yfcc": ("505371 steps of 4096 images", "241,790,209"),
    "mae_vit_b16_in1k": ("500456 steps", "111,655,680"),
    "siamese_im_vit_b16_in1k": ("500456 steps", "130,535,424"),
    "classification_vit_b16_in1k": ("125114 steps", "88,783,872"),
}


@pytest.mark.parametrize("name", PAPER)
def test_a_paper_config_prints_its_plan(name):
    done = subprocess.run(
        [sys.executable, "experiments/plan.py", "--config", f"configs/{name}.py",
         "--devices", "8", "--config.mesh.fsdp=2"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in PAPER[name]:
        assert text in done.stdout
    assert "4 data x 2 fsdp" in done.stdout
