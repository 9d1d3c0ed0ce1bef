"""The paper's own configs are planned without data, memory or devices."""

import pytest

from tests import programs

PAPER = {
    "imagenet/m3i_vit_b16": ("500456 steps of 4096 images", "119,497,728"),
    "yfcc/m3i_vit_b16": ("505371 steps of 4096 images", "241,790,209"),
    "imagenet/mae_vit_b16": ("500456 steps", "111,655,680"),
    "imagenet/siamese_im_vit_b16": ("500456 steps", "130,535,424"),
    "imagenet/classification_vit_b16": ("125114 steps", "88,783,872"),
}


@pytest.mark.parametrize("name", PAPER)
def test_a_paper_config_prints_its_plan(name):
    words = ("--config", f"configs/{name}.py", "--devices", "8", "--config.mesh.fsdp=2")
    done = programs.run("plan", *words)
    assert done.returncode == 0, done.stderr
    for text in PAPER[name]:
        assert text in done.stdout
    assert "4 data x 2 fsdp" in done.stdout
