"""The lines of a model card, run as they stand there: every library gives our features."""

import contextlib
import re

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax import encoders
from m3i_jax.evaluation import foreign, model_card, models
from m3i_jax.interop import exporting

for name in ("torch", "timm", "transformers"):
    pytest.importorskip(name)

SWIN = dict(name="swin_v2_t", image=64, width=16, depths=(1, 1), heads=(2, 4), window=4, hide="")
RESNET = dict(name="resnet18", image=64, depths=(1, 1, 1, 1))
VIT = dict(name="vit_nano", image=32, patch=8, width=32, depth=1, heads=4, positions="learned")
CLIP = VIT | dict(patch_bias=False, pre_norm=True, eps=1e-5, activation="quick_gelu")


def export(block, folder, *, to, crop, pool):
    """An export of drawn weights with its card and a photograph; returns the card."""
    kwargs = dict(block)
    module = encoders.create(kwargs.pop("name"), **kwargs)
    params = jax.jit(module.init)(jax.random.key(0), module.example())["params"]
    layout = exporting.save(folder, params, {"encoder": block, "crop": crop}, to=to)
    model = models.of_block(block, params={"encoders": {"image": params}}, name="x", branch="file")
    model_card.write(folder, model._replace(pool=pool, crop=crop), layout)
    photo = np.random.default_rng(1).integers(0, 256, (45, 60, 3), np.uint8)
    Image.fromarray(photo).resize((72, 72)).save(folder / "photo.jpg", quality=95)
    return (folder / model_card.FILE).read_text()


def ran(lines, folder):
    """`features` after lines that are run in a folder."""
    names = {}
    with contextlib.chdir(folder):
        exec(lines, names)
    return np.asarray(names["features"])


@pytest.mark.parametrize(
    "block, to, pool, crop",
    [
        pytest.param(SWIN, "timm", "mean", 0.875, marks=pytest.mark.slow),
        pytest.param(RESNET, "timm", "mean", 1.0, marks=pytest.mark.slow),
        (VIT, "timm", "mean", 0.9),
        (VIT, "huggingface", "mean", 1.0),
        (CLIP, "huggingface", "cls", 0.875),
    ],
)
def test_all_give_the_same(block, to, pool, crop, tmp_path):
    text = export(block, tmp_path, to=to, crop=crop, pool=pool)
    found = dict(re.findall(r"## In (\w+)\n\n```python\n(.*?)\n```", text, re.DOTALL))
    assert [*found] == [{"huggingface": "transformers"}.get(to, to), "JAX"]
    theirs, ours = (ran(lines, tmp_path) for lines in found.values())
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours).max() <= 1e-5 * np.abs(ours).max()
    assert foreign.of_file(tmp_path).crop == crop
